//! The forms of a ciphertext: the raw one, which the node writes, and the older ones, which it only reads (wire
//! contract, "Ciphertexts").

use std::borrow::Cow;

use super::aead::{NONCE, TAG};
use super::mask::{IV, Mask};
use super::older::{self, OlderForm};
use super::{Cipher, NotAuthentic};

/// The bytes that a raw ciphertext has more than its plaintext.
pub(super) const OVERHEAD: usize = TAG + IV + NONCE;

/// The parts of a ciphertext of any form.
#[derive(Debug, PartialEq, Eq)]
pub struct Ciphertext<'a> {
    /// The cipher that an older form names. The raw form names none.
    pub(super) claimed: Option<Cipher>,
    pub(super) iv: [u8; IV],
    pub(super) nonce: [u8; NONCE],
    /// The encrypted text and its tag.
    pub(super) sealed: Cow<'a, [u8]>,
}

impl<'a> Ciphertext<'a> {
    /// Splits a ciphertext into its parts. Other bytes become a ciphertext that no key opens. So parsing never fails,
    /// and the node can first answer whether the key exists.
    ///
    /// A raw ciphertext can begin like an older form by chance. It counts as an older form only if all of it parses: a
    /// known algorithm, an iv and a nonce of the right length, and no bytes after them. Random bytes parse with a
    /// probability below 2⁻¹⁰⁰, which is less than that of passing for authentic. So nothing is tried in both forms.
    pub fn parse(bytes: &'a [u8]) -> Self {
        let older = match bytes.first() {
            Some(b'{') => older::json(bytes),
            Some(0x95) => older::message_pack(bytes),
            _ => None,
        };
        older.map(Self::from).or_else(|| Self::raw(bytes)).unwrap_or(Self::UNOPENABLE)
    }

    /// The version in its iv, under the name's mask. Anybody can write an iv, so only opening proves the version.
    pub fn version(&self, mask: &Mask) -> Option<u32> {
        mask.version(&self.iv)
    }

    /// The encrypted text and the tag over it.
    pub(super) fn text_and_tag(&self) -> Result<(&[u8], &[u8; TAG]), NotAuthentic> {
        self.sealed.split_last_chunk().ok_or(NotAuthentic)
    }

    /// Its sealed part is shorter than a tag.
    const UNOPENABLE: Self = Self { claimed: None, iv: [0; IV], nonce: [0; NONCE], sealed: Cow::Borrowed(&[]) };

    fn raw(bytes: &'a [u8]) -> Option<Self> {
        let (bytes, nonce) = bytes.split_last_chunk()?;
        let (sealed, iv) = bytes.split_last_chunk()?;
        Some(Self { claimed: None, iv: *iv, nonce: *nonce, sealed: Cow::Borrowed(sealed) })
    }
}

impl<'a> From<OlderForm<'a>> for Ciphertext<'a> {
    fn from(older: OlderForm<'a>) -> Self {
        Self { claimed: Some(older.cipher), iv: older.iv, nonce: older.nonce, sealed: older.sealed }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, RngCore, SeedableRng};

    use super::*;

    #[test]
    fn a_raw_ciphertext_is_split_from_its_end_and_borrowed() {
        let bytes: Vec<u8> = (0..60).collect();
        let raw = Ciphertext::parse(&bytes);
        assert_eq!((&raw.iv[..], &raw.nonce[..]), (&bytes[32..48], &bytes[48..]));
        assert!(matches!(raw.sealed, Cow::Borrowed(sealed) if sealed == &bytes[..32]));
    }

    #[test]
    fn bytes_that_only_begin_like_an_older_form_are_raw() {
        for first in [b'{', 0x95] {
            let mut bytes = [7; 60];
            bytes[0] = first;
            let raw = Ciphertext::parse(&bytes);
            assert_eq!((raw.claimed, &raw.sealed[..]), (None, &bytes[..32]));
        }
    }

    #[test]
    fn too_few_bytes_become_a_ciphertext_that_no_key_opens() {
        for length in 0..IV + NONCE {
            assert_eq!(Ciphertext::parse(&vec![1; length]), Ciphertext::UNOPENABLE);
        }
        assert_eq!(Ciphertext::parse(&[1; OVERHEAD - 1]).text_and_tag(), Err(NotAuthentic));
    }

    #[test]
    fn parsing_never_panics() {
        let mut rng = StdRng::seed_from_u64(1);
        for round in 0..10_000_usize {
            let mut bytes = vec![0; rng.random_range(0..200)];
            rng.fill_bytes(&mut bytes);
            let opening =
                [&b""[..], b"{", b"{\"iv\":", b"\x95", b"\x95\xa6AES256", b"\x95\xa6AES256\xa0\xc4\x10"][round % 6];
            let bytes = [opening, &bytes].concat();
            let _ = Ciphertext::parse(&bytes).text_and_tag();
        }
    }
}
