//! HMAC-SHA-256 with its two key blocks hashed ahead, which halves the cost of a short message.
//!
//! The `hmac` crate computes the same, but leaves that state, which is as good as the key, in memory when dropped.

use std::fmt;

use sha2::compress256;
use sha2::digest::generic_array::GenericArray;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::Secret;

/// SHA-256's block, in bytes.
const BLOCK: usize = 64;

/// SHA-256's chaining value before the first block (FIPS 180-4, section 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// An HMAC-SHA-256 key, ready for use.
pub(super) struct Hmac(Box<Pads>);

/// The chaining values after the inner and the outer key block.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Pads {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Hmac {
    /// Hashes the key blocks (RFC 2104, section 2).
    pub fn new<const N: usize>(key: &Secret<N>) -> Self {
        const { assert!(N <= BLOCK, "RFC 2104 hashes longer keys first") };
        let mut block = Zeroizing::new([0x36; BLOCK]);
        xor(&mut block[..], key.expose());
        let mut pads = Box::new(Pads { inner: INITIAL, outer: INITIAL });
        absorb(&mut pads.inner, &block);
        xor(&mut block[..], &[0x36 ^ 0x5c; BLOCK]);
        absorb(&mut pads.outer, &block);
        Self(pads)
    }

    /// The HMAC of `message`.
    pub fn of(&self, message: &[u8]) -> Zeroizing<[u8; 32]> {
        let inner = finish(self.0.inner, message);
        finish(self.0.outer, &inner[..])
    }
}

/// The hash of one block, whose chaining value is `state`, followed by `rest`.
fn finish(state: [u32; 8], rest: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut state = Zeroizing::new(state);
    let (blocks, tail) = rest.as_chunks();
    blocks.iter().for_each(|block| absorb(&mut state, block));
    absorb_last(&mut state, tail, BLOCK + rest.len());
    let mut hash = Zeroizing::new([0; 32]);
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state.iter()) {
        *bytes = word.to_be_bytes();
    }
    hash
}

/// Absorbs `tail` and the padding that ends a message of `length` bytes in all (FIPS 180-4, section 5.1.1).
fn absorb_last(state: &mut [u32; 8], tail: &[u8], length: usize) {
    let mut padded = [[0; BLOCK]; 2];
    let used = if tail.len() + 1 + 8 <= BLOCK { 1 } else { 2 };
    let bytes = &mut padded.as_flattened_mut()[..used * BLOCK];
    bytes[..tail.len()].copy_from_slice(tail);
    bytes[tail.len()] = 0x80;
    let (_, bits) = bytes.split_last_chunk_mut().expect("a block holds the eight bytes of its length");
    *bits = (8 * length as u64).to_be_bytes();
    padded[..used].iter().for_each(|block| absorb(state, block));
}

fn absorb(state: &mut [u32; 8], block: &[u8; BLOCK]) {
    compress256(state, std::slice::from_ref(<&GenericArray<_, _>>::from(block)));
}

fn xor(bytes: &mut [u8], with: &[u8]) {
    bytes.iter_mut().zip(with).for_each(|(byte, with)| *byte ^= with);
}

impl fmt::Debug for Hmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hmac(..)")
    }
}

#[cfg(test)]
mod tests {
    use hmac::Mac;

    use super::*;

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
        let ours = Hmac::new(&key);
        for length in 0..=message.len() {
            let mut theirs = hmac::Hmac::<sha2::Sha256>::new_from_slice(key.expose()).unwrap();
            theirs.update(&message[..length]);
            assert_eq!(ours.of(&message[..length])[..], theirs.finalize().into_bytes()[..], "{length} bytes");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Hmac::new(&Secret::from_bytes(&[65; 32]))), "Hmac(..)");
    }
}
