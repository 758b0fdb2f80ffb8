//! Opening the log and the node record beside it, and checking that they are what this node wrote.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Config, Dump, DumpApi, RaftLog, WALRecord};

use super::Owner;
use super::chain::{Anchor, Chain, ChainMaker};
use super::damage::Damage;
use super::file_error::at;
use super::files::{check_folder, make_private_folder, sync_folder};
use super::flush::{ChainedLog, LogTypes};
use super::forged::{Forged, Forgery};
use super::keys::StoreKeys;
use super::level::WrittenLevel;
use super::level_note;
use super::log_open_error::LogOpenError;
use super::log_tail;
use super::log_types::LogId;
use super::node_record::NodeRecord;
use super::read_error::ReadError;
use super::record_facts::RecordFacts;
use crate::state::LOWEST_LEVEL;

/// What a message about the level calls the log.
pub(super) const LOG: &str = "the log";
/// The size of a chunk. A purge drops whole chunks only, and opening the log decodes all chunks that are left.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;
/// Payloads that stay in memory for followers that are close behind.
const CACHE_BYTES: usize = 8 * 1024 * 1024;
const READ_BUFFER_BYTES: usize = 1024 * 1024;

/// The log and the node record of a folder, before it is clear that they belong together.
pub(super) struct LogParts {
    entries: RaftLog<LogTypes>,
    record: Option<NodeRecord>,
    /// Whom the log belongs to, as it says itself. `None` when it is new.
    owner: Option<Owner>,
}

impl LogParts {
    /// Reads them, and makes the folder of the log if it does not exist.
    pub fn open(dir: &Path, owner: Owner, keys: &StoreKeys) -> Result<Self, LogOpenError> {
        let record = NodeRecord::open(dir, owner.store_id, keys.integrity.clone());
        let entries = match &record {
            Ok(record) => open_entries(&dir.join("log"), record.as_ref().and_then(NodeRecord::noted_in_log))?,
            // Do not repair a log that may belong to another node.
            Err(_) => {
                let log = dir.join("log");
                make_usable(&log).and_then(|()| RaftLog::open(config(&log, false))).map_err(at(&log))?
            }
        };
        let noted = noted_owner(&entries)?;
        if let Some(other) = noted.filter(|noted| *noted != owner) {
            return Err(LogOpenError::Foreign { file: owner, folder: other });
        }
        let record = record?;
        Ok(Self { entries, record, owner: noted })
    }

    /// Makes those that are missing, if the node has used neither. The record comes first, so that a crash in between never
    /// leaves a log without a record.
    pub fn completed(mut self, dir: &Path, owner: Owner, keys: &StoreKeys) -> Result<Self, LogOpenError> {
        if self.record.is_none() && self.is_new() {
            let anchor = chain_maker(owner, keys, keys.integrity.active())?.anchor(None);
            self.record = Some(NodeRecord::create(dir, owner.store_id, keys.integrity.clone(), anchor)?);
        }
        let unused = self.record.as_ref().is_some_and(|record| record.facts(RecordFacts::are_unused));
        if !unused || !self.is_new() {
            return Ok(self);
        }
        // The folder of the log may be new.
        sync_folder(dir)?;
        Ok(self.claimed(owner)?)
    }

    /// Whether the log has never been used.
    pub fn is_new(&self) -> bool {
        self.owner.is_none() && self.entries.log_state().last().is_none()
    }

    /// Notes whom the log belongs to. That is durable when this returns.
    fn claimed(mut self, owner: Owner) -> io::Result<Self> {
        let note = level_note::encode(WrittenLevel::active(LOWEST_LEVEL), &owner.encode());
        self.entries.save_user_data(Some(note))?;
        self.entries.flush(true, None)?;
        self.entries.wait_worker_idle()?;
        self.owner = Some(owner);
        Ok(self)
    }

    /// Checks that the entries are those that this node wrote. What the node has applied elsewhere up to `applied` can be
    /// missing or damaged in the log: then the log begins after it.
    pub fn check(
        self,
        owner: Owner,
        keys: &StoreKeys,
        applied: Option<LogId>,
    ) -> Result<(ChainedLog, NodeRecord), LogOpenError> {
        if self.owner.is_none() {
            return Err(LogOpenError::WithoutLog);
        }
        let Some(record) = self.record else { return Err(LogOpenError::WithoutRecord) };
        let facts = record.facts(Clone::clone);
        let maker = chain_maker(owner, keys, facts.anchor.key_version)?;
        let chain = match load(&self.entries, Chain::new(maker.clone(), facts.anchor), &facts, applied) {
            Ok(chain) => chain,
            Err(error) => {
                let applied_index = applied.map(|applied| applied.index);
                let covered = |forged: &Forged| forged.0.index().is_some_and(|index| Some(index) <= applied_index);
                let Some(forged) = Forged::cause_of(&error).filter(covered) else { return Err(error.into()) };
                let anchor = anchor_at(&self.entries, &maker, applied)?;
                let chain = load(&self.entries, Chain::new(maker, anchor), &facts, applied)?;
                tracing::warn!(%forged, "the log is damaged, but this node has applied the damaged part: it drops that part");
                chain
            }
        };
        record.move_anchor(chain.anchor())?;
        // From now on the node acknowledges what it has found here, and all of it is durable.
        record.note_flushed(chain.last());
        record.settle()?;
        let mut log = ChainedLog { entries: self.entries, chain };
        log.purge_again()?;
        Ok((log, record))
    }
}

impl ChainedLog {
    /// Purges what the anchor says is purged. A crash may have come between the two.
    fn purge_again(&mut self) -> io::Result<()> {
        match self.chain.purged() {
            Some(purged) if self.entries.log_state().purged() < Some(&purged) => {
                self.entries.purge(purged)?;
                self.entries.flush(true, None)
            }
            _ => Ok(()),
        }
    }
}

/// The chain with all entries after its anchor, if they fit it and these facts.
fn load(
    entries: &RaftLog<LogTypes>,
    mut chain: Chain,
    facts: &RecordFacts,
    applied: Option<LogId>,
) -> io::Result<Chain> {
    let purged = chain.purged();
    let mut reached = facts.durably_committed() <= purged;
    let mut lacks = facts.flushed_after(purged);
    for entry in entries.read(chain.first(), u64::MAX) {
        let (id, payload) = entry?;
        chain.load(id, &payload.bytes, payload.tag)?;
        reached |= facts.durably_committed() == Some(id);
        lacks = lacks.filter(|flushed| *flushed != id);
        if applied.is_some_and(|applied| applied.index == id.index && applied != id) {
            return Err(Forged::from(Forgery::Applied { index: id.index }).into());
        }
    }
    let (last, noted) = (chain.last(), entries.log_state().last().copied());
    // Without an entry, the log may end before the anchor: a crash came between its move beyond the end and the purge.
    let ends = noted == last || (last == purged && noted < purged);
    let vote = facts.vote.map_or(0, |vote| vote.term);
    let forgery = match (facts.durably_committed(), lacks, last) {
        _ if !ends => Forgery::End,
        (Some(committed), _, _) if !reached => Forgery::Committed { index: committed.index },
        (_, Some(flushed), _) => Forgery::Flushed { index: flushed.index },
        // The node saves a vote before it takes an entry of its term.
        (_, None, Some(last)) if Some(last) != purged && last.term > vote => Forgery::Vote { term: last.term },
        _ => return Ok(chain),
    };
    Err(Forged::from(forgery).into())
}

/// The anchor at a position that the node has applied, for a log that is damaged before it.
fn anchor_at(entries: &RaftLog<LogTypes>, maker: &ChainMaker, applied: Option<LogId>) -> io::Result<Anchor> {
    let next = applied.map_or(0, |applied| applied.index);
    // What follows in the log depends on the tag that stands there.
    let found = entries.read(next, next + 1).next().transpose()?.filter(|(id, _)| Some(*id) == applied);
    let fresh = maker.anchor(applied);
    Ok(found.map_or(fresh, |(_, payload)| Anchor { tag: payload.tag, ..fresh }))
}

/// Opens the write-ahead log, and makes its folder if it does not exist. It removes an unfinished write at the end, but
/// nothing up to `noted`.
pub(super) fn open_entries(dir: &Path, noted: Option<LogId>) -> io::Result<RaftLog<LogTypes>> {
    make_usable(dir).and_then(|()| try_open(dir, noted)).map_err(at(dir))
}

fn try_open(dir: &Path, noted: Option<LogId>) -> io::Result<RaftLog<LogTypes>> {
    log_tail::settle(dir)?;
    log_tail::check_last_file(dir)?;
    match RaftLog::open(config(dir, false)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            if let Some(noted) = noted {
                log_tail::check_reaches(&config(dir, false), noted)?;
            }
            RaftLog::open(config(dir, true))
        }
        // Only zeros may be removed then, which a power cut can leave.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => RaftLog::open(config(dir, true)),
        opened => opened,
    }
}

fn make_usable(dir: &Path) -> io::Result<()> {
    make_private_folder(dir)?;
    check_folder(dir)
}

fn config(dir: &Path, remove_unfinished_write: bool) -> Arc<Config> {
    let mut config = Config::new(dir.display());
    config.wal.chunk_max_size = Some(CHUNK_BYTES);
    config.wal.read_buffer_size = Some(READ_BUFFER_BYTES);
    config.wal.flush_batch_wait = Some(Duration::ZERO);
    config.wal.truncate_incomplete_record = Some(remove_unfinished_write);
    config.log_cache_capacity = Some(CACHE_BYTES);
    // With a bound on its bytes, an append that holds the log's lock could wait for the log's thread, which needs the
    // lock to flush. The queue still has room for 1,024 requests only.
    config.wal.flush_queue_max_bytes = Some(usize::MAX);
    Arc::new(config)
}

/// Whom a log belongs to, as its own note says, if this version can read the log.
fn noted_owner(entries: &RaftLog<LogTypes>) -> Result<Option<Owner>, ReadError> {
    entries.log_state().user_data.as_deref().map(decode_owner).transpose()
}

/// Whom the log in this folder belongs to, as its own note says. This changes nothing, not even an unfinished write.
pub(super) fn noted_owner_of(dir: &Path) -> Result<Option<Owner>, ReadError> {
    let mut note = None;
    check_folder(dir)?;
    Dump::<LogTypes>::new(config(dir, false))?.write_with(|_, _, record| {
        if let Ok((_, WALRecord::Checkpoint(state))) = record {
            note = state.user_data.or(note.take());
        }
        Ok(())
    })?;
    note.map_or(Ok(None), |note| decode_owner(&note).map(Some))
}

fn decode_owner(note: &[u8]) -> Result<Owner, ReadError> {
    let (_, owner) = level_note::decode(LOG, note)?;
    let damaged = || Damage::Unreadable("the note in the log about its owner cannot be read".to_owned()).into();
    Owner::decode(owner).ok_or_else(damaged)
}

fn chain_maker(owner: Owner, keys: &StoreKeys, key_version: u32) -> Result<ChainMaker, Damage> {
    let key = keys.integrity.chain(key_version).ok_or(Damage::UnknownKey { version: key_version })?.clone();
    Ok(ChainMaker { key, key_version, store: owner.store_id, incarnation: keys.incarnation.0 })
}
