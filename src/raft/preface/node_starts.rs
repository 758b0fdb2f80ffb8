//! The starts of this node and of its peers, as connections need them: every change is durable before the node goes on.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::blocking;
use crate::raft::failure::Failure;
use crate::store::{NodeRecord, NotedStart, Noting, StartHistory, StartId, StoreId};

/// The starts in the node record. The node has begun one.
pub(in crate::raft) struct NodeStarts {
    record: NodeRecord,
    failure: Failure,
    /// Whether it is durable that the node has named its start.
    has_spoken: AtomicBool,
}

impl NodeStarts {
    /// The starts in this record. The caller has begun one.
    pub(in crate::raft) fn new(record: NodeRecord, failure: Failure) -> Self {
        Self { record, failure, has_spoken: AtomicBool::new(false) }
    }

    /// This start of the node, which it may name to a peer from now on.
    ///
    /// # Errors
    /// The disk failed, or the node has not begun a start.
    pub(super) async fn speak(&self) -> io::Result<StartId> {
        if !self.has_spoken.load(Ordering::Acquire) {
            self.on_disk(NodeRecord::mark_spoken).await?;
            self.has_spoken.store(true, Ordering::Release);
        }
        let current = self.record.starts(StartHistory::current);
        current.ok_or_else(|| io::Error::other("this node has not begun a start"))
    }

    /// The newest start that this node noted of the node with this store.
    pub(super) fn noted_of(&self, peer: StoreId) -> Option<NotedStart> {
        self.record.starts(|starts| starts.noted_of(peer))
    }

    /// Whether this node is a copy, because a peer noted this start of it.
    pub(super) fn is_copy(&self, noted: StartId) -> bool {
        self.record.starts(|starts| starts.is_copy(noted))
    }

    /// Notes a start of a peer, of which this node said before that it had noted `said`.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) async fn note(
        &self,
        peer: StoreId,
        start: StartId,
        said: Option<StartId>,
        now: u64,
    ) -> io::Result<Noting> {
        self.on_disk(move |record| record.note_peer_start(peer, start, said, now)).await
    }

    /// Ends this node, whose data folder is a copy.
    pub(super) fn report_copy(&self, reason: &str) {
        self.failure.report_lasting(reason);
    }

    /// Writes to the record. An exchange that runs out of time does not end the write, so that the next one finds it done.
    async fn on_disk<T: Send + 'static>(
        &self,
        write: impl FnOnce(&NodeRecord) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (record, failure) = (self.record.clone(), self.failure.clone());
        let written = blocking::spawn(move || {
            write(&record).inspect_err(|error| failure.report_storage("the node record", error))
        });
        written.await.map_err(io::Error::other)?
    }
}
