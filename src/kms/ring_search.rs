//! Finds key rings in the files of a data folder, for the check of a node before it starts.

use prost::encoding::decode_varint;

use super::ring::{SealError, open_ring};
use crate::crypto::{Ring, RootKey};
use crate::state::{ClusterId, RingVersion};

/// The beginning of the stored facts about a cluster: field 1, the id, of 16 bytes.
const CLUSTER_ID: [u8; 2] = [0x0a, 16];
/// The tags of what follows: the level, and the first ring version.
const LEVEL: u8 = 0x10;
const RING: u8 = 0x1a;

/// The most bytes in a file from the beginning of the facts about a cluster to the end of the first ring version.
pub const LONGEST_RING: usize = 2048;

/// The first version of a key ring, as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRing {
    /// The cluster.
    pub cluster: ClusterId,
    /// The version.
    pub version: RingVersion,
}

impl StoredRing {
    /// Opens this version.
    ///
    /// # Errors
    /// The root key does not open it.
    pub fn open(&self, root: &RootKey) -> Result<Ring, SealError> {
        open_ring(self.cluster, std::slice::from_ref(&self.version), self.version.version, root)
    }
}

/// Searches these bytes for key rings.
///
/// The log, the keystore and snapshots have the facts about a cluster as `state` encodes them. Only the ring key in a wrap
/// is encrypted.
pub fn rings_in(bytes: &[u8]) -> Vec<StoredRing> {
    let starts = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&CLUSTER_ID));
    starts.filter_map(|at| ring_at(&bytes[at + CLUSTER_ID.len()..])).collect()
}

/// The first ring version, if these bytes go on like the facts about a cluster.
fn ring_at(bytes: &[u8]) -> Option<StoredRing> {
    let (id, rest) = bytes.split_first_chunk()?;
    let mut rest = rest.strip_prefix(&[LEVEL])?;
    decode_varint(&mut rest).ok()?;
    let mut rest = rest.strip_prefix(&[RING])?;
    let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
    let version = RingVersion::decode(rest.get(..length)?).ok()?;
    (version.version > 0 && !version.wraps.is_empty()).then_some(StoredRing { cluster: ClusterId(*id), version })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::ring::new_cluster;
    use crate::state::ClusterState;

    #[test]
    fn stored_bytes_show_their_rings() {
        let (one, other) = (RootKey::random(), RootKey::random());
        let mut cluster = new_cluster(1, &one, 0);
        let around =
            |cluster: &ClusterState| [&CLUSTER_ID, &*cluster.clone().into_stored().bytes, &CLUSTER_ID].concat();
        let found = rings_in(&around(&cluster));
        assert_eq!(found, [StoredRing { cluster: cluster.id, version: cluster.ring[0].clone() }]);
        assert!(found[0].open(&one).is_ok() && found[0].open(&other).is_err());
        let foreign = new_cluster(1, &other, 0).ring[0].wraps[0].clone();
        cluster.ring[0].wraps.extend([foreign.clone(), foreign]);
        let bytes = around(&cluster);
        assert_eq!(rings_in(&bytes)[0].version.wraps.len(), 3);
        assert!(bytes.len() < LONGEST_RING, "{}", bytes.len());
        assert_eq!(rings_in(&bytes[..60]), []);
    }
}
