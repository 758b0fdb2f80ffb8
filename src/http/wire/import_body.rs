//! The body of an import: key material, and what a migration keeps of the key on its old server.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::json::{self, BadJson, non_empty};
use crate::clock;
use crate::http::error::ApiError;
use crate::kms::{Cipher, Import, ImportedHmac};
use crate::policy::Author;

const FIELDS: [&str; 7] = ["key", "bytes", "cipher", "algorithm", "hmac", "created_at", "created_by"];

/// Reads the body of an import. It checks the cipher first, and then the length of the key. In addition to the fields
/// of KES, a body may have the HMAC key of the name (empty if it had none), and when and by whom the key was created.
///
/// # Errors
/// The body is not JSON of this form, names an unknown cipher, or has a key of another length.
pub fn read_import(body: &[u8]) -> Result<Import, ApiError> {
    let fields = json::object(body, FIELDS).map_err(|BadJson| ApiError::ImportBody)?;
    let [key, bytes, cipher, algorithm, hmac, created_at, created_by] = fields;
    // Both fields are read, so that a garbled one is an error even beside the one that counts.
    let [key, bytes] = [key, bytes].map(|field| field.map(|text| json::bytes(Some(&text))).transpose());
    let key = key.and_then(|key| Ok(key.or(bytes?).unwrap_or_default())).map_err(|BadJson| ApiError::ImportBody)?;
    let cipher = match non_empty(cipher.as_ref()).or(non_empty(algorithm.as_ref())) {
        Some(name) => name.parse().map_err(ApiError::Cipher)?,
        None => Cipher::Aes256,
    };
    let key = <[u8; 32]>::try_from(key.as_slice()).map_err(|_| ApiError::KeySize(cipher))?;
    let (key, hmac) = (Zeroizing::new(key), read_hmac(hmac.as_ref())?);
    Ok(Import { cipher, key, hmac, author: read_author(created_at.as_ref(), created_by.as_ref())? })
}

fn read_hmac(field: Option<&Cow<'_, str>>) -> Result<ImportedHmac, ApiError> {
    let Some(text) = field else { return Ok(ImportedHmac::Random) };
    if text.is_empty() {
        return Ok(ImportedHmac::Absent);
    }
    let key = json::bytes(Some(text)).map_err(|BadJson| ApiError::ImportBody)?;
    let key = <[u8; 32]>::try_from(key.as_slice()).map_err(|_| ApiError::ImportBody)?;
    Ok(ImportedHmac::Given(Zeroizing::new(key)))
}

/// Reads who created the key and when. Once a body has one of the two, the other stays unknown if it is absent. The
/// zero date means an unknown one.
fn read_author(at: Option<&Cow<'_, str>>, by: Option<&Cow<'_, str>>) -> Result<Option<Author>, ApiError> {
    let is_given = non_empty(at).is_some() || non_empty(by).is_some();
    let at = non_empty(at).filter(|at| *at != clock::UNKNOWN_DATE);
    let created_at = at.map(|at| clock::from_rfc3339(at).ok_or(ApiError::ImportBody)).transpose()?;
    let created_by = non_empty(by).map(|by| by.parse().map_err(|_| ApiError::ImportBody)).transpose()?;
    Ok(is_given.then_some(Author { created_at, created_by }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Identity;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn import(body: &str) -> Result<Cipher, ApiError> {
        read_import(body.replace("KEY32", KEY).as_bytes()).map(|import| {
            assert_eq!(import.key[..4], [0, 1, 2, 3]);
            import.cipher
        })
    }

    #[test]
    fn an_import_may_use_either_name_for_key_and_cipher() {
        for (body, cipher) in [
            (r#"{"key":"KEY32"}"#, Cipher::Aes256),
            (r#"{"bytes":"KEY32"}"#, Cipher::Aes256),
            (r#"{"key":"KEY32","cipher":null}"#, Cipher::Aes256),
            (r#"{"key":"KEY32","cipher":"AES256-GCM_SHA256"}"#, Cipher::Aes256),
            (r#"{"KEY":"KEY32","Cipher":"ChaCha20"}"#, Cipher::ChaCha20),
            (r#"{"bytes":"KEY32","algorithm":"XCHACHA20-POLY1305","more":1}"#, Cipher::ChaCha20),
        ] {
            assert_eq!(import(body), Ok(cipher), "{body}");
        }
    }

    #[test]
    fn a_bad_import_has_its_own_errors() {
        for body in ["", "x", "[]", r#"{"key":1}"#, r#"{"key":"!"}"#, r#"{"key":"KEY32"} x"#] {
            assert_eq!(import(body), Err(ApiError::ImportBody), "{body}");
        }
        for body in ["{}", "null", r#"{"key":"AAAA","cipher":"AES256"}"#, r#"{"key":""}"#] {
            assert_eq!(import(body), Err(ApiError::KeySize(Cipher::Aes256)), "{body}");
        }
        let unknown = import(r#"{"key":"AAAA","cipher":"aes256"}"#).unwrap_err();
        assert_eq!(unknown.answer().2, "algorithm 'aes256' is not supported");
    }

    #[test]
    fn an_import_may_bring_its_hmac_key_and_its_origin() {
        let read = |more: &str| read_import(format!(r#"{{"key":"{KEY}"{more}}}"#).as_bytes());
        assert!(matches!(read("").unwrap().hmac, ImportedHmac::Random));
        assert!(matches!(read(r#","hmac":null"#).unwrap().hmac, ImportedHmac::Random));
        assert!(matches!(read(r#","hmac":"""#).unwrap().hmac, ImportedHmac::Absent));
        let given = read(&format!(r#","hmac":"{KEY}""#)).unwrap().hmac;
        assert!(matches!(given, ImportedHmac::Given(key) if key[..4] == [0, 1, 2, 3]));
        let by = "ab".repeat(32);
        let made = read(&format!(r#","created_at":"2022-03-01T10:00:00Z","created_by":"{by}""#)).unwrap().author;
        let (created_at, created_by) = (Some(1_646_128_800_000_000_000), Some(Identity::from_bytes([0xab; 32])));
        assert_eq!(made, Some(Author { created_at, created_by }));
        let unknown = read(r#","created_at":"0001-01-01T00:00:00Z""#).unwrap().author;
        assert_eq!(unknown, Some(Author { created_at: None, created_by: None }));
        for bad in [r#","hmac":"AAAA""#, r#","created_at":"soon""#, r#","created_by":"me""#] {
            assert_eq!(read(bad).err(), Some(ApiError::ImportBody), "{bad}");
        }
    }
}
