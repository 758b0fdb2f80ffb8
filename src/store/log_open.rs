//! Opening the log and the node record beside it, and checking that they are what this node wrote.

use std::io;
use std::path::{Path, PathBuf};

use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Dump, DumpApi, RaftLog, WALRecord};

use super::Owner;
use super::chain::{Anchor, Chain, ChainMaker};
use super::damage::Damage;
use super::doubt::OnLoss;
use super::file_error::at;
use super::files::{check_folder, sync_folder};
use super::flush::{ChainedLog, LogTypes};
use super::forged::{Forged, Forgery};
use super::keys::StoreKeys;
use super::level::WrittenLevel;
use super::level_note;
use super::log_files::{config, make_usable, open_entries};
use super::log_open_error::LogOpenError;
use super::log_salvage;
use super::log_types::LogId;
use super::node_record::NodeRecord;
use super::read_error::ReadError;
use super::record_facts::RecordFacts;
use crate::state::LOWEST_LEVEL;

/// What a message about the level calls the log.
pub(super) const LOG: &str = "the log";
/// The log and the node record of a folder, before it is clear that they belong together.
pub(super) struct LogParts {
    dir: PathBuf,
    on_loss: OnLoss,
    log: OwnedLog,
    record: Option<NodeRecord>,
}

/// The entries of a log, and whom it belongs to, as it says itself. `None` when it is new.
struct OwnedLog {
    entries: RaftLog<LogTypes>,
    owner: Option<Owner>,
}

impl LogParts {
    /// Reads them, and makes the folder of the log if it does not exist.
    pub fn open(dir: &Path, owner: Owner, keys: &StoreKeys, on_loss: OnLoss) -> Result<Self, LogOpenError> {
        let record = NodeRecord::open(dir, owner.store_id, keys.integrity.clone());
        let log = match (OwnedLog::open(dir, owner, &record), &record) {
            (Err(error), Ok(Some(record))) if goes_on_after(on_loss, &error) => {
                check_readable(dir, owner)?;
                let (entries, purged) = log_salvage::readable(&dir.join("log"))?;
                check_newest(record, entries.iter().map(|(id, _)| *id), purged)?;
                record.enter_doubt()?;
                renewed(dir, owner, keys, record, None, &error)?
            }
            (opened, _) => opened?,
        };
        Ok(Self { dir: dir.to_owned(), on_loss, log, record: record? })
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
        self.log.claim(owner)?;
        Ok(self)
    }

    /// Whether the log has never been used.
    pub fn is_new(&self) -> bool {
        self.log.owner.is_none() && self.log.entries.log_state().last().is_none()
    }

    /// Checks that the entries are those that this node wrote. What the node has applied elsewhere up to `applied` can be
    /// missing or damaged in the log: then the log begins after it.
    pub fn check(
        self,
        owner: Owner,
        keys: &StoreKeys,
        applied: Option<LogId>,
    ) -> Result<(ChainedLog, NodeRecord), LogOpenError> {
        let Self { dir, on_loss, mut log, record } = self;
        let Some(record) = record else {
            return Err(if log.owner.is_none() { LogOpenError::WithoutLog } else { LogOpenError::WithoutRecord });
        };
        let chain = match log.chain(owner, keys, &record, applied) {
            Err(error) if goes_on_after(on_loss, &error) => {
                log.check_newest(&record)?;
                record.enter_doubt()?;
                // A log that is only short needs nothing else.
                match log.chain(owner, keys, &record, applied) {
                    Err(still) if goes_on_after(on_loss, &still) => {
                        drop(log);
                        log = renewed(&dir, owner, keys, &record, applied, &still)?;
                        log.chain(owner, keys, &record, applied)?
                    }
                    chain => {
                        log_doubt(&error, None);
                        chain?
                    }
                }
            }
            chain => chain?,
        };
        record.move_anchor(chain.anchor())?;
        // From now on the node acknowledges what it has found here, and all of it is durable.
        record.note_flushed(chain.last());
        let reaches = |applied: &LogId| chain.last().is_some_and(|last| last.index >= applied.index);
        if let Some(applied) = applied.filter(reaches).filter(|_| record.doubt().is_some()) {
            // Without news about what is committed, the doubt could last although nothing is missing any more.
            record.note_committed(applied);
        }
        record.settle()?;
        let mut log = ChainedLog { entries: log.entries, chain };
        log.purge_again()?;
        Ok((log, record))
    }
}

impl OwnedLog {
    /// Opens the log in this data folder, which must belong to `owner` if it is not new.
    fn open(dir: &Path, owner: Owner, record: &Result<Option<NodeRecord>, LogOpenError>) -> Result<Self, LogOpenError> {
        let log = dir.join("log");
        let entries = match record {
            Ok(record) => open_entries(&log, record.as_ref().and_then(NodeRecord::noted_in_log))?,
            // Do not repair a log that may belong to another node.
            Err(_) => make_usable(&log).and_then(|()| RaftLog::open(config(&log, false))).map_err(at(&log))?,
        };
        let noted = noted_owner(&entries)?;
        not_foreign(noted, owner)?;
        Ok(Self { entries, owner: noted })
    }

    /// Fails if the record is older than this log.
    fn check_newest(&self, record: &NodeRecord) -> Result<(), LogOpenError> {
        let ids: io::Result<Vec<_>> = self.entries.read(0, u64::MAX).map(|entry| entry.map(|(id, _)| id)).collect();
        check_newest(record, ids?.into_iter(), self.entries.log_state().purged().copied())
    }

    /// Notes whom the log belongs to. That is durable when this returns.
    fn claim(&mut self, owner: Owner) -> io::Result<()> {
        let note = level_note::encode(WrittenLevel::active(LOWEST_LEVEL), &owner.encode());
        self.entries.save_user_data(Some(note))?;
        self.flush()?;
        self.owner = Some(owner);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.entries.flush(true, None)?;
        self.entries.wait_worker_idle()
    }

    /// The chain of the log, if its entries are those that this node wrote.
    fn chain(
        &self,
        owner: Owner,
        keys: &StoreKeys,
        record: &NodeRecord,
        applied: Option<LogId>,
    ) -> Result<Chain, LogOpenError> {
        if self.owner.is_none() {
            return Err(LogOpenError::WithoutLog);
        }
        let facts = record.facts(Clone::clone);
        let maker = chain_maker(owner, keys, facts.anchor.key_version)?;
        let error = match load(&self.entries, Chain::new(maker.clone(), facts.anchor), &facts, applied) {
            Ok(chain) => return Ok(chain),
            Err(error) => error,
        };
        let applied_index = applied.map(|applied| applied.index);
        let covered = |forged: &Forged| forged.0.index().is_some_and(|index| Some(index) <= applied_index);
        let Some(forged) = Forged::cause_of(&error).filter(covered) else { return Err(error.into()) };
        let anchor = anchor_at(&self.entries, &maker, applied)?;
        let chain = load(&self.entries, Chain::new(maker, anchor), &facts, applied)?;
        tracing::warn!(%forged, "the log is damaged, but this node has applied the damaged part: it drops that part");
        Ok(chain)
    }
}

/// Sets the log of a node in doubt aside, and makes a new one of what is left of it. The caller has made the doubt durable.
fn renewed(
    dir: &Path,
    owner: Owner,
    keys: &StoreKeys,
    record: &NodeRecord,
    applied: Option<LogId>,
    error: &LogOpenError,
) -> Result<OwnedLog, LogOpenError> {
    let aside = match error {
        // A crash may have come between the setting aside and the copying.
        LogOpenError::WithoutLog => log_salvage::newest_aside(dir)?,
        _ => Some(log_salvage::set_aside(dir)?),
    };
    let entries = open_entries(&dir.join("log"), None)?;
    let mut log = OwnedLog { entries, owner: None };
    // The folder of the log is new.
    sync_folder(dir)?;
    log.claim(owner)?;
    if let Some(aside) = &aside {
        let anchor = record.facts(|facts| facts.anchor);
        let chain = Chain::new(chain_maker(owner, keys, anchor.key_version)?, anchor);
        log_salvage::copy_entries(aside, chain, applied, &mut log.entries)?;
        log.flush()?;
    }
    log_doubt(error, aside.as_deref());
    Ok(log)
}

/// Fails if the record is from an earlier moment than a log that has these entries and was purged up to there. Its vote may
/// be older, too, so the node must not go on. The notes of the log are believed for this refusal alone.
fn check_newest(
    record: &NodeRecord,
    mut entries: impl Iterator<Item = LogId>,
    purged: Option<LogId>,
) -> Result<(), LogOpenError> {
    let index = |position: Option<LogId>| position.map(|id| id.index);
    let older = record.facts(|facts| {
        let entry = entries.find(|entry| facts.are_older_than(*entry));
        entry.or(purged.filter(|purged| Some(purged.index) > index(facts.anchor.position)))
    });
    older.map_or(Ok(()), |entry| Err(Forged::from(Forgery::OlderRecord { index: entry.index }).into()))
}

fn log_doubt(error: &LogOpenError, aside: Option<&Path>) {
    let found = match error {
        LogOpenError::Forged(forged) => forged.0.to_string(),
        other => other.to_string(),
    };
    let aside = aside.map(|aside| aside.display().to_string());
    tracing::error!(
        found,
        aside,
        "the log of this node is damaged, or lost entries: this node neither votes nor leads until it has caught up with \
         a leader. Keep what is set aside until then, and put no copy or backup in the place of anything"
    );
}

/// Whether the node goes on in doubt after it found this.
fn goes_on_after(on_loss: OnLoss, error: &LogOpenError) -> bool {
    let is_loss = match error {
        LogOpenError::Forged(forged) => forged.0.is_loss(),
        LogOpenError::Io(error) => matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof),
        LogOpenError::Damaged(damage) => !matches!(damage, Damage::UnknownKey { .. }),
        LogOpenError::WithoutLog => true,
        LogOpenError::Level(_) | LogOpenError::Foreign { .. } | LogOpenError::WithoutRecord => false,
    };
    on_loss == OnLoss::Doubt && is_loss
}

/// Fails if a log that does not open needs another version, or belongs to another node. Its note says so, unless the note
/// is damaged, too.
fn check_readable(dir: &Path, owner: Owner) -> Result<(), LogOpenError> {
    match noted_owner_of(&dir.join("log")) {
        Ok(noted) => not_foreign(noted, owner),
        Err(ReadError::Damaged(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn not_foreign(noted: Option<Owner>, owner: Owner) -> Result<(), LogOpenError> {
    match noted.filter(|noted| *noted != owner) {
        Some(folder) => Err(LogOpenError::Foreign { file: owner, folder }),
        None => Ok(()),
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
