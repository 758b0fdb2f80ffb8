//! Random bytes: from a buffered generator for nonces, ids and data keys, and from the operating system for stored
//! keys.

use rand::RngCore;

/// Fills `bytes` from a generator of this thread, which the operating system seeds again and again.
pub fn fill(bytes: &mut [u8]) {
    rand::rng().fill_bytes(bytes);
}

/// `N` bytes as [`fill`] makes them.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Fills `bytes` from the operating system.
pub(super) fn fill_from_os(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("a system without randomness cannot keep keys");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_do_not_repeat() {
        assert_ne!(bytes::<32>(), bytes::<32>());
        assert_ne!(bytes::<32>(), [0; 32]);
    }
}
