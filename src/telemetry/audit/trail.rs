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

/// A write that takes longer has a sink that is stuck.
const STUCK: Duration = Duration::from_secs(5);
/// How long a request waits for room in the queue when its record may be lost.
const SHORT_WAIT: Duration = Duration::from_secs(1);
/// And when it may not: then the request is answered with an error.
const LONG_WAIT: Duration = Duration::from_secs(10);

/// Where requests are recorded.
///
/// A record goes to every sink, and is lost only where no sink takes it and `audit.required` is off; that is counted
/// and told. With `audit.required` it is kept and offered again, and the node refuses requests meanwhile. A sink that
/// fails is tried again, and is told what it missed. A sink that blocks (a pipe nobody reads) blocks the writing
/// thread, the queue fills, and requests wait for room: for a second, or with `audit.required` until they fail.
/// Listeners of the [`Feed`] never hold up anything.
pub struct Audit {
    pub(super) queue: Queue<AuditRecord>,
    pub(super) feed: Feed<AuditRecord>,
    pub(super) stopping: AtomicBool,
    /// The thread is to end and to write nothing more, as in a crash.
    pub(super) killed: AtomicBool,
    pub(super) changes: Mutex<PendingChanges>,
    pub(super) required: AtomicBool,
    /// No sink took the last records that were offered.
    blocked: AtomicBool,
    /// Requests are refused.
    refusing: AtomicBool,
    /// Since when the thread is writing: milliseconds after `began`, and one; 0 while it is not.
    writing_since: AtomicU64,
    began: Instant,
    pub(super) thread: OnceLock<Thread>,
    pub(super) sinks: AllSinkCounters,
    /// Given up by their requests.
    pub(super) lost: AtomicU64,
    /// Taken by no sink.
    pub(super) unwritten: AtomicU64,
}

/// A request that must not be answered, since its record could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unrecorded;

/// What the audit trail counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFigures {
    /// Requests recorded.
    pub records: u64,
    /// Records given up because the queue was full.
    pub given_up: u64,
    /// Records that no sink took.
    pub unwritten: u64,
    /// Whether requests are refused for want of a sink.
    pub refusing: bool,
    /// Each sink there is.
    pub sinks: Vec<SinkFigures>,
}

/// What the thread is to do differently from now on.
#[derive(Default)]
pub(super) struct PendingChanges {
    pub(super) sinks: Option<SinkSettings>,
    pub(super) key: Option<SigningKey>,
}

impl Audit {
    /// The trail before its thread runs.
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
            began: Instant::now(),
            thread: OnceLock::new(),
            sinks: AllSinkCounters::default(),
            lost: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
        }
    }

    /// Records a request unless the queue is full; then it gives the record back, for [`Audit::record`].
    ///
    /// # Errors
    /// The record, when there is no room.
    pub fn try_record(&self, record: AuditRecord) -> Result<(), AuditRecord> {
        self.queue.try_push(record.bounded())
    }

    /// Records a request, waiting in line while the queue is full, though not for ever: a record that is given up is
    /// told of as a loss.
    ///
    /// # Errors
    /// It was given up, and every request must have a record.
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

    /// Whether requests are to be refused: every one must have a record, and no sink takes any. One load.
    pub fn refuses(&self) -> bool {
        self.refusing.load(Relaxed)
    }

    /// Whether the node may serve as far as its audit trail goes; to be asked now and then, since a thread that is
    /// stuck cannot tell.
    pub fn lets_serve(&self) -> bool {
        let refusing = self.required.load(Relaxed) && (self.blocked.load(Relaxed) || self.has_written_for(STUCK));
        self.refusing.store(refusing, Relaxed);
        !refusing
    }

    /// Requests recorded so far.
    pub fn events(&self) -> u64 {
        self.queue.pushed()
    }

    /// The live feed of records.
    pub fn feed(&self) -> &Feed<AuditRecord> {
        &self.feed
    }

    /// Goes over to the sinks of a changed configuration.
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

    /// What was counted so far.
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
    pub(super) fn note(&self, told: bool) {
        self.blocked.store(!told, Relaxed);
        self.refusing.store(!told && self.required.load(Relaxed), Relaxed);
    }

    /// Notes when the thread began to write, or that it has ended.
    pub(super) fn note_writing(&self, writing: bool) {
        let since = if writing { self.began.elapsed().as_millis() + 1 } else { 0 };
        self.writing_since.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
    }

    fn has_written_for(&self, time: Duration) -> bool {
        let since = self.writing_since.load(Relaxed);
        since > 0 && self.began.elapsed() >= Duration::from_millis(since - 1) + time
    }
}
