//! The facts about the cluster as a whole: its id, its feature level, its wrapped key ring, and its sealed keys.

use std::fmt;

use bytes::Bytes;
use prost::Message;

use super::decode_error::DecodeError;
use super::ring::{RingNote, RingVersion, Seal, sealed_integrity_key_from_wire, sealed_integrity_key_to_wire};
use super::stored::Stored;
use super::wire;
use crate::crypto::{ClusterPublicKey, SealedIntegrityKey};

/// 128 random bits, different for each cluster.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterId(pub [u8; 16]);

/// 128 random bits for the life of a cluster from its first start on. A cluster that is recovered or restored gets others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IncarnationId(pub [u8; 16]);

/// The keys with which the nodes of a cluster prove themselves and tag what they store, sealed under the key ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSecrets {
    /// The public half of the cluster key.
    pub public_key: ClusterPublicKey,
    /// The private half, sealed.
    pub sealed_key: Bytes,
    /// The version of the integrity keys that makes new tags.
    pub active_integrity_key: u32,
    /// Every version of the integrity keys.
    pub integrity_keys: Vec<SealedIntegrityKey>,
}

/// The replicated facts about the cluster. Its first command creates them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterState {
    /// The cluster's id.
    pub id: ClusterId,
    /// The cluster's incarnation.
    pub incarnation: IncarnationId,
    /// The feature level at which entries are written.
    pub level: u32,
    /// Every ring version that a record may still be sealed under.
    pub ring: Vec<RingVersion>,
    /// The ring version that seals new records.
    pub active_ring_version: u32,
    /// The keys that the ring seals.
    pub secrets: ClusterSecrets,
    /// Replicated time: nanoseconds that leaders' monotonic clocks have counted while keys waited for deletion. It may
    /// be late, but never early.
    pub time_ns: u64,
    /// When the cluster was created, as Unix time in nanoseconds, if known.
    pub created_at: Option<i64>,
    /// The seals.
    pub seals: Vec<Seal>,
    /// The highest number that a ring version ever had. No number is used again.
    pub last_ring_version: u32,
    /// What each member has opened of the ring, in the order of their ids.
    pub ring_notes: Vec<RingNote>,
}

impl ClusterState {
    /// The facts in their stored form.
    pub fn into_stored(self) -> Stored<Self> {
        Stored { bytes: self.to_wire().encode_to_vec().into(), value: self }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::from_wire(wire::Cluster::decode(bytes).map_err(|_| DecodeError("cluster"))?)
    }

    pub(super) fn to_wire(&self) -> wire::Cluster {
        wire::Cluster {
            cluster_id: Bytes::copy_from_slice(&self.id.0),
            level: self.level,
            ring: self.ring.iter().map(RingVersion::to_wire).collect(),
            active_ring_version: self.active_ring_version,
            time_ns: self.time_ns,
            created_at_ns: self.created_at,
            seals: self.seals.iter().map(Seal::to_wire).collect(),
            last_ring_version: self.last_ring_version,
            ring_notes: self.ring_notes.iter().map(RingNote::to_wire).collect(),
            incarnation: Bytes::copy_from_slice(&self.incarnation.0),
            public_key: Bytes::copy_from_slice(&self.secrets.public_key.to_bytes()),
            sealed_key: self.secrets.sealed_key.clone(),
            integrity_keys: Some(self.secrets.integrity_keys_to_wire()),
        }
    }

    pub(super) fn from_wire(wire: wire::Cluster) -> Result<Self, DecodeError> {
        let id = wire.cluster_id.as_ref().try_into().map_err(|_| DecodeError("cluster id"))?;
        if wire.level == 0 {
            return Err(DecodeError("level"));
        }
        let secrets = ClusterSecrets::from_wire(&wire)?;
        let incarnation = wire.incarnation.as_ref().try_into().map_err(|_| DecodeError("incarnation"))?;
        Ok(Self {
            id: ClusterId(id),
            incarnation: IncarnationId(incarnation),
            level: wire.level,
            ring: wire.ring.into_iter().map(RingVersion::from_wire).collect(),
            active_ring_version: wire.active_ring_version,
            time_ns: wire.time_ns,
            created_at: wire.created_at_ns,
            seals: wire.seals.into_iter().map(Seal::from_wire).collect::<Result<_, _>>()?,
            last_ring_version: wire.last_ring_version,
            ring_notes: wire.ring_notes.into_iter().map(RingNote::from_wire).collect::<Result<_, _>>()?,
            secrets,
        })
    }
}

impl ClusterSecrets {
    fn integrity_keys_to_wire(&self) -> wire::IntegrityKeys {
        let keys = self.integrity_keys.iter().map(sealed_integrity_key_to_wire).collect();
        wire::IntegrityKeys { active: self.active_integrity_key, keys }
    }

    fn from_wire(wire: &wire::Cluster) -> Result<Self, DecodeError> {
        let public_key = wire.public_key.as_ref().try_into().map_err(|_| DecodeError("public key"))?;
        let keys = wire.integrity_keys.as_ref().ok_or(DecodeError("integrity keys"))?;
        Ok(Self {
            public_key: ClusterPublicKey::from_bytes(public_key),
            sealed_key: wire.sealed_key.clone(),
            active_integrity_key: keys.active,
            integrity_keys: keys.keys.iter().map(sealed_integrity_key_from_wire).collect(),
        })
    }
}

impl fmt::Display for IncarnationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for IncarnationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{ResealedKeys, RingLink, SealId};

    #[test]
    fn the_facts_round_trip_with_and_without_a_date() {
        let wraps = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        let first = RingVersion::first(1, wraps.clone());
        let link = Some(RingLink { previous: 1, sealed: Bytes::from_static(b"three") });
        let resealed = Some(ResealedKeys { cluster_key: Bytes::from_static(b"key"), integrity_keys: Vec::new() });
        let second = RingVersion { version: 2, wraps, link, resealed };
        let dated = ClusterState {
            id: ClusterId([7; 16]),
            level: 1,
            ring: vec![first, second],
            active_ring_version: 1,
            time_ns: 5,
            created_at: Some(-1),
            seals: vec![Seal { id: SealId([8; 16]), name: "first".to_owned() }],
            last_ring_version: 2,
            ring_notes: vec![RingNote { node: 3, versions: vec![1, 2], seals: vec![SealId([8; 16])] }],
            incarnation: IncarnationId([8; 16]),
            secrets: ClusterSecrets {
                public_key: ClusterPublicKey::from_bytes([9; 32]),
                sealed_key: Bytes::from_static(b"sealed"),
                active_integrity_key: 2,
                integrity_keys: [1, 2].map(|version| SealedIntegrityKey { version, sealed: vec![3; 65] }).into(),
            },
        };
        for cluster in [ClusterState { created_at: None, ..dated.clone() }, dated] {
            let stored = cluster.into_stored();
            assert_eq!(ClusterState::decode(&stored.bytes).unwrap(), stored.value);
            let without_level = ClusterState { level: 0, ..stored.value }.into_stored();
            assert_eq!(ClusterState::decode(&without_level.bytes), Err(DecodeError("level")));
        }
    }
}
