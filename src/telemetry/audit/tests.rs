//! The audit trail keeps or counts every record while sinks block, fail and come back.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::sinks::SinkSettings;
use super::trail::{Audit, Unrecorded};
use super::writer::Unwritten;
use crate::config::{AuditConfig, AuditFileConfig, SyslogAddress, SyslogConfig};
use crate::telemetry::record::tests::record;

/// A console that blocks until the test reads what was written to it.
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

/// A console that fails while `fails` is set.
#[derive(Clone, Default)]
struct Flaky {
    fails: Arc<AtomicBool>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Flaky {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.fails.load(Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pipe() -> (Box<Pipe>, mpsc::Receiver<Vec<u8>>) {
    let (write, read) = mpsc::sync_channel(0);
    (Box::new(Pipe(write)), read)
}

fn wanted(console: bool, required: bool) -> SinkSettings {
    let config = AuditConfig { required, ..AuditConfig::default() };
    SinkSettings { console, config, node: "node-1".to_owned(), folder: PathBuf::new() }
}

/// An audit trail without sinks.
pub(in crate::telemetry) fn silent(capacity: usize) -> Arc<Audit> {
    Audit::start_on(Box::new(io::sink()), wanted(false, false), capacity).unwrap().0
}

fn paths(lines: &[u8]) -> Vec<String> {
    let path = |line| serde_json::from_str::<Value>(line).unwrap()["request"]["path"].as_str().unwrap().to_owned();
    std::str::from_utf8(lines).unwrap().lines().map(path).collect()
}

const LONG: Duration = Duration::from_secs(60);

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_blocked_console_makes_requests_wait_and_loses_nothing() {
    let (console, read) = pipe();
    let (audit, writer) = Audit::start_on(console, wanted(true, true), 8).unwrap();
    let mut sent = 0;
    // The console takes nothing, so the queue fills up even if the thread is fast.
    while audit.try_record(record(&format!("/{sent}"))).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 8);
    let mut waiting = Box::pin(audit.record(record("/8")));
    assert!(futures::poll!(&mut waiting).is_pending());
    let read = thread::spawn(move || read.iter().flatten().collect::<Vec<u8>>());
    assert_eq!(waiting.await, Ok(()));
    writer.stop(LONG).await.unwrap();
    let expected: Vec<_> = (0..9).map(|n| format!("/{n}")).collect();
    let mut seen = paths(&read.join().unwrap());
    seen.sort();
    assert_eq!((seen, audit.events()), (expected, 9));
}

#[tokio::test]
async fn a_request_that_ends_while_it_waits_is_reported_as_a_loss() {
    let (console, read) = pipe();
    let (audit, writer) = Audit::start_on(console, wanted(true, true), 1).unwrap();
    audit.try_record(record("/0")).unwrap();
    let mut waiting = Box::pin(audit.record(record("/1")));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(waiting);
    let read = thread::spawn(move || read.iter().flatten().collect::<Vec<u8>>());
    audit.record(record("/2")).await.unwrap();
    writer.stop(LONG).await.unwrap();
    let text = String::from_utf8(read.join().unwrap()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lost: u64 = lines.iter().filter_map(|line| line["lost"].as_u64()).sum();
    let numbers: Vec<_> = lines.iter().filter_map(|line| line["keyraft"]["number"].as_u64()).collect();
    assert_eq!((lost, numbers.len(), audit.figures().given_up), (1, 2, 1), "{text}");
}

#[tokio::test]
async fn listeners_hear_of_every_record_while_there_is_no_sink() {
    let (audit, writer) = Audit::start_on(Box::new(io::sink()), wanted(false, false), 8).unwrap();
    let mut listener = audit.feed().listen(0);
    for path in ["/a", "/b"] {
        audit.record(record(path)).await.unwrap();
        let line = listener.next().await.unwrap();
        assert_eq!(paths(&line), [path]);
        let ours = r#","keyraft":{"request_id":"00000000000000fe"}}"#;
        assert!(line.trim_ascii_end().ends_with(ours.as_bytes()), "the contract's shape, and the request's id");
    }
    writer.stop(LONG).await.unwrap();
}

#[tokio::test]
async fn without_required_a_failed_sink_loses_records_and_gets_their_count() {
    let console = Flaky::default();
    let (audit, writer) = Audit::start_on(Box::new(console.clone()), wanted(true, false), 8).unwrap();
    console.fails.store(true, Relaxed);
    for n in 0..5 {
        audit.record(record(&format!("/{n}"))).await.unwrap();
    }
    until(|| audit.figures().unwritten == 5).await;
    assert!(audit.lets_serve() && !audit.figures().sinks[0].up);
    console.fails.store(false, Relaxed);
    // Send records until the console takes one.
    let mut more = 0;
    while console.written.lock().is_empty() {
        audit.record(record("/more")).await.unwrap();
        more += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    writer.stop(LONG).await.unwrap();
    let text = String::from_utf8(console.written.lock().clone()).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let lost = first["lost"].as_u64().expect("the loss comes first");
    assert!(lost >= 5);
    assert_eq!(lost + text.lines().count() as u64 - 1, 5 + more);
    let figures = audit.figures();
    assert_eq!((figures.sinks[0].up, figures.sinks[0].lost), (true, lost));
}

#[tokio::test]
async fn with_required_requests_are_refused_until_a_sink_takes_what_was_kept() {
    let console = Flaky::default();
    let (audit, writer) = Audit::start_on(Box::new(console.clone()), wanted(true, true), 4).unwrap();
    console.fails.store(true, Relaxed);
    for n in 0..4 {
        audit.record(record(&format!("/{n}"))).await.unwrap();
    }
    until(|| audit.refuses()).await;
    assert!(!audit.lets_serve());
    assert_eq!(audit.record(record("/too-much")).await, Err(Unrecorded));
    console.fails.store(false, Relaxed);
    until(|| audit.lets_serve()).await;
    writer.stop(LONG).await.unwrap();
    let text = String::from_utf8(console.written.lock().clone()).unwrap();
    let (records, lost): (Vec<_>, Vec<_>) = text.lines().partition(|line| !line.contains("\"lost\""));
    assert_eq!(paths(records.join("\n").as_bytes()), ["/0", "/1", "/2", "/3"]);
    assert!(lost.len() == 1 && lost[0].ends_with("\"lost\":1}"), "{lost:?}");
}

#[tokio::test]
async fn one_working_sink_is_enough_and_a_full_disk_does_not_work() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let mut wanted = SinkSettings { folder: folder.path().to_owned(), ..wanted(false, true) };
    let file = |path: &str| AuditFileConfig { path: path.into(), max_size: 1 << 20, max_age: LONG, keep: 1 };
    wanted.config.file = Some(file("/dev/full"));
    let (audit, writer) = Audit::start_on(Box::new(io::sink()), wanted.clone(), 8).unwrap();
    until(|| audit.refuses()).await;
    wanted.config.syslog =
        Some(SyslogConfig { address: SyslogAddress::Unix(socket.clone()), ..SyslogConfig::default() });
    let daemon = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    audit.changes.lock().sinks = Some(wanted.clone());
    until(|| audit.lets_serve()).await;
    audit.record(record("/a")).await.unwrap();
    let mut bytes = [0; 1024];
    let count = daemon.recv(&mut bytes).unwrap();
    assert!(String::from_utf8_lossy(&bytes[..count]).contains("\"path\":\"/a\""));
    let figures = audit.figures();
    assert_eq!(
        figures.sinks.iter().map(|sink| (sink.name, sink.up)).collect::<Vec<_>>(),
        [("file", false), ("syslog", true)]
    );
    // The daemon goes, and no sink is left.
    drop(daemon);
    audit.record(record("/b")).await.unwrap();
    until(|| audit.refuses()).await;
    let path = folder.path().join("audit.log");
    wanted.config.file = Some(file(path.to_str().unwrap()));
    audit.changes.lock().sinks = Some(wanted);
    until(|| audit.lets_serve()).await;
    writer.stop(LONG).await.unwrap();
    let written = std::fs::read_to_string(path).unwrap();
    assert_eq!((written.contains("\"path\":\"/a\""), written.contains("\"path\":\"/b\"")), (false, true), "{written}");
    assert!(
        written.contains("\"lost\":1}") || written.contains("\"lost\":1,"),
        "the file gets the number of records that it missed: {written}"
    );
}

#[tokio::test]
async fn a_stuck_console_does_not_hold_up_the_end() {
    let (console, _read) = pipe();
    let (audit, writer) = Audit::start_on(console, wanted(true, false), 8).unwrap();
    audit.record(record("/")).await.unwrap();
    assert_eq!(writer.stop(Duration::from_millis(20)).await, Err(Unwritten::Blocked));
}

#[tokio::test]
async fn a_slow_console_gets_every_record_before_the_end() {
    let (console, read) = pipe();
    let (audit, writer) = Audit::start_on(console, wanted(true, false), 1_000).unwrap();
    for _ in 0..1_000 {
        audit.record(record("/")).await.unwrap();
    }
    // Each pause lets the console take some of the records, or lets the thread find that none is left.
    let pause = async || {
        let before = audit.writes();
        until(|| read.try_recv().is_ok() || audit.writes() != before).await;
        until(|| audit.writes() != before).await;
    };
    assert_eq!(writer.stop_unless_blocked(pause).await, Ok(()));
    assert!(read.try_recv().is_err(), "nothing comes later");
}

#[tokio::test]
async fn records_are_counted_without_sinks_and_listeners() {
    let (audit, writer) = Audit::start_on(Box::new(io::sink()), wanted(false, false), 4).unwrap();
    for _ in 0..100 {
        audit.record(record("/")).await.unwrap();
    }
    writer.stop(LONG).await.unwrap();
    assert_eq!(audit.events(), 100);
}
