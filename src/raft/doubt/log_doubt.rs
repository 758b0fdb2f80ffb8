//! Whether the log of this node is in doubt, and what the node refuses meanwhile.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::Status;

use super::bar::Bar;
use crate::raft::protocol::types::{RaftVote, from_store_vote, to_store_vote};
use crate::raft::protocol::wire::VoteReply;
use crate::store::{NodeRecord, Vote};

/// Whether the log of this node is in doubt, because it lost entries that the node may have acknowledged.
///
/// In doubt, the node neither votes nor campaigns. It takes entries only from a leader that has said how far the node must
/// come (design, "A log in doubt").
pub(in crate::raft) struct LogDoubt {
    record: NodeRecord,
    is_open: AtomicBool,
    bar: Mutex<Option<Bar>>,
    /// The leader that sent something last and has not said yet how far this node must come.
    caller: watch::Sender<Option<Vote>>,
}

impl LogDoubt {
    /// The doubt that this record notes.
    pub(in crate::raft) fn of(record: NodeRecord) -> Self {
        let is_open = AtomicBool::new(record.doubt().is_some());
        Self { record, is_open, bar: Mutex::default(), caller: watch::Sender::new(None) }
    }

    /// Whether the log is in doubt.
    pub(in crate::raft) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Fails if this node must not take anything yet from the leader with this vote.
    ///
    /// # Errors
    /// The status to answer with.
    pub(in crate::raft) fn check_leader(&self, vote: &RaftVote) -> Result<(), Status> {
        if !self.is_open() {
            return Ok(());
        }
        let vote = to_store_vote(vote);
        // openraft refuses an older vote with its own one, and the other node must learn that.
        if self.bar().is_some_and(|bar| bar.vote == vote) || Some(vote) < self.record.vote() {
            return Ok(());
        }
        self.caller.send_if_modified(|caller| caller.replace(vote) != Some(vote));
        Err(Status::unavailable("its log lost entries, and it has yet to ask this leader how far it must catch up"))
    }

    /// The answer to a request for a vote, if this node must not vote.
    pub(in crate::raft) fn refused_vote(&self) -> Option<VoteReply> {
        let own = || from_store_vote(self.record.vote().unwrap_or_default());
        self.is_open().then(|| VoteReply { vote: Some(own().into()), granted: false, last: None })
    }

    /// The leader that this node must ask next, and that changes as leaders send something.
    pub(super) fn callers(&self) -> watch::Receiver<Option<Vote>> {
        self.caller.subscribe()
    }

    /// How far this node must come, if a leader has said so.
    pub(in crate::raft) fn bar(&self) -> Option<Bar> {
        *self.bar.lock()
    }

    /// Takes what a leader said. Returns false if this node has voted in a later election than that leader's.
    pub(super) fn take(&self, bar: Bar) -> bool {
        let is_current = bar.vote.committed && Some(bar.vote) >= self.record.vote();
        if is_current {
            *self.bar.lock() = Some(bar);
        }
        is_current
    }

    /// Ends the doubt if everything up to the bar is committed and durable here. Returns whether it is over.
    ///
    /// # Errors
    /// The disk failed. The node must stop.
    pub(super) fn end_at(&self, bar: Bar) -> io::Result<bool> {
        let is_over = self.record.end_doubt(bar.index)?;
        if is_over {
            self.is_open.store(false, Ordering::Release);
        }
        Ok(is_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::protocol::types::LeaderId;
    use crate::store::StoreId;

    fn vote(term: u64, node: u64) -> RaftVote {
        RaftVote { leader_id: LeaderId { term, node_id: node }, committed: true }
    }

    /// A node in doubt that voted for node 2 in term 5.
    fn in_doubt(dir: &std::path::Path) -> LogDoubt {
        let record = NodeRecord::in_folder(dir, StoreId([1; 16]));
        record.in_doubt_after(Vote { term: 5, node: 2, committed: true });
        LogDoubt::of(record)
    }

    #[test]
    fn a_node_without_doubt_refuses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let doubt = LogDoubt::of(NodeRecord::in_folder(dir.path(), StoreId([1; 16])));
        assert!(!doubt.is_open() && doubt.check_leader(&vote(1, 1)).is_ok() && doubt.refused_vote().is_none());
    }

    #[test]
    fn in_doubt_a_node_refuses_votes_and_names_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let reply = in_doubt(dir.path()).refused_vote().expect("it must not vote");
        assert_eq!((reply.granted, reply.vote), (false, Some(vote(5, 2).into())));
    }

    #[test]
    fn in_doubt_a_node_takes_entries_only_from_the_leader_that_set_its_bar() {
        let dir = tempfile::tempdir().unwrap();
        let doubt = in_doubt(dir.path());
        let bar = |vote: RaftVote, index| Bar { vote: to_store_vote(&vote), index };
        assert!(doubt.check_leader(&vote(5, 2)).is_err());
        assert_eq!(*doubt.callers().borrow(), Some(to_store_vote(&vote(5, 2))), "it asks that leader");
        assert!(!doubt.take(bar(vote(4, 3), 9)), "it has voted since for another leader");
        assert!(doubt.take(bar(vote(5, 2), 9)));
        assert!(doubt.check_leader(&vote(5, 2)).is_ok() && doubt.check_leader(&vote(6, 3)).is_err());
        assert!(doubt.check_leader(&vote(4, 3)).is_ok(), "openraft refuses it");
        assert!(!doubt.end_at(bar(vote(5, 2), 9)).unwrap() && doubt.is_open(), "it has not caught up");
        assert!(LogDoubt::of(NodeRecord::in_folder(dir.path(), StoreId([1; 16]))).is_open(), "a restart ends no doubt");
    }
}
