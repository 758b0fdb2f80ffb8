//! The audit trail as requests see it: where they record themselves, and whether they may be served.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::sinks::{AllSinkCounters, SinkFigures, SinkSettings};
use crate::config::Config;
use crate::crypto::SigningKey;
use crate::telemetry::feed::{Feed, LineFormat};
use crate::telemetry::queue::Queue;
use crate::telemetry::record::{AuditRecord, loss_line, stream_line};

/// A write that takes longer than this means that a sink is stuck.
const STUCK: Duration = Duration::from_secs(5);
/// How long a request waits for room in the queue if its record may be lost.
const SHORT_WAIT: Duration = Duration::from_secs(1);
/// How long a request waits if its record must not be lost. After that it fails.
const LONG_WAIT: Duration = Duration::from_secs(10);

/// The audit trail, to which requests hand their records.
///
/// A record goes to every sink. If no sink takes it, `audit.required` decides. Without it, the record is lost, and the
/// node counts and reports that. With it, the node keeps the record, offers it again, and refuses requests meanwhile.
/// The node retries a sink that failed, and then writes how many records it missed. A sink that blocks (a pipe that
/// nobody reads) blocks the writing thread, the queue fills, and requests wait for room: for a second, or with
/// `audit.required` until they fail. Listeners of the [`Feed`] never hold anything up.
pub struct Audit {
    pub(super) queue: Queue<AuditRecord>,
    pub(super) feed: Feed<AuditRecord>,
    pub(super) stopping: AtomicBool,
    /// Makes the thread end without writing anything more, as in a crash.
    pub(super) killed: AtomicBool,
    pub(super) changes: Mutex<PendingChanges>,
    pub(super) required: AtomicBool,
    /// Whether no sink took the last records.
    blocked: AtomicBool,
    /// Whether the node refuses requests.
    refusing: AtomicBool,
    /// When the thread began to write: milliseconds after `began`, plus one. 0 while it does not write.
    writing_since: AtomicU64,
    /// How often the thread has begun or ended a write.
    writes: AtomicU64,
    began: Instant,
    pub(super) thread: OnceLock<Thread>,
    pub(super) sinks: AllSinkCounters,
    /// Records whose requests stopped waiting for room in the queue.
    pub(super) lost: AtomicU64,
    /// Records that no sink took.
    pub(super) unwritten: AtomicU64,
}

/// The node must not answer a request, because the audit trail could not take its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unrecorded;

/// The counts of the audit trail at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFigures {
    /// Requests that left a record.
    pub records: u64,
    /// Records lost because the queue was full.
    pub given_up: u64,
    /// Records that no sink took.
    pub unwritten: u64,
    /// Whether the node refuses requests because no sink takes records.
    pub refusing: bool,
    /// The counts of each sink.
    pub sinks: Vec<SinkFigures>,
}

/// New settings that the thread has yet to take over.
#[derive(Default)]
pub(super) struct PendingChanges {
    pub(super) sinks: Option<SinkSettings>,
    pub(super) key: Option<SigningKey>,
}

impl Audit {
    /// Makes a trail, whose thread does not run yet.
    pub(super) fn new(required: bool, capacity: usize) -> Self {
        Self {
            queue: Queue::new(capacity.max(1)),
            feed: Feed::new(LineFormat { event: stream_line, loss: loss_line }),
            stopping: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            changes: Mutex::default(),
            required: AtomicBool::new(required),
            blocked: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            writing_since: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            began: Instant::now(),
            thread: OnceLock::new(),
            sinks: AllSinkCounters::default(),
            lost: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
        }
    }

    /// Takes a record unless the queue is full.
    ///
    /// # Errors
    /// The queue is full. The caller gets the record back, for [`Audit::record`].
    pub fn try_record(&self, record: AuditRecord) -> Result<(), AuditRecord> {
        self.queue.try_push(record.bounded())
    }

    /// Takes a record, and waits in line for a limited time while the queue is full. After that the record is lost,
    /// which the trail reports.
    ///
    /// # Errors
    /// The record is lost, and `audit.required` says that every request must have one.
    pub async fn record(&self, record: AuditRecord) -> Result<(), Unrecorded> {
        let required = self.required.load(Relaxed);
        let wait = if required { LONG_WAIT } else { SHORT_WAIT };
        let hopeless = if required { self.refuses() } else { self.has_written_for(wait) };
        if hopeless {
            self.queue.abandon();
        } else if tokio::time::timeout(wait, self.queue.push(record.bounded())).await.is_ok() {
            return Ok(());
        }
        if required { Err(Unrecorded) } else { Ok(()) }
    }

    /// Whether the node must refuse requests, because each must have a record and no sink takes any. Costs one atomic
    /// load.
    pub fn refuses(&self) -> bool {
        self.refusing.load(Relaxed)
    }

    /// Whether the audit trail lets the node serve. The node must ask now and then, since a stuck thread cannot report
    /// itself.
    pub fn lets_serve(&self) -> bool {
        let refusing = self.required.load(Relaxed) && (self.blocked.load(Relaxed) || self.has_written_for(STUCK));
        self.refusing.store(refusing, Relaxed);
        !refusing
    }

    /// Returns how many requests left a record so far.
    pub fn events(&self) -> u64 {
        self.queue.pushed()
    }

    /// Returns the live feed of records.
    pub fn feed(&self) -> &Feed<AuditRecord> {
        &self.feed
    }

    /// Takes over the sinks of a changed configuration.
    pub fn reload(&self, config: &Config) {
        self.required.store(config.audit.required, Relaxed);
        self.changes.lock().sinks = Some(SinkSettings::of(config));
        self.wake();
    }

    /// Signs checkpoints of the audit file from now on.
    pub fn sign_with(&self, key: SigningKey) {
        self.changes.lock().key = Some(key);
        self.wake();
    }

    /// Returns the counts so far.
    pub fn figures(&self) -> AuditFigures {
        let all = [("file", &self.sinks.file), ("syslog", &self.sinks.syslog), ("console", &self.sinks.console)];
        let wanted = all.into_iter().filter(|(_, sink)| sink.wanted.load(Relaxed));
        AuditFigures {
            records: self.events(),
            given_up: self.lost.load(Relaxed),
            unwritten: self.unwritten.load(Relaxed),
            refusing: self.refuses(),
            sinks: wanted.map(|(name, counters)| counters.figures(name)).collect(),
        }
    }

    pub(super) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Notes whether a sink took the last records.
    pub(super) fn note_taken(&self, taken: bool) {
        self.blocked.store(!taken, Relaxed);
        self.refusing.store(!taken && self.required.load(Relaxed), Relaxed);
    }

    /// Notes when the thread began to write, or that it has ended.
    pub(super) fn note_writing(&self, writing: bool) {
        let since = if writing { self.began.elapsed().as_millis() + 1 } else { 0 };
        self.writing_since.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
        self.writes.fetch_add(1, Relaxed);
    }

    /// Returns a number that grows as the thread gets on with its writes.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Relaxed)
    }

    fn has_written_for(&self, time: Duration) -> bool {
        let since = self.writing_since.load(Relaxed);
        since > 0 && self.began.elapsed() >= Duration::from_millis(since - 1) + time
    }
}
