//! Random bytes that differ between clones of a running machine (design, "Libraries").
//!
//! In a simulation (cargo feature `simulation`), all come from the system, whose answers the simulation seeds.

use std::sync::OnceLock;

use chacha20::ChaCha12;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use rand::RngCore;
use rand_core::TryRng;
use rdrand::RdRand;
use zeroize::Zeroizing;

/// Fills `bytes` for a nonce, an id or a data key.
///
/// The bytes are a stream of ChaCha12. Its key comes from a generator of this thread, which a clone of the machine has,
/// too. Its nonce is new in each call, so two clones get different streams. Each call costs as much as some hundred
/// bytes, so a caller that needs several values draws them at once.
pub fn fill(bytes: &mut [u8]) {
    let mut key = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(&mut key[..]);
    bytes.fill(0);
    ChaCha12::new((&*key).into(), &new_nonce().into()).apply_keystream(bytes);
}

/// `N` bytes as [`fill`] makes them.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Fills `bytes` for a key that lasts, from two sources: the system, and aws-lc's generator. Either one is enough.
pub(super) fn fill_key(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("a system without randomness cannot keep keys");
    if cfg!(feature = "simulation") {
        return;
    }
    let mut other = Zeroizing::new(vec![0; bytes.len()]);
    aws_lc_rs::rand::fill(&mut other).expect("aws-lc ends the process when it lacks randomness");
    bytes.iter_mut().zip(&*other).for_each(|(byte, other)| *byte ^= other);
}

/// A nonce from outside of this machine's memory: from the processor if it draws random numbers, else from the system.
fn new_nonce() -> [u8; 12] {
    let mut nonce = [0; 12];
    match from_processor() {
        Some(drawn) => nonce[..8].copy_from_slice(&drawn.to_ne_bytes()),
        None => getrandom::fill(&mut nonce).expect("a system without randomness cannot keep keys"),
    }
    nonce
}

/// A number that the processor draws. `None` if it cannot.
fn from_processor() -> Option<u64> {
    static PROCESSOR: OnceLock<Option<RdRand>> = OnceLock::new();
    if cfg!(feature = "simulation") {
        return None;
    }
    let mut processor = (*PROCESSOR.get_or_init(|| RdRand::new().ok()))?;
    processor.try_next_u64().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn bytes_do_not_repeat() {
        let drawn: BTreeSet<_> = (0..1000).map(|_| bytes::<16>()).chain([[0; 16]]).collect();
        assert_eq!(drawn.len(), 1001);
        let key = || {
            let mut key = [0; 32];
            fill_key(&mut key);
            key
        };
        assert_eq!(BTreeSet::from([key(), key(), [0; 32]]).len(), 3);
    }

    #[test]
    fn any_length_is_filled() {
        for length in [1, 12, 52, 64, 65, 1000] {
            let mut either = vec![0; length];
            for _ in 0..10 {
                let mut drawn = vec![0; length];
                fill(&mut drawn);
                either.iter_mut().zip(drawn).for_each(|(either, drawn)| *either |= drawn);
            }
            assert!(either.iter().all(|byte| *byte != 0), "{length}: {either:?}");
        }
    }

    /// A clone has the same state of the generator, and so the same key of the stream.
    #[test]
    fn the_nonce_of_each_draw_is_new() {
        let nonces: BTreeSet<_> = (0..1000).map(|_| new_nonce()).collect();
        assert_eq!(nonces.len(), 1000);
    }
}
