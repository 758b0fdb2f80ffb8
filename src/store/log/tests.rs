//! Tests of the log: what is there after it is opened again, forged logs and records, and crashes between their writes.

use std::path::PathBuf;
use std::sync::mpsc::{self, SyncSender};
use std::time::Instant;

use super::*;
use crate::crypto::IntegrityKeys;
use crate::state::{ClusterId, HIGHEST_LEVEL, IncarnationId, LOWEST_LEVEL};
use crate::store::doubt::OnLoss;
use crate::store::flush::FlushCallback;
use crate::store::forged::{Forged, Forgery};
use crate::store::log_files::open_entries;
use crate::store::{StoreId, UnreadableLevel};

mod doubt_tests;
mod forged_tests;
mod model_tests;
mod room_tests;

const OWNER: Owner = Owner { store_id: StoreId([5; 16]), node_id: 1 };
const VOTE: Vote = Vote { term: 1, node: 1, committed: true };

fn keys() -> StoreKeys {
    StoreKeys {
        cluster: ClusterId([1; 16]),
        incarnation: IncarnationId([2; 16]),
        integrity: IntegrityKeys::of_bytes(1, [3; 32]),
    }
}

/// A new log whose node has voted, or the log of the folder.
fn open(dir: &Path) -> LogStore {
    let log = LogStore::create(dir, OWNER, &keys(), None).unwrap();
    if log.state().unwrap().vote.is_none() {
        log.save_vote(VOTE).unwrap();
    }
    log
}

fn open_again(dir: &Path) -> Result<LogStore, LogOpenError> {
    LogStore::open(dir, OWNER, &keys(), None, OnLoss::Refuse)
}

fn id(index: u64) -> LogId {
    LogId { term: 1, node: 1, index }
}

fn entry(index: u64) -> (LogId, Bytes) {
    (id(index), Bytes::from(index.to_string()))
}

/// Appends entries, and waits until they are durable.
fn append_entries(log: &LogStore, entries: impl IntoIterator<Item = (LogId, Bytes)>) {
    let (sender, receiver) = mpsc::sync_channel(1);
    log.append(entries, Box::new(move |result| SyncSender::send(&sender, result).unwrap())).unwrap();
    receiver.recv().unwrap().unwrap();
}

fn append(log: &LogStore, range: Range<u64>) {
    append_entries(log, range.map(entry));
}

fn forgery(opened: Result<LogStore, LogOpenError>) -> Option<Forgery> {
    match opened.err() {
        Some(LogOpenError::Forged(Forged(forgery))) => Some(forgery),
        Some(other) => panic!("another failure: {other}"),
        None => None,
    }
}

/// The file with the last entries of the log.
fn last_file(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "wal")).max().unwrap()
}

#[test]
fn a_log_that_is_opened_again_has_all_durable_writes() {
    let dir = tempfile::tempdir().unwrap();
    {
        let log = open(dir.path());
        append(&log, 0..100);
        log.commit(id(90)).unwrap();
        log.truncate_after(Some(id(95))).unwrap();
        log.purge(id(10)).unwrap();
        log.save_vote(Vote { term: 7, ..VOTE }).unwrap();
        log.close();
    }
    let log = open_again(dir.path()).unwrap();
    let state = log.state().unwrap();
    assert_eq!((state.purged, state.last, state.committed), (Some(id(10)), Some(id(95)), Some(id(90))));
    assert_eq!(state.vote, Some(Vote { term: 7, ..VOTE }));
    assert_eq!(log.read(0..1000).unwrap(), (11..=95).map(entry).collect::<Vec<_>>());
    append(&log, 96..97);
    assert_eq!(log.read(95..97).unwrap(), [entry(95), entry(96)]);
}

#[test]
fn committed_entries_are_never_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, 0..10);
    log.commit(id(5)).unwrap();
    assert!(log.truncate_after(Some(id(4))).is_err());
    log.truncate_after(Some(id(5))).unwrap();
    // A snapshot goes further than the log.
    log.commit(id(50)).unwrap();
    assert_eq!(log.state().unwrap().committed, Some(id(5)));
}

#[test]
fn a_snapshot_beyond_the_end_begins_the_log_anew() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, 0..10);
    log.purge(id(50)).unwrap();
    append(&log, 51..53);
    log.close();
    let log = open_again(dir.path()).unwrap();
    assert_eq!((log.state().unwrap().purged, log.state().unwrap().last), (Some(id(50)), Some(id(52))));
    assert_eq!(log.read(0..99).unwrap(), [entry(51), entry(52)]);
    log.purge(id(52)).unwrap();
    log.purge(id(51)).unwrap();
    log.close();
    let state = open_again(dir.path()).unwrap().state().unwrap();
    assert_eq!((state.purged, state.last), (Some(id(52)), Some(id(52))));
}

#[test]
fn the_log_is_not_purged_where_it_has_another_entry() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, 0..10);
    assert!(log.purge(LogId { term: 2, ..id(5) }).is_err());
    assert_eq!(log.read(0..99).unwrap().len(), 10);
}

/// A node that lost its keystore takes the one of a peer. Its log may end with entries that were never committed.
#[test]
fn entries_that_differ_from_what_was_committed_make_room_for_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, 0..10);
    log.commit(id(4)).unwrap();
    log.make_room_for(id(7)).unwrap();
    assert_eq!(log.state().unwrap().last, Some(id(9)), "the log has that entry");
    assert_eq!(log.record().doubt(), None);
    let applied = LogId { term: 2, ..id(7) };
    log.make_room_for(applied).unwrap();
    assert_eq!(log.state().unwrap().last, Some(id(4)));
    assert!(log.record().doubt().is_some(), "a crash now must not make the node forget what it acknowledged");
    log.close();
    let log = LogStore::open(dir.path(), OWNER, &keys(), Some(applied), OnLoss::Refuse).unwrap();
    log.purge(applied).unwrap();
    assert_eq!(log.state().unwrap().last, Some(applied));
}

/// A leader of term 3 wrote the end of this log, and was replaced before that was committed. A leader of term 4 then
/// committed entries of term 2 at these places and beyond, and sends a snapshot.
#[test]
fn a_snapshot_takes_the_place_of_an_end_that_has_a_later_term() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, 0..10);
    log.commit(id(5)).unwrap();
    log.save_vote(Vote { term: 3, ..VOTE }).unwrap();
    append_entries(&log, (10..13).map(|index| (LogId { term: 3, ..id(index) }, Bytes::new())));
    log.save_vote(Vote { term: 4, ..VOTE }).unwrap();
    let applied = LogId { term: 2, ..id(50) };
    log.purge(applied).unwrap();
    assert_eq!((log.state().unwrap().purged, log.state().unwrap().last), (Some(applied), Some(applied)));
    assert_eq!(log.record().doubt(), None, "the node has the state at that position");
    log.close();
    let log = open_again(dir.path()).unwrap();
    let next = LogId { term: 4, ..id(51) };
    append_entries(&log, [(next, Bytes::new())]);
    log.commit(next).unwrap();
    log.close();
    let state = open_again(dir.path()).unwrap().state().unwrap();
    assert_eq!((state.purged, state.last, state.committed), (Some(applied), Some(next), Some(next)));
}

/// openraft takes a vote for a sign that what it appended before is durable.
#[test]
fn what_was_appended_before_a_vote_is_durable_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let (sender, durable) = mpsc::sync_channel(100);
    for index in 0..100 {
        let sender = sender.clone();
        log.append([entry(index)], Box::new(move |result| SyncSender::send(&sender, result).unwrap())).unwrap();
    }
    log.save_vote(Vote { term: 2, ..VOTE }).unwrap();
    assert_eq!(durable.try_iter().filter(Result::is_ok).count(), 100);
}

/// A truncation waits for the flushes before it, and then notes that less is flushed. If a flush noted its end later, the
/// record would name an entry that the log has lost.
#[test]
fn the_record_knows_of_a_flush_before_its_writers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let (sender, noted) = mpsc::sync_channel(1);
    let record = log.record().clone();
    let on_durable = move |_| SyncSender::send(&sender, record.facts(|facts| facts.flushed)).unwrap();
    log.append([entry(0)], Box::new(on_durable)).unwrap();
    assert_eq!(noted.recv().unwrap(), Some(id(0)));
}

#[test]
fn all_who_wait_learn_of_a_lost_flush_and_the_log_takes_no_more_writes() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, 0..1);
    let (sender, failed) = mpsc::sync_channel(2);
    let on_durable = || -> OnDurable {
        let sender = sender.clone();
        Box::new(move |result| SyncSender::send(&sender, result.is_err()).unwrap())
    };
    let flush = FlushUnderWay { begun: Instant::now(), last: Some(id(0)) };
    {
        let mut queue = log.log.queue.lock();
        (queue.under_way, queue.waiting) = (Some(flush), vec![on_durable()]);
    }
    let shared = Arc::downgrade(&log.log);
    drop(FlushCallback { log: shared, waiting: Some(vec![on_durable()]), flush });
    assert!(failed.recv().unwrap() && failed.recv().unwrap());
    assert!(log.append([entry(1)], on_durable()).is_err());
    assert!(log.save_vote(Vote { term: 9, ..VOTE }).is_err(), "a vote needs the log from before");
    assert_eq!(log.state().unwrap().vote, Some(VOTE));
    log.close();
}

/// A version that cannot read the last entries must not take them for an interrupted write.
#[test]
fn a_log_with_entries_of_another_format_is_not_opened_and_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, 0..3);
    log.close();
    let chunk = last_file(dir.path());
    let mut bytes = std::fs::read(&chunk).unwrap();
    // The payload of the last entry is `2`, its length 1, and its tag has 16 bytes.
    let at =
        bytes.windows(22).rposition(|window| window.starts_with(&[1, 0, 0, 0, 1]) && window.ends_with(b"2")).unwrap();
    bytes[at] = 2;
    std::fs::write(&chunk, &bytes).unwrap();
    let error = open_again(dir.path()).err().unwrap();
    assert!(error.to_string().contains("a log entry has format 2"), "{error}");
    assert_eq!(std::fs::read(&chunk).unwrap(), bytes);
}

#[test]
fn a_log_with_entries_of_a_newer_level_says_so_before_anything_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.raise_level(HIGHEST_LEVEL).unwrap();
    append(&log, 0..1);
    log.close();
    let log = open_again(dir.path()).unwrap();
    log.raise_level(HIGHEST_LEVEL + 1).unwrap();
    // Entries of a lower level may follow. The note stays.
    log.raise_level(LOWEST_LEVEL).unwrap();
    append(&log, 1..2);
    log.close();
    let Err(LogOpenError::Level(error)) = open_again(dir.path()) else { panic!("it is read") };
    assert!(matches!(error, UnreadableLevel::Newer { what: "the log", needed } if needed == HIGHEST_LEVEL + 1));
}

#[test]
fn a_closed_log_refuses_writes() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, 0..1);
    log.close();
    assert!(log.append([entry(1)], Box::new(drop)).is_err());
    assert!(log.save_vote(VOTE).is_err());
}

#[test]
fn an_attempt_that_was_interrupted_is_finished_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    open_again(dir.path()).err().expect("there is nothing to open");
    // The record is made first.
    let (owner, keys) = (OWNER, keys());
    drop(LogStore::create(dir.path(), owner, &keys, None).unwrap());
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let log = open(dir.path());
    append(&log, 0..1);
    log.close();
    assert_eq!(open(dir.path()).read(0..9).unwrap(), [entry(0)]);
}

#[test]
fn a_log_and_a_record_that_were_used_need_each_other() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close();
    let (record, log) = (dir.path().join("node.record"), dir.path().join("log"));
    let aside = dir.path().join("aside");
    let open_both = || [LogStore::create(dir.path(), OWNER, &keys(), None), open_again(dir.path())].map(Result::err);
    std::fs::rename(&record, &aside).unwrap();
    assert!(open_both().iter().all(|error| matches!(error, Some(LogOpenError::WithoutRecord))));
    std::fs::rename(&aside, &record).unwrap();
    std::fs::rename(&log, &aside).unwrap();
    assert!(open_both().iter().all(|error| matches!(error, Some(LogOpenError::WithoutLog))));
    std::fs::remove_dir_all(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    open_again(dir.path()).unwrap();
}
