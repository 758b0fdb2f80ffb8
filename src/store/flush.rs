//! Flushing the log: flushes are coalesced, so that one writer waits for one flush and many writers share it.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use parking_lot::{Condvar, MappedRwLockReadGuard, MappedRwLockWriteGuard, Mutex, RwLock};
use parking_lot::{RwLockReadGuard, RwLockWriteGuard};
use raft_log::{Callback, RaftLog, Types};

use super::chain::Chain;
use super::log_device::{DeviceCallback, LogDevice};
use super::log_room::LogRoom;
use super::log_types::{LogId, Payload, Vote};
use super::node_record::NodeRecord;
use crate::clock;

/// Called once: when a write is durable, or when it failed to become so.
pub type OnDurable = Box<dyn FnOnce(io::Result<()>) + Send>;

/// What flushes have cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushFigures {
    /// Flushes done.
    pub count: u64,
    /// Time spent in them, in nanoseconds.
    pub total_ns: u64,
}

/// A flush that has yet to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushUnderWay {
    /// When it began.
    pub begun: Instant,
    /// The last entry that it makes durable.
    pub last: Option<LogId>,
}

/// The write-ahead log, and the tags of its entries.
pub(super) struct ChainedLog {
    pub(super) entries: RaftLog<LogTypes>,
    pub(super) chain: Chain,
}

/// The write-ahead log, and who waits for its next flush.
pub(super) struct SharedLog {
    /// `None` once closed, so that another process, or another `LogStore`, can open the folder.
    pub(super) log: RwLock<Option<ChainedLog>>,
    device: LogDevice<FlushCallback>,
    pub(super) record: NodeRecord,
    pub(super) queue: Mutex<FlushQueue>,
    /// Notified when a flush ends and no other one begins.
    pub(super) idle: Condvar,
    pub(super) flushes: AtomicU64,
    pub(super) flush_ns: AtomicU64,
    pub(super) written: AtomicU64,
    /// At least this level is noted for the log; 0 before this is known.
    pub(super) level: AtomicU32,
    /// Set once the node knows how much room its disk must have.
    pub(super) room: OnceLock<LogRoom>,
}

/// Writers that wait for the next flush. At most one flush is in flight. Writes that arrive meanwhile share the next
/// one.
#[derive(Default)]
pub(super) struct FlushQueue {
    pub(super) waiting: Vec<OnDurable>,
    pub(super) under_way: Option<FlushUnderWay>,
    /// Whether the flush under way waits for room on the disk.
    pub(super) held: bool,
    pub(super) closed: bool,
}

/// The thread of the write-ahead log calls it after a flush. It begins the next flush on that thread, so that no switch
/// of threads comes between the two.
pub(super) struct FlushCallback {
    pub(super) log: Weak<SharedLog>,
    /// `None` once they have been called.
    pub(super) waiting: Option<Vec<OnDurable>>,
    pub(super) flush: FlushUnderWay,
}

/// The type parameters of the write-ahead log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LogTypes;

type LockedLog<'a> = MappedRwLockWriteGuard<'a, ChainedLog>;

impl SharedLog {
    pub(super) fn new(log: ChainedLog, record: NodeRecord) -> Self {
        Self {
            written: AtomicU64::new(log.entries.on_disk_size()),
            device: LogDevice::new(&log.entries),
            log: RwLock::new(Some(log)),
            record,
            queue: Mutex::default(),
            idle: Condvar::new(),
            flushes: AtomicU64::new(0),
            flush_ns: AtomicU64::new(0),
            level: AtomicU32::new(0),
            room: OnceLock::new(),
        }
    }

    pub(super) fn read(&self) -> io::Result<MappedRwLockReadGuard<'_, ChainedLog>> {
        RwLockReadGuard::try_map(self.log.read(), Option::as_ref).map_err(|_| closed())
    }

    pub(super) fn write(&self) -> io::Result<LockedLog<'_>> {
        RwLockWriteGuard::try_map(self.log.write(), Option::as_mut).map_err(|_| closed())
    }

    /// Flushes at once, or with the next flush if one is in flight.
    pub(super) fn when_durable(self: &Arc<Self>, log: &mut ChainedLog, on_durable: OnDurable) -> io::Result<()> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(closed());
        }
        if queue.under_way.is_some() {
            queue.waiting.push(on_durable);
            return Ok(());
        }
        let flush = queue.begin(log);
        drop(queue);
        self.flush(log, vec![on_durable], flush)
    }

    /// Waits until everything written so far is durable.
    pub(super) fn wait_for_writes(self: &Arc<Self>) -> io::Result<()> {
        {
            let queue = self.queue.lock();
            match (queue.closed, queue.under_way.is_some()) {
                (true, _) => return Err(closed()),
                // Each write but a note about the level asks for a flush at once, and that note stands before an append.
                (false, false) => return Ok(()),
                (false, true) => {}
            }
        }
        self.flush_and_wait(self.write()?)
    }

    /// The log, locked while no flush is under way.
    pub(super) fn write_when_idle(self: &Arc<Self>) -> io::Result<LockedLog<'_>> {
        loop {
            self.wait_for_writes()?;
            let log = self.write()?;
            if self.queue.lock().under_way.is_none() {
                return Ok(log);
            }
        }
    }

    pub(super) fn flush_and_wait(self: &Arc<Self>, mut log: LockedLog<'_>) -> io::Result<()> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let on_durable = Box::new(move |result| {
            // The receiver below waits until the callback has been called or dropped, so it can receive.
            let _ = SyncSender::send(&sender, result);
        });
        self.when_durable(&mut log, on_durable)?;
        drop(log);
        self.device.before_waiting();
        receiver.recv().map_err(|_| closed())?
    }

    /// Closes the log once no flush is in flight. Later reads and writes fail.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.give_up_held();
        self.device.before_waiting();
        let mut queue = self.queue.lock();
        while queue.under_way.is_some() {
            self.idle.wait(&mut queue);
        }
        drop(queue);
        *self.log.write() = None;
    }

    /// The flush that has yet to end, if there is one.
    pub(super) fn flush_under_way(&self) -> Option<FlushUnderWay> {
        self.queue.lock().under_way
    }

    /// Begins the flush that waits for room on the disk, if there is one and the disk has room now.
    ///
    /// # Errors
    /// The log is closed, or its disk failed.
    pub(super) fn flush_held(self: &Arc<Self>) -> io::Result<()> {
        if !self.is_held() {
            return Ok(());
        }
        let mut log = self.write()?;
        let (waiting, flush) = {
            let mut queue = self.queue.lock();
            if !std::mem::take(&mut queue.held) {
                return Ok(());
            }
            let begun = queue.under_way.map(|flush| flush.begun);
            let flush = queue.begin(&log);
            // It has taken since then.
            let flush = FlushUnderWay { begun: begun.unwrap_or(flush.begun), ..flush };
            queue.under_way = Some(flush);
            (std::mem::take(&mut queue.waiting), flush)
        };
        self.flush(&mut log, waiting, flush)
    }

    /// Whether a flush waits for room on the disk.
    pub(super) fn is_held(&self) -> bool {
        self.queue.lock().held
    }

    /// Closes the log if a flush waits for room on the disk. Those who wait for that flush learn that it failed.
    pub(super) fn give_up_held(&self) {
        let mut queue = self.queue.lock();
        if !std::mem::take(&mut queue.held) {
            return;
        }
        (queue.closed, queue.under_way) = (true, None);
        let waiting = std::mem::take(&mut queue.waiting);
        self.idle.notify_all();
        drop(queue);
        report(waiting, &Err(closed()));
    }

    fn flush(self: &Arc<Self>, log: &mut ChainedLog, waiting: Vec<OnDurable>, flush: FlushUnderWay) -> io::Result<()> {
        if self.room.get().is_some_and(|room| !room.has_enough(&log.entries)) {
            let refused = self.queue.lock().hold(waiting);
            self.idle.notify_all();
            report(refused, &Err(closed()));
            return Ok(());
        }
        let callback = FlushCallback { log: Arc::downgrade(self), waiting: Some(waiting), flush };
        self.device.begin(&mut log.entries, callback)
    }

    /// After a flush: begins the next one, unless nobody waits for one or this one failed.
    fn flushed(self: &Arc<Self>, result: &io::Result<()>, begun: Instant) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.flush_ns.fetch_add(clock::nanos(begun.elapsed()), Ordering::Relaxed);
        let mut queue = self.queue.lock();
        // After a failed fsync the system may have dropped the pages that it could not write. A second fsync would then
        // succeed, although the pages are lost.
        queue.closed |= result.is_err();
        let next = std::mem::take(&mut queue.waiting);
        if next.is_empty() || result.is_err() {
            queue.under_way = None;
            self.idle.notify_all();
            drop(queue);
            return report(next, result);
        }
        drop(queue);
        let begin = |mut log: LockedLog<'_>| {
            let flush = self.queue.lock().begin(&log);
            self.flush(&mut log, next, flush)
        };
        // If this fails, it drops the callback, and the drop reports the failure to those who wait.
        if let Err(error) = self.write().and_then(begin) {
            tracing::error!(%error, "the node cannot flush the Raft log");
        }
    }

    /// Closes the log after its thread ended without a flush that it was given. Returns those who waited for the next.
    fn lost_flush(&self) -> Vec<OnDurable> {
        let mut queue = self.queue.lock();
        (queue.closed, queue.under_way) = (true, None);
        self.idle.notify_all();
        std::mem::take(&mut queue.waiting)
    }
}

impl FlushQueue {
    /// Notes that a flush of everything that the log has now begins.
    fn begin(&mut self, log: &ChainedLog) -> FlushUnderWay {
        let flush = FlushUnderWay { begun: Instant::now(), last: log.chain.last() };
        self.under_way = Some(flush);
        flush
    }

    /// Has the flush wait for room on the disk. Returns those who wait for it in vain, because the log is closed.
    fn hold(&mut self, waiting: Vec<OnDurable>) -> Vec<OnDurable> {
        if self.closed {
            self.under_way = None;
            return waiting;
        }
        let later = std::mem::replace(&mut self.waiting, waiting);
        self.waiting.extend(later);
        self.held = true;
        Vec::new()
    }
}

impl Callback for FlushCallback {
    fn send(mut self, result: io::Result<()>) {
        let log = self.log.upgrade();
        if let (Some(log), Ok(())) = (&log, &result) {
            // Before the writers go on: a truncation that waited for this flush then notes less.
            log.record.note_flushed(self.flush.last);
        }
        report(self.waiting.take().unwrap_or_default(), &result);
        if let Some(log) = log {
            log.flushed(&result, self.flush.begun);
        }
    }
}

impl Drop for FlushCallback {
    /// The log's thread drops the callback unsent if a write before the flush fails. The writers must learn of that.
    fn drop(&mut self) {
        let Some(waiting) = self.waiting.take() else { return };
        let later = self.log.upgrade().map(|log| log.lost_flush()).unwrap_or_default();
        report(waiting.into_iter().chain(later).collect(), &Err(closed()));
    }
}

impl Types for LogTypes {
    type LogId = LogId;
    type LogPayload = Payload;
    type Vote = Vote;
    type Callback = DeviceCallback<FlushCallback>;
    type UserData = Vec<u8>;

    fn log_index(log_id: &LogId) -> u64 {
        log_id.index
    }

    fn payload_size(payload: &Payload) -> u64 {
        payload.bytes.len() as u64
    }
}

fn report(waiting: Vec<OnDurable>, result: &io::Result<()>) {
    for on_durable in waiting {
        on_durable(copy_of(result));
    }
}

fn closed() -> io::Error {
    io::Error::other("the log is closed, or could not be flushed")
}

fn copy_of(result: &io::Result<()>) -> io::Result<()> {
    result.as_ref().copied().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}
