//! The version of a key, hidden in the iv of what it sealed (design, "Nodes, clusters and keys").
//!
//! After a rotation a ciphertext alone must lead to its version, but its bytes must look random as before. So the iv is
//! `r ‖ ((BE32 version ‖ BE32 0) XOR HMAC-SHA-256(mask secret, r)[..8])`, where `r` are eight random bytes. Without the
//! mask secret, this looks random. With it, the four zero bytes distinguish it from the iv of an imported ciphertext.

use super::Secret;
use super::hmac::Hmac;

/// The first version of every key.
pub const FIRST_VERSION: u32 = 1;

/// Length of an iv, in bytes.
pub(super) const IV: usize = 16;
/// Length of the random bytes with which it begins.
pub(super) const IV_RANDOM: usize = 8;

/// A name's mask secret, ready for use. All versions of the name have the same.
#[derive(Debug)]
pub struct Mask(Hmac);

impl Mask {
    /// Prepares a mask secret.
    pub(super) fn new(secret: &Secret<16>) -> Self {
        Self(Hmac::new(secret))
    }

    /// The iv that carries `version` and begins with these random bytes.
    pub(super) fn iv(&self, version: u32, r: [u8; IV_RANDOM]) -> [u8; IV] {
        let tail = (u64::from(version) << 32) ^ self.stream(r);
        let mut iv = [0; IV];
        iv[..IV_RANDOM].copy_from_slice(&r);
        iv[IV_RANDOM..].copy_from_slice(&tail.to_be_bytes());
        iv
    }

    /// The version that `iv` carries. For one in 2³² random ivs, this finds a version too.
    pub(super) fn version(&self, iv: &[u8; IV]) -> Option<u32> {
        let (r, tail) = iv.split_first_chunk()?;
        let unmasked = u64::from_be_bytes(tail.try_into().ok()?) ^ self.stream(*r);
        let (version, zeros) = (u32::try_from(unmasked >> 32).ok()?, unmasked & u64::from(u32::MAX));
        (zeros == 0).then_some(version)
    }

    /// The eight bytes that hide the version that follows `r`.
    fn stream(&self, r: [u8; IV_RANDOM]) -> u64 {
        let hmac = self.0.of(&r);
        u64::from_be_bytes(*hmac.first_chunk().expect("an HMAC is 32 bytes"))
    }
}

/// The versions to try on a ciphertext, in order: the one that it carries, and then the first. The key of the first may
/// have been imported, and ciphertexts from before the import carry no version. So there are at most two.
pub fn candidates(carried: Option<u32>) -> impl Iterator<Item = u32> {
    carried.filter(|version| *version != FIRST_VERSION).into_iter().chain([FIRST_VERSION])
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngCore, SeedableRng};

    use super::*;
    use crate::crypto::random;

    #[test]
    fn an_iv_carries_its_version_to_its_own_mask_only() {
        let [mask, other] = [7, 8].map(|byte| Mask::new(&Secret::from_bytes(&[byte; 16])));
        for version in [1, 2, 256, u32::MAX] {
            let iv = mask.iv(version, random::bytes());
            assert_eq!(mask.version(&iv), Some(version));
            assert_ne!(iv, mask.iv(version, random::bytes()));
            assert_eq!(other.version(&iv), None);
        }
    }

    #[test]
    fn an_iv_has_the_documented_layout() {
        let secret = Secret::from_bytes(&[7; 16]);
        let iv = Mask::new(&secret).iv(0x0102_0304, random::bytes());
        let hmac = Hmac::new(&secret).of(&iv[..8]);
        let tail: Vec<u8> = iv[8..].iter().zip(hmac.iter()).map(|(a, b)| a ^ b).collect();
        assert_eq!(tail, [1, 2, 3, 4, 0, 0, 0, 0]);
    }

    #[test]
    fn random_ivs_carry_no_version() {
        let (mask, mut rng) = (Mask::new(&Secret::from_bytes(&[7; 16])), StdRng::seed_from_u64(1));
        for _ in 0..10_000 {
            let mut iv = [0; IV];
            rng.fill_bytes(&mut iv);
            assert_eq!(mask.version(&iv), None);
        }
    }

    #[test]
    fn the_carried_version_comes_first_and_the_first_last() {
        for (carried, expected) in [(None, vec![1]), (Some(1), vec![1]), (Some(3), vec![3, 1])] {
            assert_eq!(candidates(carried).collect::<Vec<_>>(), expected, "{carried:?}");
        }
    }
}
