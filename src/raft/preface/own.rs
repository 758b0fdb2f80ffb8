//! The preface of this node.

use std::sync::{Arc, OnceLock};

use super::content::{ConnectionSide, NodeVersion, Preface};
use crate::state::{ClusterId, ClusterState};
use crate::store::{Owner, View};

/// What this node says about itself at the beginning of each connection.
pub(in crate::raft) struct OwnPreface {
    owner: Owner,
    /// This node's name (`cluster.name`).
    name: String,
    view: OnceLock<Arc<View>>,
}

impl OwnPreface {
    pub(in crate::raft) fn new(owner: Owner, name: &str) -> Self {
        Self { owner, name: name.to_owned(), view: OnceLock::new() }
    }

    /// From now on the preface says which cluster and which level this state has, once it has them.
    pub(in crate::raft) fn belongs_to(&self, view: Arc<View>) {
        // A node takes part once, so the cell is empty.
        drop(self.view.set(view));
    }

    /// This node's name (`cluster.name`).
    pub(in crate::raft) fn name(&self) -> &str {
        &self.name
    }

    /// The id of this node's cluster. `None` until the node has applied the cluster's first command.
    pub(in crate::raft) fn cluster(&self) -> Option<ClusterId> {
        self.state().map(|state| state.id)
    }

    fn state(&self) -> Option<Arc<ClusterState>> {
        self.view.get()?.cluster()
    }

    /// The preface as it is now, for this end of a connection.
    pub(in crate::raft) fn now(&self, side: ConnectionSide) -> Preface {
        let state = self.state();
        Preface {
            side,
            node_id: self.owner.node_id,
            name: self.name.clone(),
            store_id: self.owner.store_id,
            cluster: state.as_ref().map(|state| state.id),
            version: NodeVersion::own(),
            active_level: state.map(|state| state.level),
        }
    }
}
