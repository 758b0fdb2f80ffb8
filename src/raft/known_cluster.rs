//! The cluster that a node belongs to, once its keys are open.

use std::sync::Arc;

use super::joining::local::Founder;
use crate::crypto::{ClusterKeys, Ring};
use crate::state::ClusterState;
use crate::store::{ClusterFacts, FoundingStage};

/// The cluster that a node belongs to, with open keys.
pub struct KnownCluster {
    pub(super) facts: ClusterFacts,
    pub(super) keys: ClusterKeys,
    /// `None` once the node has applied the cluster's first command.
    pub(super) founder: Option<Arc<Founder>>,
}

impl KnownCluster {
    /// The facts that the cluster replicates, as this node noted them last.
    pub fn cluster(&self) -> &ClusterState {
        &self.facts.cluster
    }

    /// Whether the cluster has begun, as far as this node has noted.
    pub fn has_begun(&self) -> bool {
        self.facts.founding.as_ref().is_none_or(|founding| founding.stage == FoundingStage::Begun)
    }

    /// The open key ring.
    pub fn ring(&self) -> &Ring {
        &self.keys.ring
    }
}
