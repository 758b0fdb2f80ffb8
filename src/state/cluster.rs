//! The facts about the cluster as a whole: its id, its feature level, and its wrapped key ring.

use std::fmt;

use bytes::Bytes;
use prost::Message;

use super::decode_error::DecodeError;
use super::wire;

/// 128 random bits, different for each cluster.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterId(pub [u8; 16]);

/// One version of the key ring, wrapped once for every seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingVersion {
    /// The version, from 1.
    pub version: u32,
    /// The wraps, each as `kms` encodes it.
    pub wraps: Vec<Bytes>,
}

/// The replicated facts about the cluster. Its first command creates them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterState {
    /// The cluster's id.
    pub id: ClusterId,
    /// The feature level at which entries are written.
    pub level: u32,
    /// Every ring version that a record may still be sealed under.
    pub ring: Vec<RingVersion>,
    /// The ring version that seals new records.
    pub active_ring_version: u32,
    /// Replicated time: nanoseconds that leaders' monotonic clocks have counted while keys waited for deletion. It may
    /// be late, but never early.
    pub time_ns: u64,
    /// When the cluster was created, as Unix time in nanoseconds. Clusters of feature level 1 did not note it.
    pub created_at: Option<i64>,
}

impl ClusterState {
    /// The facts as stored.
    pub fn encode(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    /// Reads what [`ClusterState::encode`] made.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::from_wire(wire::Cluster::decode(bytes).map_err(|_| DecodeError::Malformed("cluster"))?)
    }

    pub(super) fn to_wire(&self) -> wire::Cluster {
        let ring = self.ring.iter().map(|v| wire::RingVersion { version: v.version, wraps: v.wraps.clone() });
        wire::Cluster {
            cluster_id: Bytes::copy_from_slice(&self.id.0),
            level: self.level,
            ring: ring.collect(),
            active_ring_version: self.active_ring_version,
            time_ns: self.time_ns,
            created_at_ns: self.created_at,
        }
    }

    pub(super) fn from_wire(wire: wire::Cluster) -> Result<Self, DecodeError> {
        let id = wire.cluster_id.as_ref().try_into().map_err(|_| DecodeError::Malformed("cluster id"))?;
        let ring = wire.ring.into_iter().map(|v| RingVersion { version: v.version, wraps: v.wraps });
        Ok(Self {
            id: ClusterId(id),
            level: wire.level,
            ring: ring.collect(),
            active_ring_version: wire.active_ring_version,
            time_ns: wire.time_ns,
            created_at: wire.created_at_ns,
        })
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

    #[test]
    fn a_cluster_of_level_1_is_stored_as_it_was_and_has_no_date() {
        let new = ClusterState {
            id: ClusterId([7; 16]),
            level: 2,
            ring: Vec::new(),
            active_ring_version: 1,
            time_ns: 0,
            created_at: Some(-1),
        };
        assert_eq!(ClusterState::decode(&new.encode()).unwrap(), new);
        let old = ClusterState { level: 1, created_at: None, ..new };
        let stored = [&[0x0a, 16][..], &[7; 16], &[0x10, 1, 0x20, 1]].concat();
        assert_eq!((old.encode(), ClusterState::decode(&stored).unwrap()), (stored, old));
    }
}
