//! Secrets of the cluster that are sealed under the key ring: the integrity keys and the cluster key.
//!
//! A sealed secret has 65 bytes: format `u8` 1, ring version `u32`, nonce `[12]`, ciphertext `[32]`, tag `[16]`. It is bound
//! to its cluster, its kind and its version.

use std::fmt;

use thiserror::Error;

use super::aead::{self, NONCE, TAG};
use super::binding::{RecordKind, associated_data};
use super::ring::Ring;
use super::{Cipher, Secret, random};

const FORMAT: u8 = 1;
/// The length of a sealed secret.
const SEALED_BYTES: usize = 1 + 4 + NONCE + 32 + TAG;

/// What a sealed secret is. One of a kind never opens as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// A version of the integrity keys.
    IntegrityKey,
    /// The seed of the cluster key.
    ClusterKey,
}

/// A sealed secret does not open: it is damaged, or another ring or another cluster sealed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("version {version} of the cluster's {kind} does not open under the key ring")]
pub struct SealedSecretError {
    /// The kind.
    pub kind: SecretKind,
    /// Its version.
    pub version: u32,
}

/// Seals a secret under the active version of the ring.
pub(super) fn seal_secret(
    kind: SecretKind,
    version: u32,
    secret: &Secret<32>,
    ring: &Ring,
    cluster: &[u8; 16],
) -> Vec<u8> {
    seal_with(kind, version, secret, ring, cluster, random::bytes())
}

/// Seals a secret with this nonce.
pub(super) fn seal_with(
    kind: SecretKind,
    version: u32,
    secret: &Secret<32>,
    ring: &Ring,
    cluster: &[u8; 16],
    nonce: [u8; NONCE],
) -> Vec<u8> {
    let mut text = Secret::from_bytes(secret.expose());
    let context = context(kind, version, ring.active(), cluster);
    let key = ring.secret_key(ring.active()).expect("a ring holds its active version");
    let tag = aead::seal(Cipher::Aes256, &key, &nonce, &context, text.expose_mut());
    [&[FORMAT][..], &ring.active().to_be_bytes(), &nonce, text.expose(), &tag].concat()
}

/// Opens a sealed secret.
pub(super) fn open_secret(
    kind: SecretKind,
    version: u32,
    sealed: &[u8],
    ring: &Ring,
    cluster: &[u8; 16],
) -> Result<Secret<32>, SealedSecretError> {
    open(kind, version, sealed, ring, cluster).ok_or(SealedSecretError { kind, version })
}

/// The ring version under which this secret is sealed. `None` when the bytes are damaged.
pub fn ring_version_of(sealed: &[u8]) -> Option<u32> {
    let rest = sealed.strip_prefix(&[FORMAT]).filter(|_| sealed.len() == SEALED_BYTES)?;
    rest.first_chunk().copied().map(u32::from_be_bytes)
}

fn open(kind: SecretKind, version: u32, sealed: &[u8], ring: &Ring, cluster: &[u8; 16]) -> Option<Secret<32>> {
    let ring_version = ring_version_of(sealed)?;
    let (nonce, rest) = sealed[5..].split_first_chunk::<NONCE>()?;
    let (text, tag) = rest.split_first_chunk::<32>()?;
    let mut secret = Secret::from_bytes(text);
    let context = context(kind, version, ring_version, cluster);
    let key = ring.secret_key(ring_version)?;
    let opened = aead::open(Cipher::Aes256, &key, nonce, &context, secret.expose_mut(), tag.try_into().ok()?);
    opened.is_ok().then_some(secret)
}

fn context(kind: SecretKind, version: u32, ring_version: u32, cluster: &[u8; 16]) -> Vec<u8> {
    let kind: &[u8] = match kind {
        SecretKind::IntegrityKey => b"integrity key",
        SecretKind::ClusterKey => b"cluster key",
    };
    let fields: [&[u8]; 3] = [kind, &version.to_be_bytes(), &ring_version.to_be_bytes()];
    associated_data(RecordKind::ClusterSecret, cluster, &fields)
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IntegrityKey => "integrity keys",
            Self::ClusterKey => "cluster key",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: [u8; 16] = [1; 16];

    #[test]
    fn a_secret_opens_as_what_it_is_and_as_nothing_else() {
        let (ring, secret) = (Ring::generate(), Secret::random());
        let sealed = seal_secret(SecretKind::IntegrityKey, 1, &secret, &ring, &CLUSTER);
        assert_eq!((sealed.len(), ring_version_of(&sealed)), (SEALED_BYTES, Some(1)));
        let open = |kind, version, sealed: &[u8]| open_secret(kind, version, sealed, &ring, &CLUSTER);
        assert_eq!(open(SecretKind::IntegrityKey, 1, &sealed), Ok(secret));
        assert!(open(SecretKind::ClusterKey, 1, &sealed).is_err());
        assert!(open(SecretKind::IntegrityKey, 2, &sealed).is_err());
        for byte in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[byte] ^= 1;
            let error = open(SecretKind::IntegrityKey, 1, &changed).unwrap_err();
            assert_eq!(error.to_string(), "version 1 of the cluster's integrity keys does not open under the key ring");
        }
        assert!(open(SecretKind::IntegrityKey, 1, &sealed[..SEALED_BYTES - 1]).is_err());
    }
}
