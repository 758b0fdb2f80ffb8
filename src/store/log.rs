//! The Raft log and the vote, in a write-ahead log.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Config, RaftLog};

use super::flush::{FlushFigures, OnDurable, SharedLog};
use super::level::WrittenLevel;
use super::level_note;
use super::log_types::{LogId, PAYLOAD_FRAME_BYTES, Payload, Vote};
use super::read_error::ReadError;
use crate::state::LOWEST_LEVEL;

/// The size of a chunk. A purge drops whole chunks only, and opening the log decodes all chunks that are left.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;
/// What a record takes besides the entry's bytes: type, position, the frame of the payload, and checksum.
const RECORD_BYTES: u64 = 36 + PAYLOAD_FRAME_BYTES as u64;
/// Payloads that stay in memory for followers that are close behind.
const CACHE_BYTES: usize = 8 * 1024 * 1024;
/// What a message about the level calls the log.
const LOG: &str = "the log";
const READ_BUFFER_BYTES: usize = 1024 * 1024;

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
    /// Opens the log in the folder `dir`, and makes the folder if it does not exist.
    ///
    /// # Errors
    /// This process cannot read or write the folder, or the log has more damage than a torn end.
    pub fn open(dir: &Path) -> io::Result<Self> {
        super::files::make_private_folder(dir)?;
        let mut config = Config::new(dir.display());
        config.wal.chunk_max_size = Some(CHUNK_BYTES);
        config.wal.read_buffer_size = Some(READ_BUFFER_BYTES);
        config.wal.flush_batch_wait = Some(Duration::ZERO);
        config.log_cache_capacity = Some(CACHE_BYTES);
        // With a bound on its bytes, an append that holds the log's lock could wait for the log's thread, which needs the
        // lock to flush. The queue still has room for 1,024 requests only (see `LogStore::commit`).
        config.wal.flush_queue_max_bytes = Some(usize::MAX);
        Ok(Self { log: Arc::new(SharedLog::new(RaftLog::open(Arc::new(config))?)) })
    }

    /// Where the log stands.
    ///
    /// # Errors
    /// The log is closed.
    pub fn state(&self) -> io::Result<LogState> {
        let log = self.log.read()?;
        let state = log.log_state();
        Ok(LogState {
            purged: state.purged().copied(),
            last: state.last().copied(),
            vote: state.vote().copied(),
            committed: state.committed().copied(),
        })
    }

    /// The note about the log's owner, as [`LogStore::save_owner`] left it.
    ///
    /// # Errors
    /// The log is closed, its note is damaged, or another version of Keyraft must read the log.
    pub fn owner(&self) -> Result<Option<Vec<u8>>, ReadError> {
        let log = self.log.read().map_err(ReadError::Io)?;
        let Some(note) = &log.log_state().user_data else { return Ok(None) };
        let (_, owner) = level_note::decode(LOG, note)?;
        Ok(Some(owner.to_vec()))
    }

    /// Notes the log's owner, and returns when the note is durable.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save_owner(&self, owner: &[u8]) -> io::Result<()> {
        let mut log = self.log.write()?;
        log.save_user_data(Some(level_note::encode(WrittenLevel::active(LOWEST_LEVEL), owner)))?;
        self.log.flush_and_wait(log)
    }

    /// Notes that entries of this level follow. The note stands in front of them, so that it becomes durable with them or
    /// before them. Without an owner there is nothing to note.
    ///
    /// # Errors
    /// The disk failed, or the note about the log's owner cannot be read.
    pub fn raise_level(&self, level: u32) -> io::Result<()> {
        if level <= self.log.level.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut log = self.log.write()?;
        let Some(note) = log.log_state().user_data.clone() else { return Ok(()) };
        let (noted, owner) = level_note::decode(LOG, &note)?;
        if noted.level < level {
            log.save_user_data(Some(level_note::encode(WrittenLevel::active(level), owner)))?;
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
        let mut written = 0;
        log.append(entries.into_iter().map(|(id, payload)| {
            written += RECORD_BYTES + payload.len() as u64;
            (id, Payload(payload))
        }))?;
        self.log.written.fetch_add(written, Ordering::Relaxed);
        self.log.when_durable(&mut log, on_durable)
    }

    /// Saves a vote, and calls `on_durable` when it is durable or lost.
    ///
    /// # Errors
    /// The vote is older than the last one, or the disk failed.
    pub fn save_vote(&self, vote: Vote, on_durable: OnDurable) -> io::Result<()> {
        let mut log = self.log.write()?;
        log.save_vote(vote)?;
        self.log.when_durable(&mut log, on_durable)
    }

    /// Notes how far the log is committed. The note becomes durable with the next flush that another write asks for.
    ///
    /// # Errors
    /// The disk failed.
    pub fn commit(&self, committed: LogId) -> io::Result<()> {
        let mut log = self.log.write()?;
        let state = log.log_state();
        if Some(&committed) <= state.committed() || Some(&committed) > state.last() {
            return Ok(());
        }
        // This does not ask for a flush. The queue of the log's thread has room for 1,024 requests, and this thread must
        // never wait for room in it while it holds the log's lock.
        log.commit(committed).map(drop)
    }

    /// Removes the entries after `last`.
    ///
    /// # Errors
    /// One of them is committed, or the disk failed.
    pub fn truncate_after(&self, last: Option<LogId>) -> io::Result<()> {
        let next = last.map_or(0, |id| id.index + 1);
        let mut log = self.log.write()?;
        if log.log_state().last().is_none_or(|last| last.index < next) {
            return Ok(());
        }
        log.truncate(next)?;
        self.log.flush_and_wait(log)
    }

    /// Removes the entries up to and including `upto`.
    ///
    /// # Errors
    /// The disk failed.
    pub fn purge(&self, upto: LogId) -> io::Result<()> {
        let mut log = self.log.write()?;
        log.purge(upto)?;
        self.log.flush_and_wait(log)
    }

    /// The entries of a range of indices, as far as the log has them.
    ///
    /// # Errors
    /// The disk failed.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<(LogId, Bytes)>> {
        let log = self.log.read()?;
        log.read(range.start, range.end).map(|entry| entry.map(|(id, payload)| (id, payload.0))).collect()
    }

    /// The size of the log when it was opened and of every entry since, in bytes. It never shrinks.
    pub fn bytes_written(&self) -> u64 {
        self.log.written.load(Ordering::Relaxed)
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
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, SyncSender};
    use std::time::Instant;

    use super::*;
    use crate::state::HIGHEST_LEVEL;
    use crate::store::flush::FlushCallback;

    fn id(index: u64) -> LogId {
        LogId { term: 1, node: 1, index }
    }

    fn append(log: &LogStore, range: Range<u64>) {
        let (sender, receiver) = mpsc::sync_channel(1);
        let entries = range.map(|index| (id(index), Bytes::from(index.to_string())));
        log.append(entries, Box::new(move |result| SyncSender::send(&sender, result).unwrap())).unwrap();
        receiver.recv().unwrap().unwrap();
    }

    #[test]
    fn a_log_that_is_opened_again_has_all_durable_writes() {
        let dir = tempfile::tempdir().unwrap();
        {
            let log = LogStore::open(dir.path()).unwrap();
            log.save_owner(b"me").unwrap();
            append(&log, 0..100);
            log.commit(id(90)).unwrap();
            log.truncate_after(Some(id(95))).unwrap();
            log.purge(id(10)).unwrap();
            log.close();
        }
        let log = LogStore::open(dir.path()).unwrap();
        let state = log.state().unwrap();
        assert_eq!((state.purged, state.last, state.committed), (Some(id(10)), Some(id(95)), Some(id(90))));
        assert_eq!(log.owner().unwrap().as_deref(), Some(&b"me"[..]));
        let entries = log.read(0..1000).unwrap();
        assert_eq!(entries.first().unwrap().0, id(11));
        assert_eq!(entries.last().unwrap(), &(id(95), Bytes::from("95")));
    }

    #[test]
    fn all_who_wait_learn_of_a_lost_flush_and_the_log_takes_no_more_writes() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogStore::open(dir.path()).unwrap();
        append(&log, 0..1);
        let (sender, failed) = mpsc::sync_channel(2);
        let on_durable = || -> OnDurable {
            let sender = sender.clone();
            Box::new(move |result| SyncSender::send(&sender, result.is_err()).unwrap())
        };
        {
            let mut queue = log.log.queue.lock();
            (queue.in_flight, queue.waiting) = (true, vec![on_durable()]);
        }
        let shared = Arc::downgrade(&log.log);
        drop(FlushCallback { log: shared, waiting: Some(vec![on_durable()]), begun: Instant::now() });
        assert!(failed.recv().unwrap() && failed.recv().unwrap());
        assert!(log.append([(id(1), Bytes::new())], on_durable()).is_err());
        log.close();
    }

    /// A version that cannot read the last entries must not take them for an interrupted write.
    #[test]
    fn a_log_with_entries_of_another_format_is_not_opened_and_not_cut() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogStore::open(dir.path()).unwrap();
        append(&log, 0..3);
        log.close();
        let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let chunk = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "wal")).unwrap();
        let mut bytes = std::fs::read(&chunk).unwrap();
        // The payload of the last entry is `2`, its length 1.
        let last = [&[1, 0, 0, 0, 1][..], &[0; 16], b"2"].concat();
        let at = bytes.windows(last.len()).position(|window| window == last).unwrap();
        bytes[at] = 2;
        std::fs::write(&chunk, &bytes).unwrap();
        let error = LogStore::open(dir.path()).err().unwrap();
        assert!(error.to_string().contains("a log entry has format 2"), "{error}");
        assert_eq!(std::fs::read(&chunk).unwrap(), bytes);
    }

    #[test]
    fn a_log_with_entries_of_a_newer_level_says_so_before_anything_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogStore::open(dir.path()).unwrap();
        log.save_owner(b"me").unwrap();
        log.raise_level(HIGHEST_LEVEL).unwrap();
        append(&log, 0..1);
        log.close();
        let log = LogStore::open(dir.path()).unwrap();
        assert_eq!(log.owner().unwrap().as_deref(), Some(&b"me"[..]));
        log.raise_level(HIGHEST_LEVEL + 1).unwrap();
        // Entries of a lower level may follow. The note stays.
        log.raise_level(LOWEST_LEVEL).unwrap();
        append(&log, 1..2);
        log.close();
        let Err(ReadError::Level(error)) = LogStore::open(dir.path()).unwrap().owner() else { panic!("it is read") };
        assert!(error.to_string().starts_with("the log needs a version of Keyraft that reads level"), "{error}");
    }

    #[test]
    fn a_log_without_an_owner_notes_no_level() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogStore::open(dir.path()).unwrap();
        log.raise_level(HIGHEST_LEVEL).unwrap();
        assert_eq!(log.owner().unwrap(), None);
    }

    #[test]
    fn a_closed_log_refuses_writes() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogStore::open(dir.path()).unwrap();
        append(&log, 0..1);
        log.close();
        assert!(log.append([(id(1), Bytes::new())], Box::new(drop)).is_err());
    }
}
