//! Flushing the log: flushes are coalesced, so that one writer waits for one flush and many writers share it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Condvar, MappedRwLockReadGuard, MappedRwLockWriteGuard, Mutex, RwLock};
use parking_lot::{RwLockReadGuard, RwLockWriteGuard};
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Callback, RaftLog, Types};

use super::log_types::{LogId, Payload, Vote};
use crate::clock;

/// Called once what it was given with is durable, or could not be made so.
pub type Durable = Box<dyn FnOnce(io::Result<()>) + Send>;

/// What flushing cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushFigures {
    /// Flushes done.
    pub count: u64,
    /// Time spent in them, in nanoseconds.
    pub total_ns: u64,
}

pub(super) struct Inner {
    /// None once closed, which lets another process, or another `Log`, open the folder.
    pub(super) log: RwLock<Option<RaftLog<LogTypes>>>,
    pub(super) waiting: Mutex<Waiting>,
    pub(super) idle: Condvar,
    pub(super) flushes: AtomicU64,
    pub(super) flush_ns: AtomicU64,
    pub(super) written: AtomicU64,
}

/// Who waits for the next flush. At most one flush is in flight; whatever is written meanwhile shares the next one.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) durable: Vec<Durable>,
    pub(super) in_flight: bool,
    pub(super) closed: bool,
}

/// Told by the write-ahead log's own thread that a flush is done; begins the next one there, without a thread between.
pub(super) struct Flushed {
    pub(super) inner: Weak<Inner>,
    /// None once they are told.
    pub(super) durable: Option<Vec<Durable>>,
    pub(super) begun: Instant,
}

/// The type parameters of the write-ahead log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LogTypes;

impl Types for LogTypes {
    type LogId = LogId;
    type LogPayload = Payload;
    type Vote = Vote;
    type Callback = Flushed;
    type UserData = Vec<u8>;

    fn log_index(log_id: &LogId) -> u64 {
        log_id.index
    }

    fn payload_size(payload: &Payload) -> u64 {
        payload.0.len() as u64
    }
}

impl Inner {
    pub(super) fn read(&self) -> io::Result<MappedRwLockReadGuard<'_, RaftLog<LogTypes>>> {
        RwLockReadGuard::try_map(self.log.read(), Option::as_ref).map_err(|_| closed())
    }

    pub(super) fn write(&self) -> io::Result<Writing<'_>> {
        RwLockWriteGuard::try_map(self.log.write(), Option::as_mut).map_err(|_| closed())
    }

    /// Flushes at once, or with the next flush when one is in flight.
    pub(super) fn when_durable(self: &Arc<Self>, log: &mut RaftLog<LogTypes>, durable: Durable) -> io::Result<()> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(closed());
        }
        if waiting.in_flight {
            waiting.durable.push(durable);
            return Ok(());
        }
        waiting.in_flight = true;
        drop(waiting);
        self.flush(log, vec![durable])
    }

    pub(super) fn flush_and_wait(self: &Arc<Self>, mut log: Writing<'_>) -> io::Result<()> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let told = Box::new(move |result| {
            // The receiver waits below, for as long as this is waited for.
            let _ = SyncSender::send(&sender, result);
        });
        self.when_durable(&mut log, told)?;
        drop(log);
        receiver.recv().map_err(|_| closed())?
    }

    fn flush(self: &Arc<Self>, log: &mut RaftLog<LogTypes>, durable: Vec<Durable>) -> io::Result<()> {
        log.flush(true, Some(Flushed { inner: Arc::downgrade(self), durable: Some(durable), begun: Instant::now() }))
    }

    /// After a flush: begins the next one, unless nobody waits, or the disk failed.
    fn flushed(self: &Arc<Self>, result: &io::Result<()>, begun: Instant) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        let elapsed = clock::nanos(begun.elapsed());
        self.flush_ns.fetch_add(elapsed, Ordering::Relaxed);
        let mut waiting = self.waiting.lock();
        // A failed fsync may have dropped the pages it could not write: trying again would lie.
        waiting.closed |= result.is_err();
        let next = std::mem::take(&mut waiting.durable);
        if next.is_empty() || result.is_err() {
            waiting.in_flight = false;
            self.idle.notify_all();
            drop(waiting);
            return tell(next, result);
        }
        drop(waiting);
        // What cannot be given to the log's thread is dropped, and tells by that that it failed.
        if let Err(error) = self.write().and_then(|mut log| self.flush(&mut log, next)) {
            tracing::error!(%error, "the log cannot be flushed");
        }
    }

    /// The log's thread has ended without a flush that it was given: nothing is durable any more.
    fn lost(&self) -> Vec<Durable> {
        let mut waiting = self.waiting.lock();
        (waiting.closed, waiting.in_flight) = (true, false);
        self.idle.notify_all();
        std::mem::take(&mut waiting.durable)
    }
}

/// The log, to be written to.
type Writing<'a> = MappedRwLockWriteGuard<'a, RaftLog<LogTypes>>;

impl Callback for Flushed {
    fn send(mut self, result: io::Result<()>) {
        tell(self.durable.take().unwrap_or_default(), &result);
        if let Some(inner) = self.inner.upgrade() {
            inner.flushed(&result, self.begun);
        }
    }
}

impl Drop for Flushed {
    /// Dropped unsent when the log's thread fails at something before it: whoever waits must hear of that.
    fn drop(&mut self) {
        let Some(durable) = self.durable.take() else { return };
        let later = self.inner.upgrade().map(|inner| inner.lost()).unwrap_or_default();
        tell(durable.into_iter().chain(later).collect(), &Err(closed()));
    }
}

fn tell(durable: Vec<Durable>, result: &io::Result<()>) {
    for durable in durable {
        durable(copy_of(result));
    }
}

fn closed() -> io::Error {
    io::Error::other("the log is closed, or could not be flushed")
}

fn copy_of(result: &io::Result<()>) -> io::Result<()> {
    result.as_ref().copied().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}
