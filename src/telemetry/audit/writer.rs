//! The thread that writes records to the sinks and to live feeds.

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
/// How many records the thread writes together at most.
const AT_A_TIME: usize = 128;

/// The handle of the thread that writes records.
pub struct AuditWriter {
    audit: Arc<Audit>,
    /// Gets how many records the thread left unwritten.
    outcome: oneshot::Receiver<u64>,
}

/// Why the thread left records unwritten.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritten {
    /// A sink blocked for longer than the caller waits.
    #[error("an audit sink does not answer")]
    Blocked,
    /// No sink took this many.
    #[error("no audit sink took the last {0} records")]
    Left(u64),
    /// The thread panicked.
    #[error("the audit thread panicked")]
    Panicked,
}

/// The state of the thread.
struct RecordWriter {
    audit: Arc<Audit>,
    sinks: Sinks,
    /// Records from the queue that are yet to be written.
    batch: VecDeque<AuditRecord>,
    /// Lost records that are yet to be reported.
    lost: u64,
    number: u64,
    /// Whether the sinks are new and untried. The thread tries them at once, so that a sink that cannot be opened shows
    /// before the first request.
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
            // This fails if the handle was dropped, and then nobody asks how the thread ended.
            let _ = ended.send(writer.run());
        })?;
        audit.thread.get_or_init(|| thread.thread().clone());
        Ok((Arc::clone(&audit), AuditWriter { audit, outcome }))
    }
}

impl AuditWriter {
    /// Completes if the thread panics, and never otherwise. The node must stop then, because it could not audit
    /// anything more.
    pub async fn failed(&mut self) -> io::Error {
        match (&mut self.outcome).await {
            Ok(_) => std::future::pending().await,
            Err(_) => io::Error::other("the audit thread panicked"),
        }
    }

    /// Writes all records from before this call, signs the file, and ends the thread. Call it when the node serves no
    /// more requests. A slow disk may take its time, as long as each write ends within `patience`.
    ///
    /// # Errors
    /// Records stay unwritten, because no sink took them or one blocked longer than `patience`.
    pub async fn stop(self, patience: Duration) -> Result<(), Unwritten> {
        self.stop_unless_blocked(|| tokio::time::sleep(patience)).await
    }

    /// As [`AuditWriter::stop`], but waits for progress with `pause` instead of a time.
    pub(super) async fn stop_unless_blocked<P>(mut self, pause: impl Fn() -> P) -> Result<(), Unwritten>
    where
        P: Future<Output = ()>,
    {
        self.audit.stopping.store(true, Relaxed);
        self.audit.wake();
        loop {
            let written = self.audit.writes();
            tokio::select! {
                biased;
                outcome = &mut self.outcome => return match outcome {
                    Ok(0) => Ok(()),
                    Ok(left) => Err(Unwritten::Left(left)),
                    Err(_) => Err(Unwritten::Panicked),
                },
                () = pause() => if self.audit.writes() == written {
                    return Err(Unwritten::Blocked);
                },
            }
        }
    }
}

impl Drop for AuditWriter {
    /// Ends the thread without writing anything more, unless [`AuditWriter::stop`] came first. A node that starts in
    /// this process afterwards must have the file to itself.
    fn drop(&mut self) {
        self.audit.killed.store(true, Relaxed);
        self.audit.wake();
    }
}

impl RecordWriter {
    fn new(audit: Arc<Audit>, sinks: Sinks) -> Self {
        Self { audit, sinks, batch: VecDeque::new(), lost: 0, number: 0, untried: true }
    }

    /// Writes until the trail stops. Returns how many records it left unwritten.
    fn run(mut self) -> u64 {
        loop {
            // Look at this before the queue, so that all earlier records are still written.
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
            let (had_some, taken) = (!self.batch.is_empty() || self.lost > 0, self.write_all());
            self.audit.note_taken(taken);
            self.audit.note_writing(true);
            self.sinks.tick(&self.audit.sinks);
            self.audit.note_writing(false);
            match (stopping, taken) {
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
        self.audit.note_writing(true);
        self.sinks.close();
        self.audit.note_writing(false);
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

    /// Writes the batch to the sinks and the feed. Returns false if it must be written again.
    fn write_all(&mut self) -> bool {
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
        self.write_loss()
    }

    /// Writes the first records of the batch. Returns false if they must be written again.
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

    /// Reports lost records. Returns false if it must do so again.
    fn write_loss(&mut self) -> bool {
        if self.lost == 0 {
            return true;
        }
        if !self.sinks.is_empty() && !self.offer(&[&loss_line(self.lost)]) {
            return false;
        }
        tracing::warn!(lost = self.lost, "the queue of audit records was full, and requests went without a record");
        self.audit.feed.publish_loss(self.lost);
        self.audit.lost.fetch_add(self.lost, Relaxed);
        self.number += std::mem::take(&mut self.lost);
        true
    }

    /// Offers lines to the sinks. Returns false if they must be offered again.
    fn offer(&mut self, lines: &[&str]) -> bool {
        self.audit.note_writing(true);
        let taken = self.sinks.write(lines, &self.audit.sinks);
        self.audit.note_writing(false);
        if !taken && !self.audit.required.load(Relaxed) {
            self.audit.unwritten.fetch_add(lines.len() as u64, Relaxed);
            return true;
        }
        taken
    }
}
