//! The additive digest of the replicated state: equal on two nodes exactly when they hold the same entries.
//!
//! Each entry counts with an HMAC. Somebody could find entries whose bare hashes add up to a given sum.

use std::fmt;

use crate::crypto::DigestKey;

/// The sum, modulo 2^256, of the HMAC of every entry; adding and removing cost one HMAC each.
///
/// An entry is its key and its value. The sum does not depend on the order in which entries came.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest([u64; 4]);

impl Digest {
    /// Adds an entry.
    pub fn add(&mut self, digest_key: &DigestKey, key: &[u8], value: &[u8]) {
        self.add_all(term(digest_key, key, value));
    }

    /// Adds all entries of another digest.
    pub fn add_all(&mut self, other: Self) {
        let mut carry = false;
        for (sum, term) in self.0.iter_mut().zip(other.0) {
            let (partial, first) = sum.overflowing_add(term);
            let (total, second) = partial.overflowing_add(u64::from(carry));
            (*sum, carry) = (total, first || second);
        }
    }

    /// Removes an entry that was added before.
    pub fn remove(&mut self, digest_key: &DigestKey, key: &[u8], value: &[u8]) {
        let mut borrow = false;
        for (sum, term) in self.0.iter_mut().zip(term(digest_key, key, value).0) {
            let (partial, first) = sum.overflowing_sub(term);
            let (total, second) = partial.overflowing_sub(u64::from(borrow));
            (*sum, borrow) = (total, first || second);
        }
    }

    /// The 32 bytes, least significant first.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The digest with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes"));
        }
        Self(words)
    }
}

fn term(digest_key: &DigestKey, key: &[u8], value: &[u8]) -> Digest {
    // With its length, no key runs into its value.
    let length = (key.len() as u64).to_be_bytes();
    Digest::from_bytes(digest_key.term(&[&length, key, value]))
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.to_bytes()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::IntegrityKeys;

    fn key(byte: u8) -> DigestKey {
        IntegrityKeys::of_bytes(1, [byte; 32]).digest(1).unwrap().clone()
    }

    #[test]
    fn the_sum_depends_on_what_is_there_and_not_on_the_order() {
        let entries: Vec<(Vec<u8>, Vec<u8>)> = (0..100u8).map(|i| (vec![i], vec![i; usize::from(i)])).collect();
        let (mut forward, mut backward) = (Digest::default(), Digest::default());
        entries.iter().for_each(|(k, v)| forward.add(&key(1), k, v));
        entries.iter().rev().for_each(|(k, v)| backward.add(&key(1), k, v));
        assert_eq!(forward, backward);
        assert_eq!(Digest::from_bytes(forward.to_bytes()), forward);
        entries.iter().for_each(|(k, v)| forward.remove(&key(1), k, v));
        assert_eq!(forward, Digest::default());
    }

    #[test]
    fn key_and_value_do_not_run_together() {
        let (mut a, mut b) = (Digest::default(), Digest::default());
        a.add(&key(1), b"ab", b"c");
        b.add(&key(1), b"a", b"bc");
        assert_ne!(a, b);
    }

    #[test]
    fn the_sum_depends_on_the_key() {
        let (mut a, mut b) = (Digest::default(), Digest::default());
        a.add(&key(1), b"a", b"b");
        b.add(&key(2), b"a", b"b");
        assert_ne!(a, b);
    }
}
