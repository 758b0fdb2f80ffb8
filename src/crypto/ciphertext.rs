//! The forms of a ciphertext: the one that is written, and the older ones that are still read (wire contract,
//! "Ciphertexts").

use std::borrow::Cow;

use super::aead::{NONCE, TAG};
use super::mask::{IV, Mask};
use super::{Cipher, NotAuthentic, older};

/// What the format written adds to a plaintext, in bytes.
pub(super) const OVERHEAD: usize = TAG + IV + NONCE;

/// A ciphertext of any form, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Ciphertext<'a> {
    /// The cipher that an older form names.
    pub(super) claimed: Option<Cipher>,
    pub(super) iv: [u8; IV],
    pub(super) nonce: [u8; NONCE],
    /// The encrypted text and its tag.
    pub(super) sealed: Cow<'a, [u8]>,
}

impl<'a> Ciphertext<'a> {
    /// Takes a ciphertext apart. Bytes that are none become one that no key opens, so that whether the key exists is
    /// answered first.
    ///
    /// A raw ciphertext can begin like an older form by chance, and is raw when it does not parse as one entirely:
    /// known algorithm, lengths of iv and nonce, nothing after it. What does parse is never tried as raw as well;
    /// that random bytes parse is less likely (below 2⁻¹⁰⁰) than that they authenticate.
    pub fn parse(bytes: &'a [u8]) -> Self {
        let older = match bytes.first() {
            Some(b'{') => older::json(bytes),
            Some(0x95) => older::message_pack(bytes),
            _ => None,
        };
        older.or_else(|| Self::raw(bytes)).unwrap_or(Self::NONE)
    }

    /// The version of the key that sealed it, if its iv carries one under the name's mask. Not yet authentic.
    pub fn version(&self, mask: &Mask) -> Option<u32> {
        mask.version(&self.iv)
    }

    /// The encrypted text and the tag over it.
    pub(super) fn text_and_tag(&self) -> Result<(&[u8], &[u8; TAG]), NotAuthentic> {
        self.sealed.split_last_chunk().ok_or(NotAuthentic)
    }

    const NONE: Self = Self { claimed: None, iv: [0; IV], nonce: [0; NONCE], sealed: Cow::Borrowed(&[]) };

    fn raw(bytes: &'a [u8]) -> Option<Self> {
        let (bytes, nonce) = bytes.split_last_chunk()?;
        let (sealed, iv) = bytes.split_last_chunk()?;
        Some(Self { claimed: None, iv: *iv, nonce: *nonce, sealed: Cow::Borrowed(sealed) })
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, RngCore, SeedableRng};

    use super::*;

    #[test]
    fn a_raw_one_is_cut_from_its_end_and_borrowed() {
        let bytes: Vec<u8> = (0..60).collect();
        let raw = Ciphertext::parse(&bytes);
        assert_eq!((&raw.iv[..], &raw.nonce[..]), (&bytes[32..48], &bytes[48..]));
        assert!(matches!(raw.sealed, Cow::Borrowed(sealed) if sealed == &bytes[..32]));
    }

    #[test]
    fn what_begins_like_an_older_form_but_is_none_is_raw() {
        for first in [b'{', 0x95] {
            let mut bytes = [7; 60];
            bytes[0] = first;
            let raw = Ciphertext::parse(&bytes);
            assert_eq!((raw.claimed, &raw.sealed[..]), (None, &bytes[..32]));
        }
    }

    #[test]
    fn too_few_bytes_are_no_ciphertext() {
        for length in 0..IV + NONCE {
            assert_eq!(Ciphertext::parse(&vec![1; length]), Ciphertext::NONE);
        }
        assert_eq!(Ciphertext::parse(&[1; OVERHEAD - 1]).text_and_tag(), Err(NotAuthentic));
    }

    #[test]
    fn no_bytes_make_it_panic() {
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
