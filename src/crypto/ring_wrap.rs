//! The stored forms of a ring version: its key, wrapped by root keys, and sealed under another ring version.
//!
//! A wrap has 77 bytes: format `u8` 1, seal id `[16]`, nonce `[12]`, ciphertext `[32]`, tag `[16]`. A link, the key under
//! another version, has the same without the seal id: 61 bytes.

use super::aead::{self, NONCE, TAG};
use super::binding::{RecordKind, associated_data};
use super::hmac::Hmac;
use super::{Cipher, LockedSecret, RootKey};

/// The first byte of a wrap and of a link.
const FORMAT: u8 = 1;
/// The length of a wrap.
const WRAP_BYTES: usize = 1 + 16 + NONCE + 32 + TAG;
/// The label of the key that seals links, which is derived from the key of the other version.
const LINK_LABEL: &[u8] = b"keyraft next ring version 1";
/// The length of a link.
const LINK_BYTES: usize = 1 + NONCE + 32 + TAG;

/// A ring version as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRingVersion<'a> {
    /// The version.
    pub version: u32,
    /// Its wraps.
    pub wraps: Vec<RingWrap>,
    /// Another version, and the key of this one sealed under that one.
    pub link: Option<(u32, &'a [u8])>,
}

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
        let sealed = seal_key(key, &root.wrapping_key(), nonce, &wrap_context(cluster, version));
        Self { version, seal, nonce, sealed }
    }

    pub(super) fn open(&self, root: &RootKey, cluster: &[u8; 16]) -> Option<LockedSecret<32>> {
        open_key(&self.sealed, &root.wrapping_key(), &self.nonce, &wrap_context(cluster, self.version))
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        [&[FORMAT][..], &self.seal, &self.nonce, &self.sealed].concat()
    }

    /// Reads the stored form of a wrap of this version. `None` for another format.
    pub fn decode(version: u32, bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[FORMAT]).filter(|_| bytes.len() == WRAP_BYTES)?;
        let (seal, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        Some(Self { version, seal: *seal, nonce: *nonce, sealed: rest.try_into().ok()? })
    }
}

/// Seals the key of a version under the key of another one.
pub(super) fn seal_link(
    version: u32,
    key: &LockedSecret<32>,
    previous: (u32, &LockedSecret<32>),
    cluster: &[u8; 16],
    nonce: [u8; NONCE],
) -> Vec<u8> {
    let context = link_context(cluster, previous.0, version);
    let sealed = seal_key(key, &Hmac::of_locked(previous.1).of(LINK_LABEL), nonce, &context);
    [&[FORMAT][..], &nonce, &sealed].concat()
}

/// Opens what [`seal_link`] sealed.
pub(super) fn open_link(
    version: u32,
    link: &[u8],
    previous: (u32, &LockedSecret<32>),
    cluster: &[u8; 16],
) -> Option<LockedSecret<32>> {
    let rest = link.strip_prefix(&[FORMAT]).filter(|_| is_link(link))?;
    let (nonce, sealed) = rest.split_first_chunk()?;
    let context = link_context(cluster, previous.0, version);
    open_key(sealed.try_into().ok()?, &Hmac::of_locked(previous.1).of(LINK_LABEL), nonce, &context)
}

/// Whether these bytes have the form of a key that is sealed under another ring version.
pub fn is_link(bytes: &[u8]) -> bool {
    bytes.len() == LINK_BYTES && bytes[0] == FORMAT
}

fn wrap_context(cluster: &[u8; 16], version: u32) -> Vec<u8> {
    associated_data(RecordKind::Ring, cluster, &[&version.to_be_bytes()])
}

fn link_context(cluster: &[u8; 16], previous: u32, version: u32) -> Vec<u8> {
    associated_data(RecordKind::Ring, cluster, &[&previous.to_be_bytes(), &version.to_be_bytes()])
}

fn seal_key(key: &LockedSecret<32>, under: &[u8; 32], nonce: [u8; NONCE], context: &[u8]) -> [u8; 32 + TAG] {
    // Encrypt in locked memory, so that only the ciphertext leaves it.
    let mut text = key.clone();
    let tag = aead::seal(Cipher::Aes256, under, &nonce, context, text.expose_mut());
    let mut sealed = [0; 32 + TAG];
    let (first, last) = sealed.split_at_mut(32);
    first.copy_from_slice(text.expose());
    last.copy_from_slice(&tag);
    sealed
}

fn open_key(
    sealed: &[u8; 32 + TAG],
    under: &[u8; 32],
    nonce: &[u8; NONCE],
    context: &[u8],
) -> Option<LockedSecret<32>> {
    let (text, tag) = sealed.split_last_chunk()?;
    let mut key = LockedSecret::from_bytes(text.try_into().ok()?);
    aead::open(Cipher::Aes256, under, nonce, context, key.expose_mut(), tag).ok()?;
    Some(key)
}
