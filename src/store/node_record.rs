//! The node record: the vote of a node, how far its log goes, where the chain of the log begins, and the starts of nodes.
//!
//! The record stands in `node.record`, beside the log. The log has records of some of these facts, too, but nobody
//! believes them: anybody who can write to the disk can write them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::StoreId;
use super::chain::Anchor;
use super::doubt::Doubt;
use super::log_open_error::LogOpenError;
use super::log_types::{LogId, Vote};
use super::record_facts::{LogProgress, RecordFacts};
use super::record_file::RecordFile;
use super::starts::{Noting, StartHistory, StartId};
use crate::crypto::IntegrityKeys;

/// The record of one node. Clones are cheap and share it.
///
/// What the node must not forget is written to both slots before the operation returns. If one slot is damaged later, the
/// other one has it: a node that fell back to its last vote but one could vote twice. How far the log is flushed and
/// committed may be a little older, and goes to one slot.
#[derive(Clone)]
pub struct NodeRecord {
    shared: Arc<Shared>,
}

struct Shared {
    /// Nothing holds this lock while it waits for the disk, so that consensus never waits for it.
    current: Mutex<Current>,
    file: Mutex<RecordFile>,
    /// How many changes both slots have.
    in_both: AtomicU64,
    /// Tells the task that writes progress that there is some.
    progressed: Notify,
}

/// The facts now. The file may be behind.
struct Current {
    facts: RecordFacts,
    /// Counts the changes that must be durable before anybody acts on them.
    changes: u64,
    /// The progress that the last write had.
    written: LogProgress,
}

impl NodeRecord {
    /// Makes the record of a node that has done nothing yet.
    pub(super) fn create(dir: &Path, store: StoreId, keys: IntegrityKeys, anchor: Anchor) -> io::Result<Self> {
        let facts = RecordFacts::new(anchor);
        let file = RecordFile::create(dir, store, keys, &facts)?;
        Ok(Self::new(file, facts))
    }

    /// Opens the record in this data folder. `None` without a file.
    pub(super) fn open(dir: &Path, store: StoreId, keys: IntegrityKeys) -> Result<Option<Self>, LogOpenError> {
        Ok(RecordFile::open(dir, store, keys)?.map(|(file, facts)| Self::new(file, facts)))
    }

    fn new(file: RecordFile, facts: RecordFacts) -> Self {
        // The first change is that the node acts on what it found. Both slots must say it by then.
        let written = facts.progress();
        let current = Current { facts, changes: 1, written };
        let in_both = AtomicU64::new(file.changes_in_both());
        Self {
            shared: Arc::new(Shared {
                current: Mutex::new(current),
                file: Mutex::new(file),
                in_both,
                progressed: Notify::new(),
            }),
        }
    }

    /// What the record says now, of which the newest may not be durable yet.
    pub(super) fn facts<T>(&self, read: impl FnOnce(&RecordFacts) -> T) -> T {
        read(&self.shared.current.lock().facts)
    }

    /// The position up to which the log must have its entries. `None` if all of them are purged.
    pub(super) fn noted_in_log(&self) -> Option<LogId> {
        self.facts(|facts| {
            let committed = facts.durably_committed().filter(|committed| Some(*committed) > facts.anchor.position);
            committed.max(facts.flushed_after(facts.anchor.position))
        })
    }

    /// Makes both slots say what the node has found or noted so far.
    pub(super) fn settle(&self) -> io::Result<()> {
        let changes = self.shared.current.lock().changes;
        self.make_durable(changes)
    }

    /// Saves a vote. It is durable when this returns.
    pub(super) fn save_vote(&self, vote: Vote) -> io::Result<()> {
        self.change(|facts| {
            if facts.vote > Some(vote) {
                return (Err(io::Error::other(format!("the vote {vote:?} is older than the last one"))), false);
            }
            (Ok(()), facts.vote.replace(vote) != Some(vote))
        })?
    }

    /// Moves the anchor of the log. That is durable when this returns.
    pub(super) fn move_anchor(&self, anchor: Anchor) -> io::Result<()> {
        self.change(|facts| ((), facts.move_anchor(anchor)))
    }

    /// Notes a committed position, which the log has. It becomes durable later, once the log is durable up to there.
    pub(super) fn note_committed(&self, committed: LogId) {
        {
            let facts = &mut self.shared.current.lock().facts;
            facts.committed = facts.committed.max(Some(committed));
        }
        self.shared.progressed.notify_one();
    }

    /// Notes how far the log is flushed. That becomes durable later.
    pub(super) fn note_flushed(&self, flushed: Option<LogId>) {
        self.shared.current.lock().facts.note_flushed(flushed);
        self.shared.progressed.notify_one();
    }

    /// Notes that the log is about to lose the entries after `last`. That is durable when this returns.
    pub(super) fn lower_flushed(&self, last: Option<LogId>) -> io::Result<()> {
        self.change(|facts| ((), facts.lower_flushed(last)))
    }

    /// Notes that the log lost entries that the node may have acknowledged. That is durable when this returns.
    pub(super) fn enter_doubt(&self) -> io::Result<()> {
        self.change(|facts| (facts.enter_doubt(), true))
    }

    /// The last vote. It may not be durable yet.
    pub fn vote(&self) -> Option<Vote> {
        self.facts(|facts| facts.vote)
    }

    /// What the node knows no more. `None` if it is not in doubt.
    pub fn doubt(&self) -> Option<Doubt> {
        self.facts(|facts| facts.doubt)
    }

    /// Ends the doubt, if everything up to this index is committed and durable in the log. Returns whether the node is in
    /// doubt no more, which is then durable.
    ///
    /// # Errors
    /// The disk failed. The node must stop.
    pub fn end_doubt(&self, bar: u64) -> io::Result<bool> {
        self.change(|facts| {
            let ended = facts.end_doubt(bar);
            (facts.doubt.is_none(), ended)
        })
    }

    /// Whether more is flushed or durably committed than the last write says.
    pub fn is_behind(&self) -> bool {
        let current = self.shared.current.lock();
        current.facts.progress() != current.written
    }

    /// Waits until more is flushed or durably committed than the last write says. One task at a time may wait.
    pub async fn falls_behind(&self) {
        while !self.is_behind() {
            self.shared.progressed.notified().await;
        }
    }

    /// Writes how far the log is flushed and committed, if the last write does not say it.
    ///
    /// # Errors
    /// The disk failed. The node must stop.
    pub fn write_progress(&self) -> io::Result<()> {
        if self.is_behind() { self.write(&mut self.shared.file.lock()) } else { Ok(()) }
    }

    /// Begins a start of this node, with these random bytes. It is durable when this returns.
    ///
    /// # Errors
    /// The disk failed. The node must stop.
    pub fn begin_start(&self, random: [u8; 16]) -> io::Result<StartId> {
        self.change(|facts| (facts.starts.begin(random), true))
    }

    /// Notes that the node is about to name its start to a peer. That is durable when this returns, and costs a write the
    /// first time only.
    ///
    /// # Errors
    /// The disk failed. The node must stop.
    pub fn mark_spoken(&self) -> io::Result<()> {
        self.change(|facts| ((), facts.starts.speak()))
    }

    /// Notes the start of the node with this store, as [`StartHistory::note`] does. What the history then says is durable
    /// when this returns. That costs a write only if the start is new.
    ///
    /// # Errors
    /// The disk failed. The node must stop.
    pub fn note_peer_start(
        &self,
        peer: StoreId,
        start: StartId,
        said: Option<StartId>,
        now: u64,
    ) -> io::Result<Noting> {
        self.change(|facts| {
            let noting = facts.starts.note(peer, start, said, now);
            (noting, noting == Noting::Changed)
        })
    }

    /// Forgets old starts of nodes that are not members, as [`StartHistory::forget_strangers`] does. The next write makes
    /// that durable.
    pub fn forget_strangers(&self, is_member: impl Fn(StoreId) -> bool) {
        self.shared.current.lock().facts.starts.forget_strangers(is_member);
    }

    /// What the node knows about starts.
    pub fn starts<T>(&self, read: impl FnOnce(&StartHistory) -> T) -> T {
        self.facts(|facts| read(&facts.starts))
    }

    /// Changes the facts, and waits until they are durable, also if another thread made the change a moment ago. `change`
    /// returns whether it has changed something.
    fn change<T>(&self, change: impl FnOnce(&mut RecordFacts) -> (T, bool)) -> io::Result<T> {
        let (returned, changes) = {
            let mut current = self.shared.current.lock();
            let (returned, changed) = change(&mut current.facts);
            current.changes += u64::from(changed);
            (returned, current.changes)
        };
        self.make_durable(changes)?;
        Ok(returned)
    }

    /// Returns once both slots have this change. A write of another thread may have taken it along.
    fn make_durable(&self, changes: u64) -> io::Result<()> {
        // Who has changed nothing must not wait for another thread's write: a node whose disk stalls takes connections.
        if self.shared.in_both.load(Ordering::Acquire) >= changes {
            return Ok(());
        }
        let mut file = self.shared.file.lock();
        while file.changes_in_both() < changes {
            self.write(&mut file)?;
        }
        Ok(())
    }

    fn write(&self, file: &mut RecordFile) -> io::Result<()> {
        let (facts, changes) = {
            let mut current = self.shared.current.lock();
            current.written = current.facts.progress();
            (current.facts.clone(), current.changes)
        };
        file.write(&facts, changes)?;
        self.shared.in_both.store(file.changes_in_both(), Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
