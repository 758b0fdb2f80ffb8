//! The key ring as the cluster replicates it: its versions, its seals, and which member has opened what.

use std::fmt;

use bytes::Bytes;
use prost::Message;

use super::decode_error::DecodeError;
use super::wire;
use crate::crypto::SealedIntegrityKey;

/// One version of the key ring, wrapped for the seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingVersion {
    /// The version, from 1.
    pub version: u32,
    /// The wraps, each as `crypto` encodes it.
    pub wraps: Vec<Bytes>,
    /// Its key, sealed under another version. The first version does not have this, and a version loses it when that
    /// other one is dropped.
    pub link: Option<RingLink>,
    /// The keys of the cluster, sealed under this version. Only a version that is added and not yet active has them.
    pub resealed: Option<ResealedKeys>,
}

/// The keys of the cluster as they are once another ring version is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResealedKeys {
    /// The private half of the cluster key, sealed.
    pub cluster_key: Bytes,
    /// Every version of the integrity keys.
    pub integrity_keys: Vec<SealedIntegrityKey>,
}

/// The key of a ring version, sealed under the version that was active when it was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingLink {
    /// That version.
    pub previous: u32,
    /// The sealed key, as `crypto` encodes it.
    pub sealed: Bytes,
}

/// The id of a seal: 128 random bits. Unlike a fingerprint, they do not depend on the root key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealId(pub [u8; 16]);

/// A source of the root key. Each wrap names the seal that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Its id.
    pub id: SealId,
    /// The name that people know it by.
    pub name: String,
}

/// What a member has opened of the key ring and noted in its file `cluster.id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingNote {
    /// The member.
    pub node: u64,
    /// The versions, in order.
    pub versions: Vec<u32>,
    /// The seals whose wraps of all these versions its root key opens, in order.
    pub seals: Vec<SealId>,
}

impl RingVersion {
    /// Reads the encoded form.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire = wire::RingVersion::decode(bytes).map_err(|_| DecodeError("ring version"))?;
        Ok(Self::from_wire(wire))
    }

    /// A version that a root key wraps and that nothing else seals, as the first one.
    pub fn first(version: u32, wraps: Vec<Bytes>) -> Self {
        Self { version, wraps, link: None, resealed: None }
    }

    pub(super) fn to_wire(&self) -> wire::RingVersion {
        let (previous, sealed_by_previous) = match &self.link {
            Some(link) => (link.previous, link.sealed.clone()),
            None => (0, Bytes::new()),
        };
        let resealed = self.resealed.as_ref().map(ResealedKeys::to_wire);
        wire::RingVersion { version: self.version, wraps: self.wraps.clone(), previous, sealed_by_previous, resealed }
    }

    pub(super) fn from_wire(wire: wire::RingVersion) -> Self {
        let link = RingLink { previous: wire.previous, sealed: wire.sealed_by_previous };
        let is_set = link.previous != 0 || !link.sealed.is_empty();
        let resealed = wire.resealed.map(ResealedKeys::from_wire);
        Self { version: wire.version, wraps: wire.wraps, link: is_set.then_some(link), resealed }
    }
}

impl ResealedKeys {
    fn to_wire(&self) -> wire::ResealedKeys {
        let integrity_keys = self.integrity_keys.iter().map(sealed_integrity_key_to_wire).collect();
        wire::ResealedKeys { cluster_key: self.cluster_key.clone(), integrity_keys }
    }

    fn from_wire(wire: wire::ResealedKeys) -> Self {
        let integrity_keys = wire.integrity_keys.iter().map(sealed_integrity_key_from_wire).collect();
        Self { cluster_key: wire.cluster_key, integrity_keys }
    }
}

pub(super) fn sealed_integrity_key_to_wire(key: &SealedIntegrityKey) -> wire::SealedIntegrityKey {
    wire::SealedIntegrityKey { version: key.version, sealed: key.sealed.clone().into() }
}

pub(super) fn sealed_integrity_key_from_wire(wire: &wire::SealedIntegrityKey) -> SealedIntegrityKey {
    SealedIntegrityKey { version: wire.version, sealed: wire.sealed.to_vec() }
}

impl SealId {
    pub(super) fn from_wire(bytes: &[u8]) -> Result<Self, DecodeError> {
        bytes.try_into().map(Self).map_err(|_| DecodeError("seal id"))
    }

    pub(super) fn to_wire(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl Seal {
    pub(super) fn to_wire(&self) -> wire::Seal {
        wire::Seal { id: self.id.to_wire(), name: self.name.clone() }
    }

    pub(super) fn from_wire(wire: wire::Seal) -> Result<Self, DecodeError> {
        Ok(Self { id: SealId::from_wire(&wire.id)?, name: wire.name })
    }
}

impl RingNote {
    pub(super) fn to_wire(&self) -> wire::RingNote {
        let seals = self.seals.iter().map(|id| id.to_wire()).collect();
        wire::RingNote { node: self.node, versions: self.versions.clone(), seals }
    }

    pub(super) fn from_wire(wire: wire::RingNote) -> Result<Self, DecodeError> {
        let seals = wire.seals.iter().map(|id| SealId::from_wire(id)).collect::<Result<_, _>>()?;
        Ok(Self { node: wire.node, versions: wire.versions, seals })
    }
}

impl fmt::Display for SealId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SealId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
