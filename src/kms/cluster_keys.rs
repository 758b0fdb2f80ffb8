//! The keys of a cluster, as a root key opens them.

use std::sync::Arc;

use super::ring::{SealError, open_ring};
use crate::crypto::{ClusterKey, ClusterKeys, IntegrityKeys, Ring, RootKey, UnwrapError};
use crate::state::{ClusterId, ClusterSecrets, ClusterState, ResealedKeys, RingVersion};

/// Opens the keys of a cluster: the root key opens the ring, and the ring opens the rest.
///
/// # Errors
/// The root key does not open the ring, or what the ring seals is damaged.
pub fn open_cluster(cluster: &ClusterState, root: &RootKey) -> Result<ClusterKeys, SealError> {
    let ring = open_ring(cluster.id, &cluster.ring, cluster.active_ring_version, root)?;
    let (key, integrity) = open_secrets(&cluster.secrets, &ring, cluster.id)?;
    Ok(ClusterKeys { ring, cluster_key: Arc::new(key), integrity })
}

/// Seals the keys of a cluster anew under another version of its ring.
///
/// # Errors
/// They do not open under this ring, or it does not have the version.
pub(super) fn reseal(cluster: &ClusterState, ring: &Ring, version: u32) -> Result<ResealedKeys, SealError> {
    let (key, integrity) = open_secrets(&cluster.secrets, ring, cluster.id)?;
    let missing = UnwrapError::MissingVersion { version };
    let under = ring.with_active(version).ok_or(missing)?;
    let cluster_key = key.seal(&under, &cluster.id.0).into();
    Ok(ResealedKeys { cluster_key, integrity_keys: integrity.seal(&under, &cluster.id.0) })
}

/// Whether the cluster keeps its keys when this version of its ring becomes active, as this node sees with the ring
/// open. That holds for a version that is active or was.
pub(super) fn keeps_keys(cluster: &ClusterState, ring: &Ring, version: &RingVersion) -> bool {
    let Some(ResealedKeys { cluster_key, integrity_keys }) = version.resealed.clone() else {
        return version.version <= cluster.active_ring_version;
    };
    let secrets = ClusterSecrets { sealed_key: cluster_key, integrity_keys, ..cluster.secrets.clone() };
    let integrity = |secrets| open_secrets(secrets, ring, cluster.id).map(|(_, integrity)| integrity);
    // The public half says that the cluster key is the same.
    integrity(&secrets).is_ok_and(|resealed| integrity(&cluster.secrets).as_ref() == Ok(&resealed))
}

fn open_secrets(
    secrets: &ClusterSecrets,
    ring: &Ring,
    cluster: ClusterId,
) -> Result<(ClusterKey, IntegrityKeys), SealError> {
    let ClusterSecrets { public_key, sealed_key, active_integrity_key, integrity_keys } = secrets;
    let key = ClusterKey::open(sealed_key, *public_key, ring, &cluster.0)?;
    Ok((key, IntegrityKeys::open(*active_integrity_key, integrity_keys, ring, &cluster.0)?))
}

#[cfg(test)]
mod tests {
    use super::super::ring::new_cluster;
    use super::*;

    #[test]
    fn the_keys_of_a_new_cluster_open_with_its_root_key_alone() {
        let root = RootKey::random();
        let cluster = new_cluster(1, &root, 0);
        let keys = open_cluster(&cluster, &root).unwrap();
        assert_eq!((keys.ring.active(), keys.integrity.active()), (1, 1));
        assert_eq!(keys.cluster_key.public(), cluster.secrets.public_key);
        assert!(matches!(open_cluster(&cluster, &RootKey::random()), Err(SealError::Unwrap(_))));
        let mut other = cluster;
        other.secrets = new_cluster(1, &root, 0).secrets;
        assert!(matches!(open_cluster(&other, &root), Err(SealError::Secret(_))), "another ring sealed them");
    }
    #[test]
    fn a_version_that_would_lose_a_key_of_the_cluster_is_found() {
        let root = RootKey::random();
        let cluster = new_cluster(1, &root, 0);
        let ring = open_cluster(&cluster, &root).unwrap().ring.with_new_version(2);
        let resealed = reseal(&cluster, &ring, 2).unwrap();
        let added = |resealed| RingVersion { version: 2, wraps: Vec::new(), link: None, resealed };
        assert!(keeps_keys(&cluster, &ring, &cluster.ring[0]));
        assert!(keeps_keys(&cluster, &ring, &added(Some(resealed.clone()))));
        assert!(!keeps_keys(&cluster, &ring, &added(None)));
        // Keys of another cluster, sealed under the same version.
        let mut other = new_cluster(1, &root, 0);
        other.id = cluster.id;
        other.secrets = super::super::ring::new_secrets(&ring, cluster.id);
        let others = reseal(&other, &ring, 2).unwrap();
        let mixed = ResealedKeys { cluster_key: resealed.cluster_key, integrity_keys: others.integrity_keys };
        assert!(!keeps_keys(&cluster, &ring, &added(Some(mixed))));
        let mixed = ResealedKeys { cluster_key: others.cluster_key, integrity_keys: resealed.integrity_keys };
        assert!(!keeps_keys(&cluster, &ring, &added(Some(mixed))));
        let mut active = cluster.clone();
        active.secrets.sealed_key = reseal(&cluster, &ring, 2).unwrap().cluster_key;
        assert!(open_secrets(&active.secrets, &ring, cluster.id).is_ok());
    }
}
