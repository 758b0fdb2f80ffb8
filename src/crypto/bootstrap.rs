//! The bootstrap key: the nodes of a new cluster prove with it that they belong together, before there is a cluster key.

use std::str::FromStr;

use super::root::{RootKey, RootKeyError, key_from_base64};
use super::{LockedSecret, hmac::Hmac};

/// 32 bytes that all nodes of a new cluster share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapKey(LockedSecret<32>);

/// Which side of a connection proves something. No proof serves both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProvingSide {
    /// The node that accepted the connection.
    Acceptor,
    /// The node that made it.
    Connector,
}

impl BootstrapKey {
    /// The key that a root key yields. A root key is random, so nobody can find it by guessing.
    pub fn of_root_key(root: &RootKey) -> Self {
        Self(LockedSecret::from_bytes(&root.derived(b"keyraft bootstrap key 1")))
    }

    /// The proof of this transcript.
    pub fn prove(&self, side: ProvingSide, transcript: &[u8]) -> [u8; 32] {
        *Hmac::of_locked(&self.0).of_list(&[side.label(), transcript])
    }

    /// Whether a holder of this key made this proof of the transcript.
    pub fn proves(&self, side: ProvingSide, transcript: &[u8], proof: &[u8; 32]) -> bool {
        Hmac::of_locked(&self.0).verifies(&[side.label(), transcript], proof)
    }
}

impl ProvingSide {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Acceptor => b"keyraft bootstrap of acceptor 1",
            Self::Connector => b"keyraft bootstrap of connector 1",
        }
    }
}

impl FromStr for BootstrapKey {
    type Err = RootKeyError;

    /// Reads standard base64 of 32 bytes, as for a root key.
    fn from_str(text: &str) -> Result<Self, RootKeyError> {
        key_from_base64(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_belongs_to_its_key_its_side_and_its_transcript() {
        let (root, other) = (RootKey::random(), RootKey::random());
        let key = BootstrapKey::of_root_key(&root);
        assert_eq!(key, BootstrapKey::of_root_key(&root));
        let proof = key.prove(ProvingSide::Acceptor, b"transcript");
        assert!(key.proves(ProvingSide::Acceptor, b"transcript", &proof));
        assert!(!key.proves(ProvingSide::Connector, b"transcript", &proof));
        assert!(!key.proves(ProvingSide::Acceptor, b"another", &proof));
        assert!(!BootstrapKey::of_root_key(&other).proves(ProvingSide::Acceptor, b"transcript", &proof));
        assert_eq!(format!("{key:?}"), "BootstrapKey(LockedSecret<32>(..))");
    }
}
