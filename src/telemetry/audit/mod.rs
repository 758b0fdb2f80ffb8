//! The audit trail: every request is recorded, and one thread writes the records to the sinks and to live feeds.

mod chain;
#[cfg(test)]
mod chain_tests;
mod file;
mod sinks;
mod syslog;
#[cfg(test)]
pub(super) mod tests;
mod verify;
mod writer;

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::feed::{Feed, LineFormat};
use super::queue::Queue;
use super::record::{AuditRecord, write_loss, write_record, write_request_id};
use crate::clock;
use crate::config::Config;
use crate::crypto::SigningKey;
pub use file::writable::check_audit_file;
use sinks::{AllSinkCounters, SinkCounters, SinkSettings, Sinks};
pub use verify::files::{AuditFiles, in_order};
pub use verify::report::{AuditFinding, AuditReport, FindingKind, Unsigned};
pub use verify::{AuditVerifier, ExpectedTrail};
use writer::RecordWriter;

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
    queue: Queue<AuditRecord>,
    feed: Feed<AuditRecord>,
    stopping: AtomicBool,
    /// The thread is to end and to write nothing more, as in a crash.
    killed: AtomicBool,
    orders: Mutex<PendingChanges>,
    required: AtomicBool,
    /// No sink took the last records that were offered.
    blocked: AtomicBool,
    /// Requests are refused.
    refusing: AtomicBool,
    /// Since when the thread is writing: milliseconds after `began`, and one; 0 while it is not.
    writing_since: AtomicU64,
    began: Instant,
    thread: OnceLock<Thread>,
    sinks: AllSinkCounters,
    /// Given up by their requests.
    lost: AtomicU64,
    /// Taken by no sink.
    unwritten: AtomicU64,
}

/// The thread that writes what was recorded.
pub struct AuditWriter {
    audit: Arc<Audit>,
    /// How many records it left unwritten.
    outcome: oneshot::Receiver<u64>,
}

/// Why records were left unwritten.
#[derive(Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// A sink blocked for longer than the caller's patience.
    Blocked,
    /// No sink took this many.
    Left(u64),
    /// The thread panicked.
    Panicked,
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

/// What is counted of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkFigures {
    /// Its name.
    pub name: &'static str,
    /// Whether it takes records.
    pub up: bool,
    /// How often it failed.
    pub failures: u64,
    /// Records that it did not take.
    pub lost: u64,
}

/// What the thread is to do differently from now on.
#[derive(Default)]
struct PendingChanges {
    sinks: Option<SinkSettings>,
    key: Option<SigningKey>,
}

impl Audit {
    /// Starts the audit trail of a node; its console is the standard output.
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn start(config: &Config) -> io::Result<(Arc<Self>, AuditWriter)> {
        Self::start_on(Box::new(io::stdout()), wanted(config), config.limits.audit_queue)
    }

    fn start_on(
        console: Box<dyn Write + Send>,
        wanted: SinkSettings,
        capacity: usize,
    ) -> io::Result<(Arc<Self>, AuditWriter)> {
        let audit = Arc::new(Self {
            queue: Queue::new(capacity.max(1)),
            feed: Feed::new(LineFormat { event: line, loss: loss_line }),
            stopping: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            orders: Mutex::default(),
            required: AtomicBool::new(wanted.config.required),
            blocked: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            writing_since: AtomicU64::new(0),
            began: Instant::now(),
            thread: OnceLock::new(),
            sinks: AllSinkCounters::default(),
            lost: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
        });
        let (ended, outcome) = oneshot::channel();
        let scribe = RecordWriter::new(Arc::clone(&audit), Sinks::new(console, wanted, &audit.sinks));
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || {
            // Fails when the handle was dropped: then nobody asks how it ended.
            let _ = ended.send(scribe.run());
        })?;
        audit.thread.get_or_init(|| thread.thread().clone());
        Ok((Arc::clone(&audit), AuditWriter { audit, outcome }))
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
        self.orders.lock().sinks = Some(wanted(config));
        self.wake();
    }

    /// Signs checkpoints of the audit file from now on.
    pub fn sign_with(&self, key: SigningKey) {
        self.orders.lock().key = Some(key);
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
            sinks: wanted.map(|(name, figures)| figures.shown(name)).collect(),
        }
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Notes whether a sink took the last records.
    fn note(&self, told: bool) {
        self.blocked.store(!told, Relaxed);
        self.refusing.store(!told && self.required.load(Relaxed), Relaxed);
    }

    /// Notes when the thread began to write, or that it has ended.
    fn note_writing(&self, writing: bool) {
        let since = if writing { self.began.elapsed().as_millis() + 1 } else { 0 };
        self.writing_since.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
    }

    fn has_written_for(&self, time: Duration) -> bool {
        let since = self.writing_since.load(Relaxed);
        since > 0 && self.began.elapsed() >= Duration::from_millis(since - 1) + time
    }
}

impl AuditWriter {
    /// Completes when the thread has panicked, and never otherwise. The node stops then: what it would go on to do
    /// could not be audited.
    pub async fn failed(&mut self) -> io::Error {
        match (&mut self.outcome).await {
            Ok(_) => std::future::pending().await,
            Err(_) => io::Error::other("the audit thread panicked"),
        }
    }

    /// Writes all that was recorded before this call and ends; call it when no more requests are served.
    ///
    /// # Errors
    /// Records are left unwritten because no sink took them, or one blocked longer than `patience`.
    pub async fn stop(mut self, patience: Duration) -> Result<(), Unwritten> {
        self.audit.stopping.store(true, Relaxed);
        self.audit.wake();
        match tokio::time::timeout(patience, &mut self.outcome).await {
            Ok(Ok(0)) => Ok(()),
            Ok(Ok(left)) => Err(Unwritten::Left(left)),
            Ok(Err(_)) => Err(Unwritten::Panicked),
            Err(_) => Err(Unwritten::Blocked),
        }
    }
}

impl Drop for AuditWriter {
    /// Without [`AuditWriter::stop`] nothing more is written: a node that is started in this process after it must find
    /// the file to itself.
    fn drop(&mut self) {
        self.audit.killed.store(true, Relaxed);
        self.audit.wake();
    }
}

impl SinkCounters {
    fn shown(&self, name: &'static str) -> SinkFigures {
        let (up, failures, lost) = (!self.down.load(Relaxed), self.failures.load(Relaxed), self.lost.load(Relaxed));
        SinkFigures { name, up, failures, lost }
    }
}

fn wanted(config: &Config) -> SinkSettings {
    SinkSettings {
        console: config.log.audit,
        config: config.audit.clone(),
        node: config.cluster.name.clone(),
        folder: config.cluster.data.clone(),
    }
}

fn line(record: &AuditRecord) -> String {
    let mut line = String::new();
    write_record(&mut line, record);
    write_request_id(&mut line, record);
    line
}

fn loss_line(lost: u64) -> String {
    let mut line = String::new();
    write_loss(&mut line, clock::unix_ns(), lost);
    line
}
