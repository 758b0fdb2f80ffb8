//! The Raft log and vote: a write-ahead log whose flushes are coalesced, so that one writer waits for one flush and
//! many writers share it.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Config, RaftLog};

use super::flush::{Durable, FlushFigures, Inner};
use super::log_types::{LogId, Payload, Vote};

/// A purge drops whole chunks, and an open decodes all that is left.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;
/// What a record takes besides its payload: type, position, length, checksum.
const RECORD_BYTES: u64 = 40;
/// Payloads kept in memory for followers that are close behind.
const CACHE_BYTES: usize = 8 * 1024 * 1024;
const READ_BUFFER_BYTES: usize = 1024 * 1024;

/// The Raft log of one node. Cheap to clone; all clones are one log.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

/// Where the log stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogState {
    /// The last entry that was purged.
    pub purged: Option<LogId>,
    /// The last entry, purged or not.
    pub last: Option<LogId>,
    /// The last vote.
    pub vote: Option<Vote>,
    /// The last position known to be committed.
    pub committed: Option<LogId>,
}

impl Log {
    /// Opens the log in `dir`, making it when it is not there.
    ///
    /// # Errors
    /// The folder cannot be read or written, or what is in it is damaged beyond a torn tail.
    pub fn open(dir: &Path) -> io::Result<Self> {
        super::files::make_private_folder(dir)?;
        let mut config = Config::new(dir.display());
        config.wal.chunk_max_size = Some(CHUNK_BYTES);
        config.wal.read_buffer_size = Some(READ_BUFFER_BYTES);
        config.wal.flush_batch_wait = Some(Duration::ZERO);
        config.log_cache_capacity = Some(CACHE_BYTES);
        // A bound would let an append wait, with the log locked, for the thread that wants the lock to flush.
        config.wal.flush_queue_max_bytes = Some(usize::MAX);
        let log = RaftLog::open(Arc::new(config))?;
        let inner = Inner {
            written: AtomicU64::new(log.on_disk_size()),
            log: RwLock::new(Some(log)),
            waiting: Mutex::default(),
            idle: Condvar::new(),
            flushes: AtomicU64::new(0),
            flush_ns: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where the log stands.
    ///
    /// # Errors
    /// The log is closed.
    pub fn state(&self) -> io::Result<LogState> {
        let log = self.inner.read()?;
        let state = log.log_state();
        Ok(LogState {
            purged: state.purged().copied(),
            last: state.last().copied(),
            vote: state.vote().copied(),
            committed: state.committed().copied(),
        })
    }

    /// The note of whose log this is, as [`Log::save_owner`] left it.
    ///
    /// # Errors
    /// The log is closed.
    pub fn owner(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.inner.read()?.log_state().user_data.clone())
    }

    /// Notes whose log this is; returns when the note is durable.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save_owner(&self, owner: Vec<u8>) -> io::Result<()> {
        let mut log = self.inner.write()?;
        log.save_user_data(Some(owner))?;
        self.inner.flush_and_wait(log)
    }

    /// Appends entries. They can be read when this returns, and are durable when `durable` is called.
    ///
    /// # Errors
    /// The entries do not follow the last one, or the disk failed.
    pub fn append(&self, entries: impl IntoIterator<Item = (LogId, Bytes)>, durable: Durable) -> io::Result<()> {
        let mut log = self.inner.write()?;
        let mut written = 0;
        log.append(entries.into_iter().map(|(id, payload)| {
            written += RECORD_BYTES + payload.len() as u64;
            (id, Payload(payload))
        }))?;
        self.inner.written.fetch_add(written, Ordering::Relaxed);
        self.inner.when_durable(&mut log, durable)
    }

    /// Saves a vote; it is durable when `durable` is called.
    ///
    /// # Errors
    /// The vote is older than the last one, or the disk failed.
    pub fn save_vote(&self, vote: Vote, durable: Durable) -> io::Result<()> {
        let mut log = self.inner.write()?;
        log.save_vote(vote)?;
        self.inner.when_durable(&mut log, durable)
    }

    /// Notes how far the log is committed; durable with the next flush, whenever that is.
    ///
    /// # Errors
    /// The disk failed.
    pub fn commit(&self, committed: LogId) -> io::Result<()> {
        let mut log = self.inner.write()?;
        let state = log.log_state();
        if Some(&committed) <= state.committed() || Some(&committed) > state.last() {
            return Ok(());
        }
        // Not flushed by itself: the queue of the log's thread is bounded, and this thread must never wait for room in
        // it with the log locked.
        log.commit(committed).map(drop)
    }

    /// Removes the entries after `last`.
    ///
    /// # Errors
    /// One of them is committed, or the disk failed.
    pub fn truncate_after(&self, last: Option<LogId>) -> io::Result<()> {
        let next = last.map_or(0, |id| id.index + 1);
        let mut log = self.inner.write()?;
        if log.log_state().last().is_none_or(|last| last.index < next) {
            return Ok(());
        }
        log.truncate(next)?;
        self.inner.flush_and_wait(log)
    }

    /// Removes the entries up to and including `upto`.
    ///
    /// # Errors
    /// The disk failed.
    pub fn purge(&self, upto: LogId) -> io::Result<()> {
        let mut log = self.inner.write()?;
        log.purge(upto)?;
        self.inner.flush_and_wait(log)
    }

    /// The entries of a range of indices, as far as they are there.
    ///
    /// # Errors
    /// The disk failed.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<(LogId, Bytes)>> {
        let log = self.inner.read()?;
        log.read(range.start, range.end).map(|entry| entry.map(|(id, payload)| (id, payload.0))).collect()
    }

    /// How much was ever written to the log, in bytes: what was there when it was opened, and every entry since. It only
    /// grows.
    pub fn bytes_written(&self) -> u64 {
        self.inner.written.load(Ordering::Relaxed)
    }

    /// What flushing cost so far.
    pub fn flush_figures(&self) -> FlushFigures {
        FlushFigures {
            count: self.inner.flushes.load(Ordering::Relaxed),
            total_ns: self.inner.flush_ns.load(Ordering::Relaxed),
        }
    }

    /// Flushes what waits and lets go of the folder; whatever comes later fails.
    pub fn close(&self) {
        let mut waiting = self.inner.waiting.lock();
        waiting.closed = true;
        while waiting.in_flight {
            self.inner.idle.wait(&mut waiting);
        }
        drop(waiting);
        *self.inner.log.write() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, SyncSender};
    use std::time::Instant;

    use super::*;
    use crate::store::flush::Flushed;

    fn id(index: u64) -> LogId {
        LogId { term: 1, node: 1, index }
    }

    fn append(log: &Log, range: Range<u64>) {
        let (sender, receiver) = mpsc::sync_channel(1);
        let entries = range.map(|index| (id(index), Bytes::from(index.to_string())));
        log.append(entries, Box::new(move |result| SyncSender::send(&sender, result).unwrap())).unwrap();
        receiver.recv().unwrap().unwrap();
    }

    #[test]
    fn what_is_durable_is_there_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        {
            let log = Log::open(dir.path()).unwrap();
            log.save_owner(b"me".to_vec()).unwrap();
            append(&log, 0..100);
            log.commit(id(90)).unwrap();
            log.truncate_after(Some(id(95))).unwrap();
            log.purge(id(10)).unwrap();
            log.close();
        }
        let log = Log::open(dir.path()).unwrap();
        let state = log.state().unwrap();
        assert_eq!((state.purged, state.last, state.committed), (Some(id(10)), Some(id(95)), Some(id(90))));
        assert_eq!(log.owner().unwrap().as_deref(), Some(&b"me"[..]));
        let entries = log.read(0..1000).unwrap();
        assert_eq!(entries.first().unwrap().0, id(11));
        assert_eq!(entries.last().unwrap(), &(id(95), Bytes::from("95")));
    }

    #[test]
    fn a_flush_that_is_never_done_is_told_to_all_who_wait_and_nothing_is_taken_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path()).unwrap();
        append(&log, 0..1);
        let (sender, told) = mpsc::sync_channel(2);
        let durable = || -> Durable {
            let sender = sender.clone();
            Box::new(move |result| SyncSender::send(&sender, result.is_err()).unwrap())
        };
        {
            let mut waiting = log.inner.waiting.lock();
            (waiting.in_flight, waiting.durable) = (true, vec![durable()]);
        }
        let inner = Arc::downgrade(&log.inner);
        drop(Flushed { inner, durable: Some(vec![durable()]), begun: Instant::now() });
        assert!(told.recv().unwrap() && told.recv().unwrap());
        assert!(log.append([(id(1), Bytes::new())], durable()).is_err());
        log.close();
    }

    #[test]
    fn a_closed_log_refuses_writes() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path()).unwrap();
        append(&log, 0..1);
        log.close();
        assert!(log.append([(id(1), Bytes::new())], Box::new(drop)).is_err());
    }
}
