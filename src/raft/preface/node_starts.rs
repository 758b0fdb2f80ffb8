//! The starts of this node and of its peers, as connections need them: every change is durable before the node goes on.

use std::io;

use parking_lot::Mutex;

use crate::raft::failure::Failure;
use crate::store::{NotedStart, Noting, StartHistory, StartId, StoreId};

/// The history of starts.
pub(in crate::raft) struct NodeStarts {
    history: Mutex<StartHistory>,
    failure: Failure,
}

impl NodeStarts {
    #[cfg_attr(not(test), expect(dead_code, reason = "nodes prove nothing until the cluster has its keys"))]
    pub(in crate::raft) fn new(history: StartHistory, failure: Failure) -> Self {
        Self { history: Mutex::new(history), failure }
    }

    /// Ends this node, whose data folder is a copy.
    pub(super) fn report_copy(&self, reason: &str) {
        self.failure.report(reason);
    }

    /// This start of the node, which it may name to a peer from now on.
    ///
    /// # Errors
    /// The disk failed, or the node has not begun a start.
    #[expect(clippy::unused_async, reason = "the history is not on disk yet")]
    pub(super) async fn speak(&self) -> io::Result<StartId> {
        let mut history = self.history.lock();
        history.speak();
        history.current().ok_or_else(|| io::Error::other("this node has not begun a start"))
    }

    /// The newest start that this node noted of the node with this store.
    pub(super) fn noted_of(&self, peer: StoreId) -> Option<NotedStart> {
        self.history.lock().noted_of(peer)
    }

    /// Whether this node is a copy, because a peer noted this start of it.
    pub(super) fn is_copy(&self, noted: StartId) -> bool {
        self.history.lock().is_copy(noted)
    }

    /// Notes a start of a peer, of which this node said before that it had noted `said`.
    ///
    /// # Errors
    /// The disk failed.
    #[expect(clippy::unused_async, reason = "the history is not on disk yet")]
    pub(super) async fn note(
        &self,
        peer: StoreId,
        start: StartId,
        said: Option<StartId>,
        now: u64,
    ) -> io::Result<Noting> {
        Ok(self.history.lock().note(peer, start, said, now))
    }
}
