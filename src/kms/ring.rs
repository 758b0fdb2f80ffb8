//! The cluster's key ring on this node: how its wraps are stored, and how a root key opens it.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::crypto::{Ring, RingWrap, RootKey, UnwrapError};
use crate::state::{ClusterId, ClusterState, RingVersion};

/// The first byte of an encoded wrap.
const FORMAT: u8 = 1;
/// The length of an encoded wrap.
const WRAP_BYTES: u8 = 93;
/// The tag of the field of wraps in an encoded ring version.
const WRAPS: u8 = 0x12;

/// The most bytes in a file from the beginning of a ring version to the end of a root key's fingerprint in it.
pub const LONGEST_WRAP: usize = 256;

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
    let id = ClusterId(crate::crypto::random::bytes());
    let ring = Ring::generate();
    let versions = ring.wrap(root, &id.0).into_iter();
    ClusterState {
        id,
        level,
        ring: versions.map(|wrap| RingVersion { version: wrap.version, wraps: vec![encode(&wrap)] }).collect(),
        active_ring_version: ring.active(),
        time_ns: 0,
        created_at: Some(created_at),
    }
}

/// Opens the ring of a cluster: every version of it, with the wrap that this root key made.
///
/// # Errors
/// The root key does not open it.
pub fn open_ring(cluster: ClusterId, ring: &[RingVersion], active: u32, root: &RootKey) -> Result<Ring, SealError> {
    let wraps = ring.iter().flat_map(|version| version.wraps.iter().map(|wrap| (version.version, wrap)));
    let decoded = wraps.map(|(version, wrap)| decode(version, wrap).ok_or(SealError::UnknownWrap { version }));
    let wraps = decoded.collect::<Result<Vec<_>, _>>()?;
    Ok(Ring::unwrap(&wraps, active, root, &cluster.0)?)
}

/// Searches these bytes for wraps of key rings, and returns the fingerprints of their root keys.
///
/// The log, the keystore and snapshots have a ring version as `state` encodes it: the version as field 1 and each wrap
/// as field 2. Only the ring key in a wrap is encrypted.
pub fn root_keys_in(bytes: &[u8]) -> Vec<[u8; 32]> {
    let begins = |at: &usize| matches!(bytes[*at..], [0x08, _, WRAPS, WRAP_BYTES, FORMAT, ..]);
    (0..bytes.len()).filter(begins).flat_map(|at| wraps_at(&bytes[at + 2..])).collect()
}

/// The fingerprints in wraps that follow each other.
fn wraps_at(mut bytes: &[u8]) -> Vec<[u8; 32]> {
    let mut found = Vec::new();
    while let [WRAPS, WRAP_BYTES, FORMAT, rest @ ..] = bytes
        && let Some(fingerprint) = rest.first_chunk()
    {
        found.push(*fingerprint);
        bytes = rest.get(usize::from(WRAP_BYTES) - 1..).unwrap_or_default();
    }
    found
}

/// Encodes a wrap: format `u8`, the root key's fingerprint `[32]`, nonce `[12]`, sealed `[48]`.
fn encode(wrap: &RingWrap) -> Bytes {
    let mut bytes = BytesMut::with_capacity(WRAP_BYTES.into());
    bytes.put_u8(FORMAT);
    bytes.put_slice(&wrap.root);
    bytes.put_slice(&wrap.nonce);
    bytes.put_slice(&wrap.sealed);
    bytes.freeze()
}

fn decode(version: u32, bytes: &[u8]) -> Option<RingWrap> {
    let rest = bytes.strip_prefix(&[FORMAT])?;
    let (root, rest) = rest.split_first_chunk()?;
    let (nonce, rest) = rest.split_first_chunk()?;
    Some(RingWrap { version, root: *root, nonce: *nonce, sealed: rest.try_into().ok()? })
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
        assert!(matches!(
            opened(&cluster, &RootKey::random()),
            Err(SealError::Unwrap(UnwrapError::WrongRootKey { .. }))
        ));
        let mut other = cluster.clone();
        other.id = ClusterId([0; 16]);
        assert!(matches!(opened(&other, &root), Err(SealError::Unwrap(UnwrapError::Damaged { .. }))));
    }

    #[test]
    fn stored_bytes_show_their_root_keys() {
        let (one, other) = (RootKey::random(), RootKey::random());
        let mut cluster = new_cluster(1, &one, 0);
        let around =
            |cluster: &ClusterState| [&[8, 1, 18, 93][..], &cluster.clone().into_stored().bytes, &[18, 93, 1]].concat();
        assert_eq!(root_keys_in(&around(&cluster)), [one.fingerprint()]);
        let ring = opened(&cluster, &one).unwrap();
        cluster.ring[0].wraps.extend(ring.wrap(&other, &cluster.id.0).iter().map(encode));
        let bytes = around(&cluster);
        assert_eq!(root_keys_in(&bytes), [one.fingerprint(), other.fingerprint()]);
        assert!(bytes.len() < LONGEST_WRAP + 64, "{}", bytes.len());
        assert_eq!(root_keys_in(&bytes[..40]), Vec::<[u8; 32]>::new());
    }
}

#[cfg(test)]
mod vectors;
