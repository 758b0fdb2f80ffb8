//! Describing the cluster and this node, for the status and for metrics.

use super::Kms;
use super::status::{ClusterStatus, NodeState, StorageFigures};
use crate::raft::Standing;

impl Kms {
    /// The cluster as this node sees it.
    pub fn cluster_status(&self) -> ClusterStatus {
        let (flushes, standing) = (self.cluster.flush_figures(), self.cluster.standing());
        ClusterStatus {
            cluster_id: self.cluster.view().cluster().map(|cluster| cluster.id.to_string()),
            name: self.this_node.name.clone(),
            state: state_under(self.state.now(), standing),
            standing,
            lease_until_ns: self.cluster.lease_until_ns(),
            fences: self.cluster.fence_figures(),
            audit_key: self.audit_key().map(|key| key.verifying_key().to_string()),
            raft: self.cluster.status(),
            storage: StorageFigures {
                keys: self.cluster.view().key_count(),
                fsyncs: flushes.count,
                fsync_ns: flushes.total_ns,
                ..self.seen_on_disk.figures(&self.cluster, &self.this_node)
            },
        }
    }
}

/// The state to show: a node that serves without a lease is isolated.
fn state_under(state: NodeState, standing: Standing) -> NodeState {
    match (state, standing) {
        (NodeState::Serving, Standing::Offline(_) | Standing::Behind(_)) => NodeState::Isolated,
        _ => state,
    }
}
