//! Keeps entries that need room from a node whose disk has none.

use std::sync::Arc;
use std::time::Duration;

use openraft::EntryPayload;
use openraft::raft::AppendEntriesRequest;

use crate::disk::DiskRoom;
use crate::raft::adapter::metrics::{Metrics, Raft};
use crate::raft::protocol::types::{Entry, TypeConfig};
use crate::state;
use crate::store::LogStore;

/// The pause between two looks whether a request may go on.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What decides whether this node may write entries.
#[derive(Clone)]
pub(in crate::raft) struct AppendRoom {
    pub raft: Raft,
    pub room: Arc<DiskRoom>,
    pub log: LogStore,
}

impl AppendRoom {
    /// Returns the request once this node may write its entries. Until then the leader sends no others, and its heartbeats go
    /// on. Requests of a leader that another one has replaced do not wait: consensus refuses them.
    pub(super) async fn wait_for(self, request: AppendEntriesRequest<TypeConfig>) -> AppendEntriesRequest<TypeConfig> {
        while !self.may_append(&request) && self.follows(&request) {
            tracing::debug!(
                entries = request.entries.len(),
                "the node has no room for entries, and lets the leader wait"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        request
    }

    /// Whether this node may write the entries of a request.
    pub(super) fn may_append(&self, request: &AppendEntriesRequest<TypeConfig>) -> bool {
        let lacks = self.room.lacks_room();
        // Nearly always so.
        if request.entries.is_empty() || !lacks && !self.log.waits_for_room() {
            return true;
        }
        let last = Metrics::of(&self.raft).now().last_log_index;
        let new = || request.entries.iter().filter(|entry| Some(entry.log_id.index) > last);
        // Consensus must not wait for a flush that waits for room.
        if self.log.waits_for_room() && new().next().is_some() {
            return false;
        }
        !lacks || !new().any(needs_room) || self.room.takes()
    }

    fn follows(&self, request: &AppendEntriesRequest<TypeConfig>) -> bool {
        let metrics = Metrics::of(&self.raft);
        let metrics = metrics.now();
        metrics.running_state.is_ok() && request.vote >= metrics.vote
    }
}

/// Whether an entry needs room. An entry that takes something away has what the reserve keeps.
fn needs_room(entry: &Entry) -> bool {
    match &entry.payload {
        EntryPayload::Normal(proposal) => state::needs_room(&proposal.command),
        EntryPayload::Blank | EntryPayload::Membership(_) => false,
    }
}
