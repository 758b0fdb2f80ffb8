//! HMAC-SHA-256 (RFC 2104). It hashes its key once, which halves the cost of a short message.

use std::fmt;

use hmac::{KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{LockedSecret, Secret};

/// An HMAC-SHA-256 key, ready for use. Its state is as secret as the key, and is wiped when it is dropped.
pub(super) struct Hmac(Box<hmac::Hmac<Sha256>>);

impl Hmac {
    /// Hashes the key blocks.
    pub fn new<const N: usize>(key: &Secret<N>) -> Self {
        Self::of_bytes(key.expose())
    }

    /// The same for a key on a locked page. What this hashes is on the heap, so drop it soon.
    pub fn of_locked<const N: usize>(key: &LockedSecret<N>) -> Self {
        Self::of_bytes(key.expose())
    }

    fn of_bytes(key: &[u8]) -> Self {
        Self(Box::new(hmac::Hmac::new_from_slice(key).expect("an HMAC key may have any length")))
    }

    /// The HMAC of `message`.
    pub fn of(&self, message: &[u8]) -> Zeroizing<[u8; 32]> {
        self.of_parts([message])
    }

    /// The HMAC of these parts, one after the other.
    pub fn of_parts<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Zeroizing<[u8; 32]> {
        let mut hmac = hmac::Hmac::clone(&self.0);
        parts.into_iter().for_each(|part| hmac.update(part));
        Zeroizing::new(hmac.finalize().into_bytes().into())
    }

    /// The HMAC of a list. Each part follows its length as `u64`, so that no two lists have the same HMAC.
    pub fn of_list(&self, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut hmac = hmac::Hmac::clone(&self.0);
        for part in parts {
            hmac.update(&(part.len() as u64).to_be_bytes());
            hmac.update(part);
        }
        Zeroizing::new(hmac.finalize().into_bytes().into())
    }

    /// Whether this is the HMAC of the list. The comparison takes the same time for all bytes.
    pub fn verifies(&self, parts: &[&[u8]], hmac: &[u8; 32]) -> bool {
        self.of_list(parts)[..].ct_eq(hmac).into()
    }
}

impl fmt::Debug for Hmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hmac(..)")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac as aws_lc;
    use zeroize::ZeroizeOnDrop;

    use super::*;

    /// `hmac::Hmac` does not implement the trait, but it consists of two such states and a block of the message.
    #[test]
    fn the_hashed_key_is_wiped_on_drop() {
        fn wiped<T: ZeroizeOnDrop>() {}
        wiped::<<Sha256 as hmac::EagerHash>::Core>();
    }

    #[test]
    fn the_vectors_of_rfc_4231_hold() {
        let hex = |hmac: &[u8; 32]| hex::encode(hmac);
        let first = Hmac::new(&Secret::from_bytes(&[0x0b; 20])).of(b"Hi There");
        assert_eq!(hex(&first), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        let second = Hmac::new(&Secret::from_bytes(b"Jefe")).of(b"what do ya want for nothing?");
        assert_eq!(hex(&second), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn every_length_agrees_with_another_implementation() {
        let (key, message) = (Secret::<32>::random(), crate::crypto::random::bytes::<300>());
        let (ours, theirs) = (Hmac::new(&key), aws_lc::Key::new(aws_lc::HMAC_SHA256, key.expose()));
        for length in 0..=message.len() {
            let message = &message[..length];
            assert_eq!(ours.of(message)[..], *aws_lc::sign(&theirs, message).as_ref(), "{length} bytes");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Hmac::new(&Secret::from_bytes(&[65; 32]))), "Hmac(..)");
    }
}
