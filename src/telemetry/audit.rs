//! The audit trail: every request is recorded, and one thread writes the records to the console and to live feeds.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::sync::oneshot;

use super::feed::Feed;
use super::queue::Queue;
use super::record::{AuditRecord, write_extension, write_loss, write_record};
use crate::clock;
use crate::config::{LimitsConfig, LogConfig};

/// How long records gather before they are written.
const PERIOD: Duration = Duration::from_millis(5);
/// Bytes of lines after which they are written, however many more there are.
const CHUNK: usize = 64 * 1024;

/// Where requests are recorded.
///
/// No record is lost in silence. When the console blocks (a pipe nobody reads), the writing thread blocks with it,
/// the queue fills, and requests wait for room: an operator who asked for an audit trail gets no answers that are
/// not in it. When the console fails, the node stops ([`AuditWriter::failed`]). A request that is given up while it
/// waits is told of as a loss. Listeners of the [`Feed`] never hold up anything.
pub struct Audit {
    queue: Queue<AuditRecord>,
    feed: Feed,
    on_console: AtomicBool,
    stopping: AtomicBool,
}

/// The thread that writes what was recorded.
pub struct AuditWriter {
    audit: Arc<Audit>,
    thread: Thread,
    outcome: oneshot::Receiver<io::Result<()>>,
}

/// Why records were left unwritten.
#[derive(Debug)]
pub enum Unwritten {
    /// The console blocked for longer than the caller's patience.
    Blocked,
    /// The console failed.
    Failed(io::Error),
}

impl Audit {
    /// Starts the audit trail; its console is the standard output.
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn start(log: &LogConfig, limits: &LimitsConfig) -> io::Result<(Arc<Self>, AuditWriter)> {
        Self::start_on(io::stdout(), log.audit, limits.audit_queue)
    }

    fn start_on(
        console: impl Write + Send + 'static,
        on_console: bool,
        capacity: usize,
    ) -> io::Result<(Arc<Self>, AuditWriter)> {
        let audit = Arc::new(Self {
            queue: Queue::new(capacity.max(1)),
            feed: Feed::new(loss_line),
            on_console: AtomicBool::new(on_console),
            stopping: AtomicBool::new(false),
        });
        let (ended, outcome) = oneshot::channel();
        let scribe = Scribe { audit: Arc::clone(&audit), console, number: 0, chunk: String::new() };
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || {
            // Fails when the handle was dropped: then nobody asks how it ended.
            let _ = ended.send(scribe.run());
        })?;
        let writer = AuditWriter { audit: Arc::clone(&audit), thread: thread.thread().clone(), outcome };
        Ok((audit, writer))
    }

    /// Records a request unless the queue is full; then it gives the record back, for [`Audit::record`].
    ///
    /// # Errors
    /// The record, when there is no room.
    #[expect(clippy::result_large_err, reason = "a full queue gives it back; a box would cost every request a malloc")]
    pub fn try_record(&self, record: AuditRecord) -> Result<(), AuditRecord> {
        self.queue.try_push(record.bounded())
    }

    /// Records a request, waiting in line while the queue is full.
    pub async fn record(&self, record: AuditRecord) {
        self.queue.push(record.bounded()).await;
    }

    /// Requests recorded so far.
    pub fn events(&self) -> u64 {
        self.queue.pushed()
    }

    /// The live feed of records.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Switches the console on or off, as a changed configuration asks.
    pub fn reload(&self, log: &LogConfig) {
        self.on_console.store(log.audit, Relaxed);
    }
}

impl AuditWriter {
    /// Completes when the console has failed, and never otherwise. The node stops then: what it would go on to do
    /// could not be audited.
    pub async fn failed(&mut self) -> io::Error {
        match (&mut self.outcome).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => std::future::pending().await,
            Err(_) => io::Error::other("the audit thread panicked"),
        }
    }

    /// Writes all that was recorded before this call and ends; call it when no more requests are served.
    ///
    /// # Errors
    /// Records are left unwritten because the console failed, or blocked longer than `patience`.
    pub async fn stop(mut self, patience: Duration) -> Result<(), Unwritten> {
        self.audit.stopping.store(true, Relaxed);
        self.thread.unpark();
        match tokio::time::timeout(patience, &mut self.outcome).await {
            Ok(Ok(outcome)) => outcome.map_err(Unwritten::Failed),
            Ok(Err(_)) => Err(Unwritten::Failed(io::Error::other("the audit thread panicked"))),
            Err(_) => Err(Unwritten::Blocked),
        }
    }
}

/// What the thread holds.
struct Scribe<W> {
    audit: Arc<Audit>,
    console: W,
    number: u64,
    chunk: String,
}

impl<W: Write> Scribe<W> {
    fn run(mut self) -> io::Result<()> {
        let mut batch = Vec::new();
        loop {
            // Looked at before the queue, so that all that came before it is still written.
            let stopping = self.audit.stopping.load(Relaxed);
            self.audit.queue.take(&mut batch);
            let lost = self.audit.queue.take_abandoned();
            if !batch.is_empty() || lost > 0 {
                self.tell(&mut batch, lost)?;
                self.audit.queue.release(batch.len());
                batch.clear();
            } else if stopping {
                return Ok(());
            } else {
                self.audit.queue.sleep_while_empty();
            }
            if !stopping {
                thread::park_timeout(PERIOD);
            }
        }
    }

    /// Tells of a batch, and of records that were given up, wherever somebody looks.
    fn tell(&mut self, batch: &mut [AuditRecord], lost: u64) -> io::Result<()> {
        if lost > 0 {
            tracing::warn!(lost, "requests were given up while they waited to be audited");
        }
        let on_console = self.audit.on_console.load(Relaxed);
        if on_console || self.audit.feed.is_heard() {
            batch.sort_by_key(|record| record.time_ns);
            for record in &*batch {
                self.number += 1;
                self.tell_one(record, on_console)?;
            }
            if lost > 0 {
                self.tell_loss(lost, on_console);
            }
            self.write_chunk()?;
        } else {
            self.number += batch.len() as u64;
        }
        self.number += lost;
        Ok(())
    }

    fn tell_one(&mut self, record: &AuditRecord, on_console: bool) -> io::Result<()> {
        let start = self.chunk.len();
        write_record(&mut self.chunk, record);
        if self.audit.feed.is_heard() {
            self.audit.feed.publish(self.chunk[start..].to_owned());
        }
        if !on_console {
            self.chunk.truncate(start);
            return Ok(());
        }
        write_extension(&mut self.chunk, self.number, record);
        self.chunk.push('\n');
        if self.chunk.len() >= CHUNK { self.write_chunk() } else { Ok(()) }
    }

    fn tell_loss(&mut self, lost: u64, on_console: bool) {
        let line = loss_line(lost);
        if on_console {
            self.chunk.push_str(&line);
            self.chunk.push('\n');
        }
        self.audit.feed.publish(line);
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        if !self.chunk.is_empty() {
            self.console.write_all(self.chunk.as_bytes())?;
            self.console.flush()?;
            self.chunk.clear();
        }
        Ok(())
    }
}

fn loss_line(lost: u64) -> String {
    let mut line = String::new();
    write_loss(&mut line, clock::unix_ns(), lost);
    line
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use serde_json::Value;

    use super::super::record::tests::record;
    use super::*;

    /// A console that passes on what is written to it, at the pace at which it is taken.
    struct Pipe(mpsc::SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn pipe() -> (Pipe, mpsc::Receiver<Vec<u8>>) {
        let (write, read) = mpsc::sync_channel(0);
        (Pipe(write), read)
    }

    fn paths(lines: &[u8]) -> Vec<String> {
        let path = |line| serde_json::from_str::<Value>(line).unwrap()["request"]["path"].as_str().unwrap().to_owned();
        std::str::from_utf8(lines).unwrap().lines().map(path).collect()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_blocked_console_makes_requests_wait_and_loses_nothing() {
        let (console, read) = pipe();
        let (audit, writer) = Audit::start_on(console, true, 8).unwrap();
        let mut sent = 0;
        // The console takes nothing, so the queue fills up, however fast the thread is.
        while audit.try_record(record(&format!("/{sent}"))).is_ok() {
            sent += 1;
        }
        assert_eq!(sent, 8);
        let mut waiting = Box::pin(audit.record(record("/8")));
        assert!(futures::poll!(&mut waiting).is_pending());
        let read = thread::spawn(move || read.iter().flatten().collect::<Vec<u8>>());
        waiting.await;
        writer.stop(LONG).await.unwrap();
        let expected: Vec<_> = (0..9).map(|n| format!("/{n}")).collect();
        let mut seen = paths(&read.join().unwrap());
        seen.sort();
        assert_eq!((seen, audit.events()), (expected, 9));
    }

    #[tokio::test]
    async fn a_request_given_up_while_it_waits_is_a_loss_that_is_told() {
        let (console, read) = pipe();
        let (audit, writer) = Audit::start_on(console, true, 1).unwrap();
        audit.try_record(record("/0")).unwrap();
        let mut waiting = Box::pin(audit.record(record("/1")));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(waiting);
        let read = thread::spawn(move || read.iter().flatten().collect::<Vec<u8>>());
        audit.record(record("/2")).await;
        writer.stop(LONG).await.unwrap();
        let text = String::from_utf8(read.join().unwrap()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let lost: u64 = lines.iter().filter_map(|line| line["lost"].as_u64()).sum();
        let numbers: Vec<_> = lines.iter().filter_map(|line| line["keyraft"]["number"].as_u64()).collect();
        assert_eq!((lost, numbers.len()), (1, 2), "{text}");
    }

    #[tokio::test]
    async fn listeners_hear_of_every_record_while_the_console_is_off() {
        let (console, read) = pipe();
        drop(read);
        let (audit, writer) = Audit::start_on(console, false, 8).unwrap();
        let mut listener = audit.feed().listen();
        for path in ["/a", "/b"] {
            audit.record(record(path)).await;
            let line = listener.next().await.unwrap();
            assert_eq!(paths(&line), [path]);
            assert!(!std::str::from_utf8(&line).unwrap().contains("keyraft"), "the contract's shape and no more");
        }
        writer.stop(LONG).await.unwrap();
    }

    #[tokio::test]
    async fn a_broken_console_is_reported_and_a_stuck_one_does_not_hold_up_the_end() {
        let (console, read) = pipe();
        let (audit, mut writer) = Audit::start_on(console, true, 8).unwrap();
        drop(read);
        audit.record(record("/")).await;
        assert_eq!(writer.failed().await.kind(), io::ErrorKind::BrokenPipe);

        let (console, _read) = pipe();
        let (audit, writer) = Audit::start_on(console, true, 8).unwrap();
        audit.record(record("/")).await;
        assert!(matches!(writer.stop(Duration::from_millis(20)).await, Err(Unwritten::Blocked)));
    }

    #[tokio::test]
    async fn records_are_counted_while_nobody_looks() {
        let (audit, writer) = Audit::start_on(io::sink(), false, 4).unwrap();
        for _ in 0..100 {
            audit.record(record("/")).await;
        }
        writer.stop(LONG).await.unwrap();
        assert_eq!(audit.events(), 100);
    }
}
