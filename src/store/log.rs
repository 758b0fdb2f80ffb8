//! The Raft log of a node, in a write-ahead log, and the vote, in the node record.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use raft_log::api::raft_log_writer::RaftLogWriter;

use super::Owner;
use super::doubt::OnLoss;
use super::flush::{ChainedLog, FlushFigures, FlushUnderWay, OnDurable, SharedLog};
use super::keys::StoreKeys;
use super::level::WrittenLevel;
use super::level_note;
use super::log_open::{LOG, LogParts};
use super::log_open_error::LogOpenError;
use super::log_room::LogRoom;
use super::log_types::{LogId, PAYLOAD_FRAME_BYTES, Payload, Vote};
use super::node_record::NodeRecord;
use crate::disk::DiskRoom;

/// What a record takes besides the entry's bytes: type, position, the frame of the payload, and checksum.
const RECORD_BYTES: u64 = 36 + PAYLOAD_FRAME_BYTES as u64;

/// The Raft log of one node. Clones are cheap and share one log.
#[derive(Clone)]
pub struct LogStore {
    log: Arc<SharedLog>,
}

/// Where the log stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogState {
    /// The last purged entry.
    pub purged: Option<LogId>,
    /// The last entry, purged or not.
    pub last: Option<LogId>,
    /// The last vote.
    pub vote: Option<Vote>,
    /// The last position that this node knows to be committed.
    pub committed: Option<LogId>,
}

impl LogStore {
    /// Like [`LogStore::open`], for a node that may not have used the folder yet: what is missing is made.
    ///
    /// # Errors
    /// As for [`LogStore::open`]. A log or a node record that the node has used must still have the other beside it.
    pub fn create(dir: &Path, owner: Owner, keys: &StoreKeys, applied: Option<LogId>) -> Result<Self, LogOpenError> {
        Ok(Self::of(
            LogParts::open(dir, owner, keys, OnLoss::Refuse)?
                .completed(dir, owner, keys)?
                .check(owner, keys, applied)?,
        ))
    }

    /// Opens the log and the node record in the data folder `dir`, and checks the whole chain of the log. The node has
    /// applied everything up to `applied`, and needs no entry up to there.
    ///
    /// # Errors
    /// This process cannot read or write the files, one of the two is missing, they belong to another store, or they are not
    /// what this node wrote. Then nothing has changed, except that an unfinished write at the end of the log is removed.
    pub fn open(
        dir: &Path,
        owner: Owner,
        keys: &StoreKeys,
        applied: Option<LogId>,
        on_loss: OnLoss,
    ) -> Result<Self, LogOpenError> {
        Ok(Self::of(LogParts::open(dir, owner, keys, on_loss)?.check(owner, keys, applied)?))
    }

    pub(super) fn of((log, record): (ChainedLog, NodeRecord)) -> Self {
        Self { log: Arc::new(SharedLog::new(log, record)) }
    }

    /// Where the log stands.
    ///
    /// # Errors
    /// The log is closed.
    pub fn state(&self) -> io::Result<LogState> {
        let (purged, last) = {
            let log = self.log.read()?;
            (log.chain.purged(), log.chain.last())
        };
        let (vote, committed) = self.log.record.facts(|facts| (facts.vote, facts.committed));
        Ok(LogState { purged, last, vote, committed })
    }

    /// The node record beside the log.
    pub fn record(&self) -> &NodeRecord {
        &self.log.record
    }

    /// Notes that entries of this level follow. The note stands in front of them, so that it becomes durable with them or
    /// before them.
    ///
    /// # Errors
    /// The disk failed, or the note about the log's owner cannot be read.
    pub fn raise_level(&self, level: u32) -> io::Result<()> {
        if level <= self.log.level.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut log = self.log.write()?;
        let Some(note) = log.entries.log_state().user_data.clone() else { return Ok(()) };
        let (noted, owner) = level_note::decode(LOG, &note)?;
        if noted.level < level {
            log.entries.save_user_data(Some(level_note::encode(WrittenLevel::active(level), owner)))?;
        }
        self.log.level.store(level.max(noted.level), Ordering::Relaxed);
        Ok(())
    }

    /// Appends entries. When this returns, they can be read. When it calls `on_durable`, they are durable or lost.
    ///
    /// # Errors
    /// The entries do not follow the last one, or the disk failed.
    pub fn append(&self, entries: impl IntoIterator<Item = (LogId, Bytes)>, on_durable: OnDurable) -> io::Result<()> {
        let mut log = self.log.write()?;
        let ChainedLog { entries: raft_log, chain } = &mut *log;
        let before = chain.last();
        let entries: Vec<_> = entries.into_iter().collect();
        let bytes = entries.iter().map(|(_, payload)| RECORD_BYTES + payload.len() as u64).sum();
        if let Some(room) = self.log.room.get() {
            room.prepare(raft_log, bytes);
        }
        let tagged = entries.into_iter().map(|(id, payload)| {
            let tag = chain.append(id, &payload);
            (id, Payload::appended(payload, tag))
        });
        if let Err(error) = raft_log.append(tagged) {
            // The log may have taken some of them, but the caller gives up all.
            chain.truncate_after(before);
            return Err(error);
        }
        self.log.written.fetch_add(bytes, Ordering::Relaxed);
        self.log.when_durable(&mut log, on_durable)
    }

    /// Waits until everything that was appended so far is durable. The caller may block.
    ///
    /// # Errors
    /// The log is closed, or the disk failed.
    pub fn wait_until_durable(&self) -> io::Result<()> {
        self.log.wait_for_writes()
    }

    /// Saves a vote. When this returns, the vote is durable, and so is everything that was appended before. The caller may
    /// block.
    ///
    /// # Errors
    /// The vote is older than the last one, or the disk failed.
    pub fn save_vote(&self, vote: Vote) -> io::Result<()> {
        // openraft takes a vote for a sign that all its writes from before are durable.
        self.log.wait_for_writes()?;
        self.log.record.save_vote(vote)
    }

    /// Notes how far the log is committed. The node record has it after [`NodeRecord::write_progress`].
    ///
    /// # Errors
    /// The log is closed.
    pub fn commit(&self, committed: LogId) -> io::Result<()> {
        // An entry that a snapshot covers need not be in the log.
        if Some(committed) <= self.log.read()?.chain.last() {
            self.log.record.note_committed(committed);
        }
        Ok(())
    }

    /// Removes the entries after `last`. The caller may block.
    ///
    /// # Errors
    /// One of them is committed, or the disk failed.
    pub fn truncate_after(&self, last: Option<LogId>) -> io::Result<()> {
        let next = last.map_or(0, |id| id.index + 1);
        if self.log.read()?.chain.last().is_none_or(|last| last.index < next) {
            return Ok(());
        }
        if self.log.record.facts(|facts| facts.committed) > last {
            return Err(io::Error::other("the log must not lose committed entries"));
        }
        // No flush may be under way: it would make the record say again what it says no more.
        let mut log = self.log.write_when_idle()?;
        self.log.record.lower_flushed(last)?;
        log.entries.truncate(next)?;
        log.chain.truncate_after(last);
        self.log.flush_and_wait(log)
    }

    /// Makes room for a state that goes up to `applied`, which the node is about to take. If the log ends in other entries
    /// than the ones that lead there, this removes everything that is not known to be committed, and the log is in doubt: the
    /// node may have acknowledged some of it, and may yet find that it cannot take the state. The caller may block.
    ///
    /// # Errors
    /// The disk failed.
    pub fn make_room_for(&self, applied: LogId) -> io::Result<()> {
        let Some(kept) = self.kept_before(applied)? else { return Ok(()) };
        // This forgets what is known to be committed.
        self.log.record.enter_doubt()?;
        self.truncate_after(kept)
    }

    /// What the log keeps if it ends in other entries than the ones that lead to `applied`: everything up to this position
    /// is known to be committed. `None` if the log need not lose anything.
    fn kept_before(&self, applied: LogId) -> io::Result<Option<Option<LogId>>> {
        let log = self.log.read()?;
        let found = log.entries.read(applied.index, applied.index + 1).next().transpose()?;
        let has_another = found.is_some_and(|(id, _)| id != applied);
        // A leader of a later term wrote the end, and was replaced before it was committed. The log would take it for newer
        // than the snapshot.
        let ends_later = log.chain.last().is_some_and(|last| last.index < applied.index && last > applied);
        let committed = self.log.record.facts(|facts| facts.committed);
        Ok((has_another || ends_later).then(|| committed.max(log.chain.purged())))
    }

    /// Removes the entries up to and including `upto`. The caller may block.
    ///
    /// # Errors
    /// The log has another entry at that index, or the disk failed.
    pub fn purge(&self, upto: LogId) -> io::Result<()> {
        if self.log.read()?.chain.last().is_some_and(|last| last.index < upto.index) {
            // The node has the state at `upto`, and needs no entry before it.
            self.kept_before(upto)?.map_or(Ok(()), |kept| self.truncate_after(kept))?;
        }
        let anchor = {
            let log = self.log.read()?;
            if log.chain.purged() >= Some(upto) {
                return Ok(());
            }
            let found = log.entries.read(upto.index, upto.index + 1).next().transpose()?;
            if let Some((other, _)) = found.filter(|(id, _)| *id != upto) {
                return Err(io::Error::other(format!("the log has {other:?} where {upto:?} was purged")));
            }
            log.chain.anchor_at(upto)
        };
        // If the log lost its first entries before the record says so, the chain would begin in the middle.
        self.log.record.move_anchor(anchor)?;
        let mut log = self.log.write()?;
        log.entries.purge(upto)?;
        log.chain.move_to(anchor);
        self.log.flush_and_wait(log)
    }

    /// The entries of a range of indices, as far as the log has them.
    ///
    /// # Errors
    /// The disk failed, or an entry is not the one that this node wrote ([`super::Forged`]).
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<(LogId, Bytes)>> {
        let log = self.log.read()?;
        let checked = |entry: io::Result<(LogId, Payload)>| {
            let (id, payload) = entry?;
            if payload.from_disk {
                log.chain.check(id, &payload.bytes)?;
            }
            Ok((id, payload.bytes))
        };
        log.entries.read(range.start, range.end).map(checked).collect()
    }

    /// The size of the log when it was opened and of every entry since, in bytes. It never shrinks.
    pub fn bytes_written(&self) -> u64 {
        self.log.written.load(Ordering::Relaxed)
    }

    /// The flush that has yet to end, if there is one.
    pub fn flush_under_way(&self) -> Option<FlushUnderWay> {
        self.log.flush_under_way()
    }

    /// Keeps room on this disk from now on for what the log is about to write. While the disk has none, and its reserve is
    /// used up, flushes wait.
    pub fn keep_room(&self, disk: Arc<DiskRoom>) {
        self.log.room.get_or_init(|| LogRoom::new(disk));
    }

    /// Whether a flush waits for room on the disk.
    pub fn waits_for_room(&self) -> bool {
        self.log.is_held()
    }

    /// Begins the flush that waits for room on the disk, if the disk has room now. Otherwise allocates room for what may come
    /// soon. The caller may block.
    ///
    /// # Errors
    /// The log is closed, or its disk failed.
    pub fn use_room(&self) -> io::Result<()> {
        if let Some(room) = self.log.room.get() {
            room.fill(&self.log.read()?.entries);
        }
        self.log.flush_held()
    }

    /// Closes the log if a flush waits for room on the disk, so that nobody waits for that flush any more.
    pub fn give_up_held(&self) {
        self.log.give_up_held();
    }

    /// What flushes have cost so far.
    pub fn flush_figures(&self) -> FlushFigures {
        FlushFigures {
            count: self.log.flushes.load(Ordering::Relaxed),
            total_ns: self.log.flush_ns.load(Ordering::Relaxed),
        }
    }

    /// Waits for the writes on their way to the disk and closes the log. Another process can then open the folder.
    pub fn close(&self) {
        self.log.close();
        if let Err(error) = self.log.record.write_progress() {
            tracing::warn!(%error, "the node could not note how far its log goes");
        }
    }
}

#[cfg(test)]
mod tests;
