//! Secret bytes: they are wiped on drop, hidden from `Debug`, and compared in constant time.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::random;

/// `N` secret bytes. They are on the heap, so that a move leaves no copy behind.
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Random bytes.
    pub fn random() -> Self {
        let mut secret = Self(Box::new([0; N]));
        random::fill_key(&mut secret.0[..]);
        secret
    }

    /// A copy of `bytes`. The caller wipes the original.
    pub fn from_bytes(bytes: &[u8; N]) -> Self {
        let mut secret = Self(Box::new([0; N]));
        secret.0.copy_from_slice(bytes);
        secret
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// The bytes, for decrypting them in place.
    pub(super) fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> Clone for Secret<N> {
    fn clone(&self) -> Self {
        Self::from_bytes(&self.0)
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0[..]).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::from_bytes(&[65; 32])), "Secret<32>(..)");
    }

    #[test]
    fn equal_bytes_are_equal_and_random_ones_are_not() {
        let secret = Secret::<16>::random();
        assert_eq!(secret, Secret::from_bytes(secret.expose()));
        assert_eq!(secret, secret.clone());
        assert_ne!(secret, Secret::random());
    }
}
