//! Who leads, as far as this node knows, and clients of the members.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use openraft::ServerState;
use parking_lot::Mutex;

use crate::raft::adapter::metrics::{Metrics, Raft};
use crate::raft::peers::links::{Links, NodeClient};
use crate::raft::protocol::types::{LeaderId, Member, NodeId, TypeConfig};

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) enum Leader {
    /// This node.
    Here,
    /// Another node.
    There(NodeId),
    /// No node, as far as this one knows.
    Unknown,
}

/// Who leads, and clients of the members for writes and reads, on connections apart from those of replication.
pub(in crate::raft) struct Leadership {
    raft: Raft,
    links: Arc<Links>,
    metrics: Metrics,
    clients: Mutex<HashMap<NodeId, NodeClient>>,
}

impl Leadership {
    pub(in crate::raft) fn new(raft: Raft, links: Arc<Links>) -> Self {
        let metrics = Metrics::of(&raft);
        Self { raft, links, metrics, clients: Mutex::default() }
    }

    /// How this node reaches the others.
    pub(in crate::raft) fn links(&self) -> &Arc<Links> {
        &self.links
    }

    /// openraft on this node.
    pub(in crate::raft) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The metrics of openraft, which stay up to date.
    pub(in crate::raft) fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Who leads now.
    pub(in crate::raft) fn leader(&self) -> Leader {
        leader_in(&self.metrics.now())
    }

    /// The leader and the term. Each election changes at least one of them.
    pub(in crate::raft) fn epoch(&self) -> (Leader, u64) {
        let metrics = self.metrics.now();
        (leader_in(&metrics), metrics.current_term)
    }

    /// The leadership that this node holds now: the term, and this node. It was elected for it after it started.
    pub(in crate::raft) fn held(&self) -> Option<LeaderId> {
        let metrics = self.metrics.now();
        (metrics.state == ServerState::Leader).then(|| LeaderId { term: metrics.current_term, node_id: metrics.id })
    }

    /// The id of this node.
    pub(in crate::raft) fn own_id(&self) -> NodeId {
        self.links.owner.node_id
    }

    /// Every member, this node included.
    pub(in crate::raft) fn members(&self) -> Arc<BTreeMap<NodeId, Member>> {
        self.links.members()
    }

    /// Begins to hand leadership to another voter, if this node has it. Returns whether consensus goes on.
    pub(in crate::raft) async fn begin_to_hand_over(&self, successor: NodeId) -> bool {
        let (_, term) = self.epoch();
        self.links.contacts().hands_over(term);
        self.raft.trigger().transfer_leader(successor).await.is_ok()
    }

    /// Waits until the leader or the term differs from `epoch`.
    pub(in crate::raft) async fn changed_since(&self, epoch: (Leader, u64)) {
        let mut metrics = self.metrics();
        while self.epoch() == epoch && metrics.changed().await {}
    }

    /// A client of a member. `None` when this node does not know a member with that id.
    pub(in crate::raft) fn client(&self, id: NodeId) -> Option<NodeClient> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(&id) {
            return Some(client.clone());
        }
        let client = self.links.client(self.links.members().get(&id)?).ok()?;
        clients.insert(id, client.clone());
        Some(client)
    }

    /// The ids of the members besides this node.
    pub(in crate::raft) fn other_members(&self) -> Vec<NodeId> {
        self.links.members().keys().copied().filter(|id| *id != self.links.owner.node_id).collect()
    }

    /// A member's name, or its id where the name is not known.
    pub(in crate::raft) fn name_of(&self, id: NodeId) -> String {
        self.members().get(&id).map_or_else(|| format!("node {id}"), |member| member.name.clone())
    }

    /// Drops the clients, because the members have changed.
    pub(in crate::raft) fn forget_clients(&self) {
        self.clients.lock().clear();
    }
}

fn leader_in(metrics: &openraft::RaftMetrics<TypeConfig>) -> Leader {
    match metrics.current_leader {
        Some(id) if id == metrics.id => Leader::Here,
        Some(id) => Leader::There(id),
        None => Leader::Unknown,
    }
}
