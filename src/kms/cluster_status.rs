//! Describing the cluster and this node, for the status and for metrics.

use super::Kms;
use super::status::{ClusterStatus, NodeState, StorageFigures};
use crate::raft::{Cluster, Standing};

impl Kms {
    /// The cluster as this node sees it.
    pub fn cluster_status(&self) -> ClusterStatus {
        let flushes = self.cluster.flush_figures();
        ClusterStatus {
            audit_key: Some(self.audit_key().verifying_key().to_string()),
            storage: StorageFigures {
                keys: self.cluster.view().key_count(),
                fsyncs: flushes.count,
                fsync_ns: flushes.total_ns,
                room: self.cluster.room(),
                waits_for_room: self.cluster.waits_for_room(),
                ..self.seen_on_disk.figures(&self.cluster, &self.this_node)
            },
            ..ClusterStatus::before_serving(&self.cluster, &self.this_node.name, (self.state)())
        }
    }
}

impl ClusterStatus {
    /// The cluster as a node sees it that takes part, but has no operations yet. It has no audit key, and the figures of
    /// its storage are zero.
    pub fn before_serving(cluster: &Cluster, name: &str, state: NodeState) -> Self {
        let standing = cluster.standing();
        Self {
            cluster_id: cluster.view().cluster().map(|cluster| cluster.id.to_string()),
            name: name.to_owned(),
            state: state_under(state, standing),
            standing,
            lease_until_ns: cluster.lease_until_ns(),
            fences: cluster.fence_figures(),
            disputes: cluster.disputes(),
            audit_key: None,
            raft: cluster.status(),
            storage: StorageFigures::default(),
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
