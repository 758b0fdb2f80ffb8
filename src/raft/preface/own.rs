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
    /// What `cluster.id` says before this node takes part.
    noted: OnceLock<ClusterId>,
    view: OnceLock<Arc<View>>,
}

impl OwnPreface {
    pub(in crate::raft) fn new(owner: Owner, name: &str) -> Self {
        Self { owner, name: name.to_owned(), noted: OnceLock::new(), view: OnceLock::new() }
    }

    /// From now on the preface says that this node belongs to this cluster, although it does not take part yet. It still
    /// does not say which level is active.
    pub(in crate::raft) fn note_cluster(&self, cluster: ClusterId) {
        // A node has one cluster, so the cell is empty or says the same.
        let _ = self.noted.set(cluster);
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

    /// The id of this node's cluster. `None` while neither `cluster.id` nor what the node has applied says it.
    pub(in crate::raft) fn cluster(&self) -> Option<ClusterId> {
        self.state().map(|state| state.id).or_else(|| self.noted.get().copied())
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
            cluster: self.cluster(),
            version: NodeVersion::own(),
            active_level: state.map(|state| state.level),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreId;

    #[test]
    fn a_node_that_does_not_take_part_yet_names_its_cluster_and_no_level() {
        let own = OwnPreface::new(Owner { store_id: StoreId([1; 16]), node_id: 1 }, "a");
        let said = || own.now(ConnectionSide::Connector);
        assert_eq!((said().cluster, said().active_level), (None, None));
        own.note_cluster(ClusterId([7; 16]));
        assert_eq!((said().cluster, said().active_level), (Some(ClusterId([7; 16])), None));
    }
}
