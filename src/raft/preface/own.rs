//! The preface of this node.

use std::sync::{Arc, OnceLock};

use super::content::{ConnectionSide, NodeVersion, Preface};
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

    /// The state of this node, once it takes part.
    pub(in crate::raft) fn view(&self) -> Option<&Arc<View>> {
        self.view.get()
    }

    /// The preface as it is now, for this end of a connection.
    pub(in crate::raft) fn now(&self, side: ConnectionSide) -> Preface {
        let cluster = self.view().and_then(|view| view.cluster());
        Preface {
            side,
            node_id: self.owner.node_id,
            name: self.name.clone(),
            store_id: self.owner.store_id,
            cluster: cluster.as_ref().map(|cluster| cluster.id),
            version: NodeVersion::own(),
            active_level: cluster.map(|cluster| cluster.level),
        }
    }
}
