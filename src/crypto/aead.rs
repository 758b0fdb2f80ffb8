//! The two AEADs, which encrypt bytes in place, under a key for one message or one purpose.

use aes::Aes256Enc;
use aes_gcm::aead::consts::U12;
use aes_gcm::{AeadInPlace, AesGcm, KeyInit};
use chacha20poly1305::ChaCha20Poly1305;
use thiserror::Error;

use super::Cipher;

/// Length of an authentication tag, in bytes.
pub(super) const TAG: usize = 16;

/// Length of a nonce, in bytes.
pub(super) const NONCE: usize = 12;

/// AES-256-GCM. Counter mode only encrypts, so this type saves the schedule of the decryption key.
type Aes256Gcm = AesGcm<Aes256Enc, U12>;

/// The bytes were not sealed under this key with this context, or somebody changed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not authentic")]
pub struct NotAuthentic;

/// Encrypts `text` in place, and returns the tag over it and `context`.
pub(super) fn seal(cipher: Cipher, key: &[u8; 32], nonce: &[u8; NONCE], context: &[u8], text: &mut [u8]) -> [u8; TAG] {
    let tag = match cipher {
        Cipher::Aes256 => Aes256Gcm::new(key.into()).encrypt_in_place_detached(nonce.into(), context, text),
        Cipher::ChaCha20 => ChaCha20Poly1305::new(key.into()).encrypt_in_place_detached(nonce.into(), context, text),
    };
    tag.expect("a message in memory is shorter than the 64 GiB both ciphers take").into()
}

/// Verifies the tag over `text` and `context`, and then decrypts `text` in place. If the tag is wrong, `text` stays.
pub(super) fn open(
    cipher: Cipher,
    key: &[u8; 32],
    nonce: &[u8; NONCE],
    context: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), NotAuthentic> {
    let (nonce, tag) = (nonce.into(), tag.into());
    let opened = match cipher {
        Cipher::Aes256 => Aes256Gcm::new(key.into()).decrypt_in_place_detached(nonce, context, text, tag),
        Cipher::ChaCha20 => ChaCha20Poly1305::new(key.into()).decrypt_in_place_detached(nonce, context, text, tag),
    };
    opened.map_err(|_| NotAuthentic)
}
