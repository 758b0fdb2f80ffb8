//! The older forms of a ciphertext, JSON and MessagePack. Keyraft reads them strictly and never writes them.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::Cipher;
use super::aead::NONCE;
use super::mask::IV;

/// The parts of a ciphertext of an older form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OlderForm<'a> {
    pub cipher: Cipher,
    pub iv: [u8; IV],
    pub nonce: [u8; NONCE],
    /// The encrypted text and its tag.
    pub sealed: Cow<'a, [u8]>,
}

/// Reads `{aead, id, iv, nonce, bytes}`, and returns `None` for anything else.
pub(super) fn json(bytes: &[u8]) -> Option<OlderForm<'_>> {
    let fields: Fields = serde_json::from_slice(bytes).ok()?;
    Some(OlderForm {
        cipher: json_cipher(&fields.aead?)?,
        iv: binary(fields.iv)?.try_into().ok()?,
        nonce: binary(fields.nonce)?.try_into().ok()?,
        sealed: Cow::Owned(binary(fields.bytes)?),
    })
}

/// Reads the array of algorithm, id, iv, nonce and bytes, and returns `None` for anything else.
pub(super) fn message_pack(bytes: &[u8]) -> Option<OlderForm<'_>> {
    let rest = bytes.strip_prefix(&[0x95])?;
    let (algorithm, rest) = text(rest)?;
    let (_id, rest) = text(rest)?;
    let (iv, rest) = bin(rest)?;
    let (nonce, rest) = bin(rest)?;
    let (sealed, rest) = bin(rest)?;
    rest.is_empty().then_some(OlderForm {
        cipher: Cipher::named(std::str::from_utf8(algorithm).ok()?)?,
        iv: <[u8; IV]>::try_from(iv).ok()?,
        nonce: <[u8; NONCE]>::try_from(nonce).ok()?,
        sealed: Cow::Borrowed(sealed),
    })
}

/// The ciphers by their names in the JSON form, which differ from those of the API.
fn json_cipher(aead: &str) -> Option<Cipher> {
    match aead {
        "AES-256-GCM-HMAC-SHA-256" | "AES-256-GCM" => Some(Cipher::Aes256),
        "ChaCha20Poly1305" => Some(Cipher::ChaCha20),
        _ => None,
    }
}

fn binary(base64: Option<String>) -> Option<Vec<u8>> {
    STANDARD.decode(base64?).ok()
}

/// A MessagePack string at the front, and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&marker, rest) = bytes.split_first()?;
    match marker {
        0xa0..=0xbf => rest.split_at_checked(usize::from(marker & 0x1f)),
        0xd9 => sized::<1>(rest),
        0xda => sized::<2>(rest),
        0xdb => sized::<4>(rest),
        _ => None,
    }
}

/// A MessagePack byte array at the front, and what follows it.
fn bin(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&marker, rest) = bytes.split_first()?;
    match marker {
        0xc4 => sized::<1>(rest),
        0xc5 => sized::<2>(rest),
        0xc6 => sized::<4>(rest),
        _ => None,
    }
}

/// Reads a big-endian length of `N` bytes, and splits after that many bytes.
fn sized<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<N>()?;
    let size = size.iter().fold(0_usize, |size, &byte| (size << 8) | usize::from(byte));
    rest.split_at_checked(size)
}

/// The fields of the JSON form that matter. Their names match in any case (wire contract, "Bodies and headers").
#[derive(Default)]
struct Fields {
    aead: Option<String>,
    iv: Option<String>,
    nonce: Option<String>,
    bytes: Option<String>,
}

impl Fields {
    fn named(&mut self, name: &str) -> Option<&mut Option<String>> {
        let Self { aead, iv, nonce, bytes } = self;
        let fields = [("aead", aead), ("iv", iv), ("nonce", nonce), ("bytes", bytes)];
        fields.into_iter().find_map(|(known, field)| known.eq_ignore_ascii_case(name).then_some(field))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<String>()? {
            match fields.named(&name) {
                Some(field) => *field = map.next_value()?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str =
        r#"{"aead": "AES-256-GCM", "iv": "AAAAAAAAAAAAAAAAAAAAAA==", "nonce": "AAAAAAAAAAAAAAAA", "bytes": "AQI="}"#;

    fn packed() -> Vec<u8> {
        [&b"\x95\xa6AES256\xa0\xc4\x10"[..], &[0; 16], b"\xc4\x0c", &[0; 12], b"\xc4\x02\x01\x02"].concat()
    }

    #[test]
    fn both_forms_have_the_same_parts() {
        let packed = packed();
        let from_json = json(JSON.as_bytes()).unwrap();
        assert_eq!(Some(&from_json), message_pack(&packed).as_ref());
        assert_eq!((from_json.cipher, &from_json.sealed[..]), (Cipher::Aes256, &[1, 2][..]));
    }

    #[test]
    fn json_names_match_in_any_case_and_unknown_ones_are_ignored() {
        let loose = JSON.replace("aead", "AEAD").replace("iv", "Iv").replace('}', r#", "id": 7, "more": {"iv": []}}"#);
        assert_eq!(json(loose.as_bytes()), json(JSON.as_bytes()));
    }

    #[test]
    fn longer_length_prefixes_of_message_pack_are_read() {
        let long = [&b"\x95\xda\x00\x06AES256\xdb\0\0\0\0\xc5\0\x10"[..], &[0; 16], b"\xc6\0\0\0\x0c", &[0; 12]];
        let long = [long.concat(), b"\xc5\0\x02\x01\x02".to_vec()].concat();
        assert_eq!(message_pack(&long), message_pack(&packed()));
    }

    #[test]
    fn anything_that_is_not_entirely_of_an_older_form_is_refused() {
        let (text, packed) = (JSON.as_bytes(), packed());
        assert!((0..text.len()).all(|length| json(&text[..length]).is_none()));
        assert!((0..packed.len()).all(|length| message_pack(&packed[..length]).is_none()));
        assert_eq!(message_pack(&[&packed[..], b"\0"].concat()), None);
        for (from, to) in [("AES-256-GCM", "AES256"), ("==\"", "\""), ("AQI=", "A_I="), ("}", "}0"), ("bytes", "byte")]
        {
            assert_eq!(json(JSON.replace(from, to).as_bytes()), None, "{from} became {to}");
        }
    }
}
