//! The cluster's key ring on this node: how its wraps are stored, and how a root key opens it.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::crypto::{Ring, RingWrap, RootKey, UnwrapError, random};
use crate::state::{ClusterId, ClusterState, RingVersion, Seal};

/// The first byte of an encoded wrap.
const FORMAT: u8 = 1;
/// The length of an encoded wrap.
const WRAP_BYTES: usize = 1 + 16 + 12 + 48;

/// The name of the seal with which a cluster begins.
const FIRST_SEAL: &str = "first";

/// A cluster's key ring, open.
pub struct OpenedRing {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// Its ring.
    pub ring: Ring,
}

/// Gives the root key whenever the node needs it again, as the seal of its configuration has it then.
pub type RootKeySource = Box<dyn Fn() -> Result<RootKey, SealError> + Send + Sync>;

/// Why the key ring does not open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealError {
    /// The node cannot get a root key, for this reason.
    #[error("{0}")]
    NoRootKey(String),
    /// Another root key wrapped the ring, or a wrap is damaged.
    #[error(transparent)]
    Unwrap(#[from] UnwrapError),
    /// A wrap has a format that this version of Keyraft does not know.
    #[error(
        "version {version} of the key ring is wrapped in a way that this version of Keyraft does not know: run a newer version"
    )]
    UnknownWrap {
        /// The ring version.
        version: u32,
    },
}

/// The facts about a new cluster that begins at this feature level: an id, the time, and a ring of one version that the
/// root key wraps.
pub(super) fn new_cluster(level: u32, root: &RootKey, created_at: i64) -> ClusterState {
    let (id, seal) = (ClusterId(random::bytes()), Seal { id: random::bytes(), name: FIRST_SEAL.to_owned() });
    let ring = Ring::generate();
    let versions = ring.wrap(root, seal.id, &id.0).into_iter();
    ClusterState {
        id,
        level,
        ring: versions.map(|wrap| RingVersion { version: wrap.version, wraps: vec![encode(&wrap)] }).collect(),
        active_ring_version: ring.active(),
        time_ns: 0,
        created_at: Some(created_at),
        seals: vec![seal],
    }
}

/// Opens the ring of a cluster: every version of it, by the wrap that this root key opens.
///
/// # Errors
/// The root key does not open it.
pub fn open_ring(cluster: ClusterId, ring: &[RingVersion], active: u32, root: &RootKey) -> Result<Ring, SealError> {
    let wraps = ring.iter().flat_map(|version| version.wraps.iter().map(|wrap| (version.version, wrap)));
    let decoded = wraps.map(|(version, wrap)| decode(version, wrap).ok_or(SealError::UnknownWrap { version }));
    let wraps = decoded.collect::<Result<Vec<_>, _>>()?;
    Ok(Ring::unwrap(&wraps, active, root, &cluster.0)?)
}

/// Encodes a wrap: format `u8`, seal id `[16]`, nonce `[12]`, sealed `[48]`.
fn encode(wrap: &RingWrap) -> Bytes {
    let mut bytes = BytesMut::with_capacity(WRAP_BYTES);
    bytes.put_u8(FORMAT);
    bytes.put_slice(&wrap.seal);
    bytes.put_slice(&wrap.nonce);
    bytes.put_slice(&wrap.sealed);
    bytes.freeze()
}

fn decode(version: u32, bytes: &[u8]) -> Option<RingWrap> {
    let rest = bytes.strip_prefix(&[FORMAT])?;
    let (seal, rest) = rest.split_first_chunk()?;
    let (nonce, rest) = rest.split_first_chunk()?;
    Some(RingWrap { version, seal: *seal, nonce: *nonce, sealed: rest.try_into().ok()? })
}

/// Opens the ring in these facts.
#[cfg(test)]
fn opened(cluster: &ClusterState, root: &RootKey) -> Result<Ring, SealError> {
    open_ring(cluster.id, &cluster.ring, cluster.active_ring_version, root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_opens_under_its_root_key_alone() {
        let root = RootKey::random();
        let cluster = new_cluster(1, &root, 0);
        assert_eq!(opened(&cluster, &root).unwrap().active(), 1);
        let wrong = UnwrapError::WrongRootKey { version: 1, wraps: 1 };
        assert_eq!(opened(&cluster, &RootKey::random()), Err(SealError::Unwrap(wrong)));
        let mut other = cluster.clone();
        other.id = ClusterId([0; 16]);
        assert_eq!(opened(&other, &root), Err(SealError::Unwrap(wrong)));
    }

    #[test]
    fn a_wrap_names_its_seal_and_not_its_root_key() {
        let root = RootKey::random();
        let cluster = new_cluster(1, &root, 0);
        let wrap = decode(1, &cluster.ring[0].wraps[0]).unwrap();
        assert_eq!(wrap.seal, cluster.seals[0].id);
        let stored = cluster.into_stored().bytes;
        assert!(!stored.windows(32).any(|bytes| bytes == root.fingerprint()));
    }
}

#[cfg(test)]
mod vectors;
