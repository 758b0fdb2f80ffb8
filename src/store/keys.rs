//! What a node must know of its cluster to open its store.

use crate::crypto::IntegrityKeys;
use crate::state::{ClusterId, IncarnationId};

/// What a node must know of its cluster to open its store.
#[derive(Debug, Clone)]
pub struct StoreKeys {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its incarnation.
    pub incarnation: IncarnationId,
    /// The keys that tag what the store holds.
    pub integrity: IntegrityKeys,
}
