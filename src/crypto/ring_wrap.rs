//! A wrap: a version of the key ring, encrypted by a root key.

use super::aead::{self, NONCE, TAG};
use super::binding::{RecordKind, associated_data};
use super::{Cipher, LockedSecret, RootKey};

/// A version of the ring, wrapped by the root key of one seal. A version has one for each seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingWrap {
    /// The version of the ring.
    pub version: u32,
    /// The random id of the seal. It says nothing about the root key.
    pub seal: [u8; 16],
    /// The random nonce.
    pub nonce: [u8; 12],
    /// The ring key, encrypted with AES-256-GCM, and the tag.
    pub sealed: [u8; 48],
}

impl RingWrap {
    pub(super) fn new(
        version: u32,
        key: &LockedSecret<32>,
        root: &RootKey,
        seal: [u8; 16],
        cluster: &[u8; 16],
        nonce: [u8; NONCE],
    ) -> Self {
        let mut sealed = [0; 32 + TAG];
        let (text, tag) = sealed.split_at_mut(32);
        text.copy_from_slice(key.expose());
        let context = associated_data(RecordKind::Ring, cluster, &[&version.to_be_bytes()]);
        tag.copy_from_slice(&aead::seal(Cipher::Aes256, &root.wrapping_key(), &nonce, &context, text));
        Self { version, seal, nonce, sealed }
    }

    pub(super) fn open(&self, root: &RootKey, cluster: &[u8; 16]) -> Option<LockedSecret<32>> {
        let (text, tag) = self.sealed.split_last_chunk()?;
        let mut key = LockedSecret::from_bytes(text.try_into().ok()?);
        let context = associated_data(RecordKind::Ring, cluster, &[&self.version.to_be_bytes()]);
        let opened = aead::open(Cipher::Aes256, &root.wrapping_key(), &self.nonce, &context, key.expose_mut(), tag);
        opened.is_ok().then_some(key)
    }
}
