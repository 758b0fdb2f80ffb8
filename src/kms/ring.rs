//! The cluster's key ring on this node: its wraps as stored, and opening it with the root key.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::crypto::{Ring, RingWrap, RootKey, UnwrapError};
use crate::state::{Cluster, ClusterId, RingVersion};

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

/// The facts of a new cluster: a new id, and a ring of one version wrapped by the root key.
pub(super) fn new_cluster(root: &RootKey) -> Cluster {
    let id = ClusterId(crate::crypto::random::bytes());
    let ring = Ring::generate();
    let versions = ring.wrap(root, &id.0).into_iter();
    Cluster {
        id,
        level: crate::state::FEATURE_LEVEL,
        ring: versions.map(|wrap| RingVersion { version: wrap.version, wraps: vec![encode(&wrap)] }).collect(),
        active_ring_version: ring.active(),
        time_ns: 0,
    }
}

/// Opens the cluster's ring.
pub(super) fn open(cluster: &Cluster, root: &RootKey) -> Result<Ring, SealError> {
    let wraps = cluster.ring.iter().flat_map(|version| version.wraps.iter().map(|wrap| (version.version, wrap)));
    let decoded = wraps.map(|(version, wrap)| decode(version, wrap).ok_or(SealError::UnknownWrap { version }));
    let wraps = decoded.collect::<Result<Vec<_>, _>>()?;
    Ring::unwrap(&wraps, cluster.active_ring_version, root, &cluster.id.0).map_err(SealError::Unwrap)
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
        let cluster = new_cluster(&root);
        assert_eq!(open(&cluster, &root).unwrap().active(), 1);
        assert!(matches!(open(&cluster, &RootKey::random()), Err(SealError::Unwrap(UnwrapError::WrongRootKey { .. }))));
        let mut other = cluster.clone();
        other.id = ClusterId([0; 16]);
        assert!(matches!(open(&other, &root), Err(SealError::Unwrap(UnwrapError::Damaged { .. }))));
    }
}
