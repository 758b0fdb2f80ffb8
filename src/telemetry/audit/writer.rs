//! The thread that writes what was recorded, to the sinks and to live feeds.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::sinks::{SinkSettings, Sinks};
use super::trail::{Audit, PendingChanges};
use crate::config::Config;
use crate::telemetry::record::{AuditRecord, loss_line, write_extension, write_record};

/// How long records gather before they are written.
const PERIOD: Duration = Duration::from_millis(5);
/// How long a record that no sink took waits before it is offered again.
const AGAIN: Duration = Duration::from_millis(50);
/// Records that are written together, however many more there are.
const AT_A_TIME: usize = 128;

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

/// What the thread holds.
struct RecordWriter {
    audit: Arc<Audit>,
    sinks: Sinks,
    /// Taken from the queue and not yet written.
    batch: VecDeque<AuditRecord>,
    /// Given up by their requests and not yet told.
    lost: u64,
    number: u64,
    /// The sinks are new, and were offered nothing yet: one that cannot be opened shows before the first request.
    untried: bool,
}

impl Audit {
    /// Starts the audit trail of a node; its console is the standard output.
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn start(config: &Config) -> io::Result<(Arc<Self>, AuditWriter)> {
        Self::start_on(Box::new(io::stdout()), SinkSettings::of(config), config.limits.audit_queue)
    }

    pub(super) fn start_on(
        console: Box<dyn Write + Send>,
        wanted: SinkSettings,
        capacity: usize,
    ) -> io::Result<(Arc<Self>, AuditWriter)> {
        let audit = Arc::new(Self::new(wanted.config.required, capacity));
        let (ended, outcome) = oneshot::channel();
        let writer = RecordWriter::new(Arc::clone(&audit), Sinks::new(console, wanted, &audit.sinks));
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || {
            // Fails when the handle was dropped: then nobody asks how it ended.
            let _ = ended.send(writer.run());
        })?;
        audit.thread.get_or_init(|| thread.thread().clone());
        Ok((Arc::clone(&audit), AuditWriter { audit, outcome }))
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

impl RecordWriter {
    fn new(audit: Arc<Audit>, sinks: Sinks) -> Self {
        Self { audit, sinks, batch: VecDeque::new(), lost: 0, number: 0, untried: true }
    }

    /// Writes until told to stop; how many records are left unwritten then.
    fn run(mut self) -> u64 {
        loop {
            // Looked at before the queue, so that all that came before it is still written.
            let stopping = self.audit.stopping.load(Relaxed);
            if self.audit.killed.load(Relaxed) {
                return self.batch.len() as u64 + self.lost;
            }
            self.audit.note_writing(true);
            self.apply_changes();
            self.audit.note_writing(false);
            if self.batch.is_empty() {
                self.take();
            }
            let (had_some, told) = (!self.batch.is_empty() || self.lost > 0, self.tell());
            self.audit.note(told);
            self.audit.note_writing(true);
            self.sinks.tick(&self.audit.sinks);
            self.audit.note_writing(false);
            match (stopping, told) {
                (true, true) if !had_some => break,
                (true, false) => break,
                (true, true) => {}
                (false, false) => thread::park_timeout(AGAIN),
                (false, true) => {
                    if !had_some {
                        self.audit.queue.sleep_while_empty(self.sinks.due());
                    }
                    thread::park_timeout(PERIOD);
                }
            }
        }
        self.sinks.close();
        self.batch.len() as u64 + self.lost
    }

    fn apply_changes(&mut self) {
        let PendingChanges { sinks, key } = std::mem::take(&mut *self.audit.changes.lock());
        if let Some(wanted) = sinks {
            self.sinks.reconfigure(wanted, &self.audit.sinks);
            self.untried = true;
        }
        if let Some(key) = key {
            self.sinks.sign_with(key);
        }
    }

    fn take(&mut self) {
        let mut taken = Vec::from(std::mem::take(&mut self.batch));
        self.audit.queue.take(&mut taken);
        taken.sort_by_key(|record| record.time_ns);
        self.batch = taken.into();
        self.lost += self.audit.queue.take_abandoned();
    }

    /// Tells of what was taken, wherever somebody looks; false when it must be told again.
    fn tell(&mut self) -> bool {
        if self.untried && !self.sinks.is_empty() && !self.offer(&[]) {
            return false;
        }
        self.untried = false;
        while !self.batch.is_empty() {
            let count = self.batch.len().min(AT_A_TIME);
            if !self.write(count) {
                return false;
            }
            self.number += count as u64;
            self.audit.feed.publish(self.batch.drain(..count));
            self.audit.queue.release(count);
        }
        self.tell_loss()
    }

    /// Writes the first of the batch; false when they must be written again.
    fn write(&mut self, count: usize) -> bool {
        if self.sinks.is_empty() {
            return !self.audit.required.load(Relaxed);
        }
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(count));
        for (number, record) in (self.number + 1..).zip(self.batch.range(..count)) {
            write_record(&mut text, record);
            write_extension(&mut text, number, record);
            ends.push(text.len());
        }
        let starts = [0].iter().chain(&ends);
        let lines: Vec<_> = starts.zip(&ends).map(|(start, end)| &text[*start..*end]).collect();
        self.offer(&lines)
    }

    fn tell_loss(&mut self) -> bool {
        if self.lost == 0 {
            return true;
        }
        if !self.sinks.is_empty() && !self.offer(&[&loss_line(self.lost)]) {
            return false;
        }
        tracing::warn!(lost = self.lost, "requests were given up while they waited to be audited");
        self.audit.feed.publish_loss(self.lost);
        self.audit.lost.fetch_add(self.lost, Relaxed);
        self.number += std::mem::take(&mut self.lost);
        true
    }

    /// Offers lines to the sinks; false when they must be offered again.
    fn offer(&mut self, lines: &[&str]) -> bool {
        self.audit.note_writing(true);
        let taken = self.sinks.tell(lines, &self.audit.sinks);
        self.audit.note_writing(false);
        if !taken && !self.audit.required.load(Relaxed) {
            self.audit.unwritten.fetch_add(lines.len() as u64, Relaxed);
            return true;
        }
        taken
    }
}
