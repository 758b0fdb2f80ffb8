//! The keys of a cluster, as a root key opens them.

use std::sync::Arc;

use super::ring::{SealError, open_ring};
use crate::crypto::{ClusterKey, ClusterKeys, IntegrityKeys, RootKey};
use crate::state::{ClusterSecrets, ClusterState};

/// Opens the keys of a cluster: the root key opens the ring, and the ring opens the rest.
///
/// # Errors
/// The root key does not open the ring, or what the ring seals is damaged.
pub fn open_cluster(cluster: &ClusterState, root: &RootKey) -> Result<ClusterKeys, SealError> {
    let ring = open_ring(cluster.id, &cluster.ring, cluster.active_ring_version, root)?;
    let ClusterSecrets { public_key, sealed_key, active_integrity_key, integrity_keys } = &cluster.secrets;
    let key = ClusterKey::open(sealed_key, *public_key, &ring, &cluster.id.0)?;
    let integrity = IntegrityKeys::open(*active_integrity_key, integrity_keys, &ring, &cluster.id.0)?;
    Ok(ClusterKeys { ring, cluster_key: Arc::new(key), integrity })
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
}
