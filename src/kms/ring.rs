//! The cluster's key ring on this node: how its wraps are stored, and how a root key opens it.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use crate::crypto::{
    ClusterKey, IntegrityKeys, Ring, RingWrap, RootKey, SealedRingVersion, SealedSecretError, UnwrapError, random,
};
use crate::state::{ClusterId, ClusterSecrets, ClusterState, IncarnationId, RingVersion, Seal, SealId};

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
pub type RootKeySource = Arc<dyn Fn() -> Result<RootKey, SealError> + Send + Sync>;

/// Why the key ring does not open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealError {
    /// The node cannot get a root key, for this reason.
    #[error("{0}")]
    NoRootKey(String),
    /// The node cannot get the key with which the nodes of a new cluster prove themselves, for this reason.
    #[error("{0}")]
    NoBootstrapKey(String),
    /// The root key does not open the ring.
    #[error(transparent)]
    Unwrap(#[from] UnwrapError),
    /// The ring opens, but a key that it seals does not.
    #[error(transparent)]
    Secret(#[from] SealedSecretError),
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
    let (id, seal) = (ClusterId(random::bytes()), Seal { id: SealId(random::bytes()), name: FIRST_SEAL.to_owned() });
    let ring = Ring::generate();
    let wraps = |version| ring.wrap(version, root, seal.id.0, &id.0).iter().map(encode).collect();
    ClusterState {
        id,
        level,
        ring: ring.versions().map(|version| RingVersion::first(version, wraps(version))).collect(),
        active_ring_version: ring.active(),
        time_ns: 0,
        created_at: Some(created_at),
        last_ring_version: ring.active(),
        seals: vec![seal],
        ring_notes: Vec::new(),
        incarnation: IncarnationId(random::bytes()),
        secrets: new_secrets(&ring, id),
    }
}

/// New keys for a new cluster, sealed under its ring.
pub(super) fn new_secrets(ring: &Ring, cluster: ClusterId) -> ClusterSecrets {
    let (key, integrity) = (ClusterKey::generate(), IntegrityKeys::generate());
    ClusterSecrets {
        public_key: key.public(),
        sealed_key: Bytes::from(key.seal(ring, &cluster.0)),
        active_integrity_key: integrity.active(),
        integrity_keys: integrity.seal(ring, &cluster.0),
    }
}

/// Opens the ring of a cluster: every version of it by the wrap that this root key opens, or under an older version. The
/// ring may lack versions above the active one.
pub(super) fn open_ring(
    cluster: ClusterId,
    ring: &[RingVersion],
    active: u32,
    root: &RootKey,
) -> Result<Ring, SealError> {
    open_with(cluster, ring, active, None, Some(root))
}

/// Opens the ring in these facts, of which this node has an older state open. It does not need a root key for a version
/// that is sealed under one that is open.
///
/// # Errors
/// A version does not open, and may need the root key.
pub fn reopen_ring(cluster: &ClusterState, open: &Ring, root: Option<&RootKey>) -> Result<Ring, SealError> {
    open_with(cluster.id, &cluster.ring, cluster.active_ring_version, Some(open), root)
}

fn open_with(
    cluster: ClusterId,
    ring: &[RingVersion],
    active: u32,
    known: Option<&Ring>,
    root: Option<&RootKey>,
) -> Result<Ring, SealError> {
    let versions: Vec<_> = ring.iter().map(sealed).collect();
    Ring::open(&versions, active, known, root, &cluster.0).map_err(|error| match error {
        UnwrapError::MissingWrap { version } | UnwrapError::WrongRootKey { version, .. }
            if has_unknown(ring, version) =>
        {
            SealError::UnknownWrap { version }
        }
        error => error.into(),
    })
}

/// A ring version for `crypto`, without wraps of an unknown form.
fn sealed(version: &RingVersion) -> SealedRingVersion<'_> {
    let wraps = version.wraps.iter().filter_map(|wrap| RingWrap::decode(version.version, wrap)).collect();
    let link = version.link.as_ref().map(|link| (link.previous, &*link.sealed));
    SealedRingVersion { version: version.version, wraps, link }
}

/// Whether a version has a wrap of an unknown form.
fn has_unknown(ring: &[RingVersion], version: u32) -> bool {
    let wraps = ring.iter().filter(|found| found.version == version).flat_map(|found| &found.wraps);
    wraps.into_iter().any(|wrap| RingWrap::decode(version, wrap).is_none())
}

/// A wrap as the cluster stores it.
pub(super) fn encode(wrap: &RingWrap) -> Bytes {
    wrap.encode().into()
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
        let wrap = RingWrap::decode(1, &cluster.ring[0].wraps[0]).unwrap();
        assert_eq!(SealId(wrap.seal), cluster.seals[0].id);
        let stored = cluster.into_stored().bytes;
        assert!(!stored.windows(32).any(|bytes| bytes == root.fingerprint()));
    }
}

#[cfg(test)]
mod vectors;
