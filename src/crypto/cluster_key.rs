//! The cluster key. A node that can sign with it has an open key ring. Nodes prove themselves to each other with it, and the
//! cluster admits nodes with it.

use std::fmt;
use std::sync::Arc;

use super::integrity::IntegrityKeys;
use super::ring::Ring;
use super::sealed_secret::{SealedSecretError, SecretKind, open_secret, seal_secret};
use super::{Secret, SigningKey, VerifyingKey};

/// The cluster key has one version until a theft replaces it.
const VERSION: u32 = 1;

/// The private half of the cluster key (Ed25519, RFC 8032).
pub struct ClusterKey {
    seed: Secret<32>,
    signing: SigningKey,
}

/// The keys of a cluster, open.
#[derive(Debug, Clone)]
pub struct ClusterKeys {
    /// The key ring.
    pub ring: Ring,
    /// The cluster key.
    pub cluster_key: Arc<ClusterKey>,
    /// The integrity keys.
    pub integrity: IntegrityKeys,
}

/// The public half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClusterPublicKey(VerifyingKey);

/// What a signature is for. Each use has a label of its own, so that no signature serves two uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureUse {
    /// The preface of a node that accepted a connection.
    PrefaceOfAcceptor,
    /// The preface of a node that made a connection.
    PrefaceOfConnector,
    /// The admission of a node.
    Admission,
}

impl ClusterKey {
    /// A new key.
    pub fn generate() -> Self {
        Self::of_seed(Secret::random())
    }

    fn of_seed(seed: Secret<32>) -> Self {
        Self { signing: SigningKey::of_seed(&seed), seed }
    }

    /// The public half.
    pub fn public(&self) -> ClusterPublicKey {
        ClusterPublicKey(self.signing.verifying_key())
    }

    /// Signs a message for this use. The same message has the same signature each time.
    pub fn sign(&self, signature_use: SignatureUse, message: &[u8]) -> [u8; 64] {
        self.signing.sign(&labelled(signature_use, message))
    }

    /// Seals the private half under the active version of the ring.
    pub fn seal(&self, ring: &Ring, cluster: &[u8; 16]) -> Vec<u8> {
        seal_secret(SecretKind::ClusterKey, VERSION, &self.seed, ring, cluster)
    }

    /// Opens a sealed private half, whose public half must be this one.
    ///
    /// # Errors
    /// It does not open under this ring, or it belongs to another public half.
    pub fn open(
        sealed: &[u8],
        public: ClusterPublicKey,
        ring: &Ring,
        cluster: &[u8; 16],
    ) -> Result<Self, SealedSecretError> {
        let key = Self::of_seed(open_secret(SecretKind::ClusterKey, VERSION, sealed, ring, cluster)?);
        let is_its_own = key.public() == public;
        is_its_own.then_some(key).ok_or(SealedSecretError { kind: SecretKind::ClusterKey, version: VERSION })
    }
}

impl ClusterPublicKey {
    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(VerifyingKey::from_bytes(bytes))
    }

    /// The 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Whether a holder of the cluster key signed this message for this use.
    pub fn verifies(self, signature_use: SignatureUse, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verifies(&labelled(signature_use, message), signature)
    }
}

fn labelled(signature_use: SignatureUse, message: &[u8]) -> Vec<u8> {
    let label: &[u8] = match signature_use {
        SignatureUse::PrefaceOfAcceptor => b"keyraft preface of acceptor 1\n",
        SignatureUse::PrefaceOfConnector => b"keyraft preface of connector 1\n",
        SignatureUse::Admission => b"keyraft admission 1\n",
    };
    [label, message].concat()
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterKey(of {:?})", self.public())
    }
}

impl fmt::Debug for ClusterPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What the vectors in `tests/vectors` need: a key and a seal without random bytes.
#[cfg(test)]
impl ClusterKey {
    /// The key of this seed.
    pub(crate) fn of_bytes(seed: [u8; 32]) -> Self {
        Self::of_seed(Secret::from_bytes(&seed))
    }

    /// Seals the private half with this nonce.
    pub(crate) fn seal_with_nonce(&self, ring: &Ring, cluster: &[u8; 16], nonce: u8) -> Vec<u8> {
        use super::sealed_secret::seal_with;
        seal_with(SecretKind::ClusterKey, VERSION, &self.seed, ring, cluster, [nonce; super::aead::NONCE])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: [u8; 16] = [1; 16];

    #[test]
    fn a_signature_serves_one_use_only() {
        let key = ClusterKey::generate();
        let uses = [SignatureUse::PrefaceOfAcceptor, SignatureUse::PrefaceOfConnector, SignatureUse::Admission];
        for made_for in uses {
            let signature = key.sign(made_for, b"message");
            assert_eq!(signature, key.sign(made_for, b"message"));
            for used_for in uses {
                let public = ClusterPublicKey::from_bytes(key.public().to_bytes());
                assert_eq!(public.verifies(used_for, b"message", &signature), made_for == used_for);
            }
            assert!(!ClusterKey::generate().public().verifies(made_for, b"message", &signature));
        }
    }

    #[test]
    fn the_sealed_key_opens_under_its_ring_with_its_public_half() {
        let (key, ring) = (ClusterKey::generate(), Ring::generate());
        let sealed = key.seal(&ring, &CLUSTER);
        assert_eq!(ClusterKey::open(&sealed, key.public(), &ring, &CLUSTER).unwrap().public(), key.public());
        assert!(ClusterKey::open(&sealed, key.public(), &Ring::generate(), &CLUSTER).is_err());
        let other = ClusterKey::generate().public();
        assert!(ClusterKey::open(&sealed, other, &ring, &CLUSTER).is_err());
    }
}
