//! The cluster's key ring on this node: its wraps as stored, and opening it with the root key.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::crypto::{Ring, RingWrap, RootKey, UnwrapError};
use crate::state::{ClusterId, ClusterState, RingVersion};

const FORMAT: u8 = 1;

/// Why the key ring does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealError {
    /// There is no root key.
    NoRootKey(String),
    /// The root key is not the one the ring was wrapped with, or a wrap is damaged.
    Unwrap(UnwrapError),
    /// A wrap is of a format this version does not know.
    UnknownWrap {
        /// The ring version.
        version: u32,
    },
}

/// The facts of a new cluster: a new id, when it is made, and a ring of one version wrapped by the root key.
pub(super) fn new_cluster(root: &RootKey, created_at: i64) -> ClusterState {
    let id = ClusterId(crate::crypto::random::bytes());
    let ring = Ring::generate();
    let versions = ring.wrap(root, &id.0).into_iter();
    ClusterState {
        id,
        level: crate::state::FEATURE_LEVEL,
        ring: versions.map(|wrap| RingVersion { version: wrap.version, wraps: vec![encode(&wrap)] }).collect(),
        active_ring_version: ring.active(),
        time_ns: 0,
        created_at: Some(created_at),
    }
}

/// Opens the cluster's ring.
pub(super) fn open(cluster: &ClusterState, root: &RootKey) -> Result<Ring, SealError> {
    let wraps = cluster.ring.iter().flat_map(|version| version.wraps.iter().map(|wrap| (version.version, wrap)));
    let decoded = wraps.map(|(version, wrap)| decode(version, wrap).ok_or(SealError::UnknownWrap { version }));
    let wraps = decoded.collect::<Result<Vec<_>, _>>()?;
    Ring::unwrap(&wraps, cluster.active_ring_version, root, &cluster.id.0).map_err(SealError::Unwrap)
}

/// The most bytes from the beginning of a ring version, in a file, to the fingerprint of one of its root keys.
pub const LONGEST_WRAP: usize = 256;

/// The fingerprints of the root keys by which key rings in these bytes are wrapped, wherever in the bytes they stand.
///
/// A ring version is stored as `state` encodes it, in the log, in the keystore and in snapshots: its version as field 1,
/// and each wrap as field 2. All of it is in the clear but the sealed key.
pub fn root_keys_in(bytes: &[u8]) -> Vec<[u8; 32]> {
    let begins = |at: &usize| matches!(bytes[*at..], [0x08, _, WRAPS, WRAP_BYTES, FORMAT, ..]);
    (0..bytes.len()).filter(begins).flat_map(|at| wraps_at(&bytes[at + 2..])).collect()
}

/// The tag of the field of wraps.
const WRAPS: u8 = 0x12;
/// The length of a wrap.
const WRAP_BYTES: u8 = 93;

/// The fingerprints in a row of wraps.
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

/// Format `u8`, the root key's fingerprint `[32]`, nonce `[12]`, sealed `[48]`.
fn encode(wrap: &RingWrap) -> Bytes {
    let mut bytes = BytesMut::with_capacity(93);
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

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRootKey(why) => f.write_str(why),
            Self::Unwrap(error) => error.fmt(f),
            Self::UnknownWrap { version } => {
                write!(
                    f,
                    "version {version} of the key ring is wrapped in a way that this version of Keyraft does not know"
                )
            }
        }
    }
}

impl std::error::Error for SealError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_opens_under_its_root_key_alone() {
        let root = RootKey::random();
        let cluster = new_cluster(&root, 0);
        assert_eq!(open(&cluster, &root).unwrap().active(), 1);
        assert!(matches!(open(&cluster, &RootKey::random()), Err(SealError::Unwrap(UnwrapError::WrongRootKey { .. }))));
        let mut other = cluster.clone();
        other.id = ClusterId([0; 16]);
        assert!(matches!(open(&other, &root), Err(SealError::Unwrap(UnwrapError::Damaged { .. }))));
    }

    #[test]
    fn root_keys_are_found_in_stored_bytes() {
        let (one, other) = (RootKey::random(), RootKey::random());
        let mut cluster = new_cluster(&one, 0);
        let around = |cluster: &ClusterState| [&[8, 1, 18, 93][..], &cluster.encode(), &[18, 93, 1]].concat();
        assert_eq!(root_keys_in(&around(&cluster)), [one.fingerprint()]);
        let ring = open(&cluster, &one).unwrap();
        cluster.ring[0].wraps.extend(ring.wrap(&other, &cluster.id.0).iter().map(encode));
        let bytes = around(&cluster);
        assert_eq!(root_keys_in(&bytes), [one.fingerprint(), other.fingerprint()]);
        assert!(bytes.len() < LONGEST_WRAP + 64, "{}", bytes.len());
        assert_eq!(root_keys_in(&bytes[..40]), Vec::<[u8; 32]>::new());
    }
}
