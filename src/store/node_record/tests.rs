//! Tests of the node record: crashes between any two bytes of a write, damage, forgery, and writes that share a flush.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::store::forged::{Forged, Forgery};
use crate::store::level::UnreadableLevel;
use crate::store::record_file::RECORD_FILE;

const STORE: StoreId = StoreId([3; 16]);
const SLOT_BYTES: usize = 64 * 1024;

fn keys() -> IntegrityKeys {
    IntegrityKeys::of_bytes(1, [9; 32])
}

fn id(index: u64) -> LogId {
    LogId { term: 1, node: 1, index }
}

fn anchor(index: u64) -> Anchor {
    Anchor { position: Some(id(index)), tag: [5; 16], key_version: 1 }
}

fn vote(term: u64) -> Vote {
    Vote { term, node: 2, committed: false }
}

fn create(dir: &Path) -> NodeRecord {
    NodeRecord::create(dir, STORE, keys(), anchor(0)).unwrap()
}

fn open(dir: &Path) -> Result<NodeRecord, LogOpenError> {
    NodeRecord::open(dir, STORE, keys()).map(|record| record.expect("the file is there"))
}

fn facts(dir: &Path) -> RecordFacts {
    open(dir).unwrap().facts(Clone::clone)
}

fn path(dir: &Path) -> PathBuf {
    dir.join(RECORD_FILE)
}

#[test]
fn facts_come_back_and_the_file_keeps_its_size() {
    let dir = tempfile::tempdir().unwrap();
    assert!(NodeRecord::open(dir.path(), STORE, keys()).unwrap().is_none());
    let record = create(dir.path());
    assert!(!record.facts(RecordFacts::are_unused), "its anchor has a position");
    record.save_vote(vote(4)).unwrap();
    record.move_anchor(anchor(7)).unwrap();
    record.begin_start([1; 16]).unwrap();
    record.mark_spoken().unwrap();
    record.note_flushed(Some(id(8)));
    assert!(record.is_behind(), "a start must find a log that is shorter than it was");
    record.write_progress().unwrap();
    assert!(!record.is_behind());
    record.note_flushed(Some(id(9)));
    record.note_committed(id(12));
    record.write_progress().unwrap();
    let found = facts(dir.path());
    assert_eq!((found.vote, found.anchor), (Some(vote(4)), anchor(7)));
    assert_eq!((found.flushed, found.committed), (Some(id(9)), Some(id(9))), "no further than the log is durable");
    assert!(found.starts.has_spoken());
    let metadata = path(dir.path()).metadata().unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, 2 * SLOT_BYTES as u64));
}

#[tokio::test]
async fn the_task_that_writes_progress_sleeps_until_there_is_some() {
    let dir = tempfile::tempdir().unwrap();
    let record = create(dir.path());
    let falls_behind = || Box::pin(record.falls_behind());
    assert!(futures::poll!(falls_behind()).is_pending());
    let mut waiting = falls_behind();
    assert!(futures::poll!(&mut waiting).is_pending());
    record.note_flushed(Some(id(8)));
    assert!(futures::poll!(waiting).is_ready() && futures::poll!(falls_behind()).is_ready());
    record.write_progress().unwrap();
    assert!(futures::poll!(falls_behind()).is_pending());
    record.note_committed(id(8));
    record.write_progress().unwrap();
    record.note_committed(id(9));
    assert!(futures::poll!(falls_behind()).is_pending(), "the log is not durable up to there");
}

#[test]
fn a_vote_survives_a_crash_in_a_later_write_and_the_damage_of_either_slot() {
    let dir = tempfile::tempdir().unwrap();
    let record = create(dir.path());
    record.save_vote(vote(4)).unwrap();
    let before = fs::read(path(dir.path())).unwrap();
    record.note_flushed(Some(id(3)));
    record.note_committed(id(3));
    record.write_progress().unwrap();
    let after = fs::read(path(dir.path())).unwrap();
    for slot in [0, SLOT_BYTES] {
        for content in [&before, &after] {
            let mut damaged = content.clone();
            damaged[slot + 40] ^= 1;
            fs::write(path(dir.path()), damaged).unwrap();
            assert_eq!(facts(dir.path()).vote, Some(vote(4)));
        }
    }
    let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    for cut in changed[0]..=changed[changed.len() - 1] {
        for torn in [[&after[..cut], &before[cut..]].concat(), [&before[..cut], &after[cut..]].concat()] {
            fs::write(path(dir.path()), torn).unwrap();
            assert_eq!(facts(dir.path()).vote, Some(vote(4)), "cut at {cut}");
        }
    }
}

#[test]
fn a_write_that_is_cut_leaves_the_old_vote_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let record = create(dir.path());
    record.save_vote(vote(4)).unwrap();
    let before = fs::read(path(dir.path())).unwrap();
    record.save_vote(vote(5)).unwrap();
    let after = fs::read(path(dir.path())).unwrap();
    // The write to the first slot, and then that to the second one.
    for (old, new) in [
        ([&before[..]].concat(), [&after[..SLOT_BYTES], &before[SLOT_BYTES..]].concat()),
        ([&after[..SLOT_BYTES], &before[SLOT_BYTES..]].concat(), after.clone()),
    ] {
        for cut in (0..old.len()).filter(|at| old[*at] != new[*at]) {
            fs::write(path(dir.path()), [&new[..cut], &old[cut..]].concat()).unwrap();
            let found = facts(dir.path()).vote;
            assert!(found == Some(vote(4)) || found == Some(vote(5)), "cut at {cut}: {found:?}");
        }
    }
}

#[test]
fn what_the_node_found_is_in_both_slots_before_it_acts_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let record = create(dir.path());
    record.save_vote(vote(4)).unwrap();
    // A crash came between the two slots of a vote: only one of them has it.
    let before = fs::read(path(dir.path())).unwrap();
    record.save_vote(vote(5)).unwrap();
    let after = fs::read(path(dir.path())).unwrap();
    for half in
        [[&after[..SLOT_BYTES], &before[SLOT_BYTES..]].concat(), [&before[..SLOT_BYTES], &after[SLOT_BYTES..]].concat()]
    {
        fs::write(path(dir.path()), &half).unwrap();
        let record = open(dir.path()).unwrap();
        let found = record.facts(|facts| facts.vote);
        record.settle().unwrap();
        let whole = fs::read(path(dir.path())).unwrap();
        for slot in [0, SLOT_BYTES] {
            let mut damaged = whole.clone();
            damaged[slot + 40] ^= 1;
            fs::write(path(dir.path()), damaged).unwrap();
            assert_eq!(facts(dir.path()).vote, found);
        }
    }
}

#[test]
fn a_record_of_another_store_or_key_or_with_a_changed_fact_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path()).save_vote(vote(4)).unwrap();
    let forged = |opened: Result<Option<NodeRecord>, LogOpenError>| match opened.err() {
        Some(LogOpenError::Forged(Forged(forgery))) => Some(forgery),
        _ => None,
    };
    let other_store = NodeRecord::open(dir.path(), StoreId([4; 16]), keys());
    assert_eq!(forged(other_store), Some(Forgery::RecordTag));
    let other_key = NodeRecord::open(dir.path(), STORE, IntegrityKeys::of_bytes(1, [8; 32]));
    assert_eq!(forged(other_key), Some(Forgery::RecordTag));
    let other_version = NodeRecord::open(dir.path(), STORE, IntegrityKeys::of_bytes(2, [9; 32]));
    assert_eq!(forged(other_version), Some(Forgery::RecordTag));
    // Somebody who makes the checksum right, too.
    let content = fs::read(path(dir.path())).unwrap();
    let resealed = crate::store::record_file::reseal_newest(&content, |body| body.vote = None);
    fs::write(path(dir.path()), resealed).unwrap();
    assert_eq!(forged(open(dir.path()).map(Some)), Some(Forgery::RecordTag));
    fs::write(path(dir.path()), [7; 100]).unwrap();
    assert_eq!(forged(open(dir.path()).map(Some)), Some(Forgery::Record));
    fs::write(path(dir.path()), []).unwrap();
    assert_eq!(forged(open(dir.path()).map(Some)), Some(Forgery::Record));
}

#[test]
fn a_record_of_a_newer_version_is_not_damaged() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path());
    let content = fs::read(path(dir.path())).unwrap();
    let frame = |format, level| {
        let slot = crate::store::slot::SlotFrame { file: "node.record", magic: b"KEYRAFT NODE RECORD", format };
        crate::store::slot::with_tag(&slot.before_tag(level, 9, b"anything"), &[0; 32])
    };
    for (format, level) in [(2, 1), (1, 99)] {
        let newer = frame(format, level);
        let mut changed = content.clone();
        changed[SLOT_BYTES..SLOT_BYTES + newer.len()].copy_from_slice(&newer);
        fs::write(path(dir.path()), &changed).unwrap();
        let error = open(dir.path()).err().unwrap();
        assert!(matches!(error, LogOpenError::Level(UnreadableLevel::Format { .. } | UnreadableLevel::Newer { .. })));
        assert_eq!(fs::read(path(dir.path())).unwrap(), changed);
    }
}

#[test]
fn a_vote_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let record = create(dir.path());
    record.save_vote(vote(4)).unwrap();
    assert!(record.save_vote(vote(3)).is_err());
    record.save_vote(vote(4)).unwrap();
    assert_eq!(facts(dir.path()).vote, Some(vote(4)));
}

#[test]
fn a_change_that_is_durable_already_costs_no_write() {
    let dir = tempfile::tempdir().unwrap();
    let record = create(dir.path());
    let peer = StoreId([8; 16]);
    record.begin_start([1; 16]).unwrap();
    record.mark_spoken().unwrap();
    let start = StartId { number: 7, random: [2; 16] };
    assert_eq!(record.note_peer_start(peer, start, None, 1).unwrap(), Noting::Changed);
    let written = fs::read(path(dir.path())).unwrap();
    assert_eq!(record.note_peer_start(peer, start, Some(start), 2).unwrap(), Noting::Known);
    let older = StartId { number: 6, random: [2; 16] };
    assert_eq!(record.note_peer_start(peer, older, Some(start), 2).unwrap(), Noting::Superseded);
    record.mark_spoken().unwrap();
    record.write_progress().unwrap();
    assert_eq!(fs::read(path(dir.path())).unwrap(), written);
    assert_eq!(facts(dir.path()).starts, record.starts(Clone::clone));
}

#[test]
fn a_peer_whose_start_is_noted_waits_for_no_write_of_another_thread() {
    let dir = tempfile::tempdir().unwrap();
    let record = create(dir.path());
    let (peer, start) = (StoreId([8; 16]), StartId { number: 1, random: [7; 16] });
    record.begin_start([1; 16]).unwrap();
    record.mark_spoken().unwrap();
    assert_eq!(record.note_peer_start(peer, start, None, 1).unwrap(), Noting::Changed);
    let (sender, noted) = mpsc::sync_channel(1);
    let other = record.clone();
    // As while a write waits for a disk that stalls.
    let writing = record.shared.file.lock();
    std::thread::spawn(move || {
        other.mark_spoken().unwrap();
        sender.send(other.note_peer_start(peer, start, Some(start), 2).unwrap()).unwrap();
    });
    assert_eq!(noted.recv_timeout(Duration::from_secs(60)), Ok(Noting::Known), "the node takes the connection");
    drop(writing);
}

#[test]
fn threads_that_note_at_the_same_time_all_find_their_notes_durable() {
    let dir = tempfile::tempdir().unwrap();
    let record = create(dir.path());
    let start = |number| StartId { number, random: [1; 16] };
    let note = |peer: StoreId| {
        for number in 1..=20 {
            let said = record.starts(|starts| starts.noted_of(peer)).map(|noted| noted.start);
            assert_eq!(record.note_peer_start(peer, start(number), said, 1).unwrap(), Noting::Changed);
            // Either slot alone has the note.
            let file = record.shared.file.lock();
            assert!(file.changes_in_both() > 0);
            assert!(facts(dir.path()).starts.noted_of(peer).unwrap().start.number >= number);
        }
    };
    std::thread::scope(|scope| {
        for peer in 0..8 {
            scope.spawn(move || note(StoreId([peer; 16])));
        }
    });
    assert!((0..8).all(|peer| facts(dir.path()).starts.noted_of(StoreId([peer; 16])).unwrap().start == start(20)));
}

#[test]
fn a_record_with_all_starts_that_a_node_remembers_is_written_in_one_block() {
    let dir = tempfile::tempdir().unwrap();
    let record = create(dir.path());
    for number in 0..100 {
        record.shared.current.lock().facts.starts.begin([number; 16]);
        record.shared.current.lock().facts.starts.speak();
        let start = StartId { number: 1 << 40, random: [9; 16] };
        record.shared.current.lock().facts.starts.note(StoreId([number % 7; 16]), start, None, 1 << 33);
    }
    record.begin_start([255; 16]).unwrap();
    assert_eq!(facts(dir.path()).starts, record.starts(Clone::clone));
    let content = fs::read(path(dir.path())).unwrap();
    let written = content[..SLOT_BYTES].iter().rposition(|byte| *byte != 0).unwrap();
    assert!(written < 4096, "{written}");
}
