//! The vectors of a log folder and of node records: reading them, and writing them again.

use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;

use super::log_types::{LogId, Vote};
use super::{Doubt, LogStore, NodeRecord, Noting, OnLoss, Owner, StartId, StoreId};
use crate::test_vectors::{CLUSTER, STORE, compare, file_text, folder_text, make_files, read, read_json, store_keys};

const OWNER: Owner = Owner { store_id: StoreId(STORE), node_id: 2 };
const VOTE: Vote = Vote { term: 3, node: 2, committed: true };

#[derive(Deserialize)]
struct EntryVector {
    index: u64,
    payload: String,
}

fn position(term: u64, index: u64) -> LogId {
    LogId { term, node: 2, index }
}

/// The first entries of the vectors of entries.
fn entries() -> Vec<(LogId, Bytes)> {
    let entries: Vec<EntryVector> = read_json("entries.json");
    let bytes = |entry: &EntryVector| Bytes::from(hex::decode(&entry.payload).expect("hexadecimal"));
    entries.iter().take(4).map(|entry| (position(3, entry.index), bytes(entry))).collect()
}

/// Writes a log with every kind of record. It begins after a snapshot.
fn write(dir: &Path) {
    let log = LogStore::create(dir, OWNER, &store_keys(CLUSTER), None).expect("an empty folder opens");
    log.save_vote(VOTE).expect("the disk takes it");
    log.purge(position(3, 9)).expect("the disk takes it");
    let (first, last) = (entries(), entries().pop().expect("some entries"));
    log.append(first, Box::new(drop)).expect("the disk takes it");
    log.commit(position(3, 11)).expect("the disk takes it");
    log.truncate_after(Some(position(3, 12))).expect("the disk takes it");
    log.save_vote(Vote { term: 4, ..VOTE }).expect("the disk takes it");
    log.append([(position(4, 13), last.1)], Box::new(drop)).expect("the disk takes it");
    log.purge(position(3, 10)).expect("the disk takes it");
    log.record().begin_start([0x5a; 16]).expect("the disk takes it");
    log.record().mark_spoken().expect("the disk takes it");
    let peer_start = StartId { number: 3, random: [0x5b; 16] };
    let noted = log.record().note_peer_start(StoreId([0x51; 16]), peer_start, None, 1_800_000_000);
    assert_eq!(noted.expect("the disk takes it"), Noting::Changed);
    log.close();
}

#[test]
fn the_vector_of_a_log_is_what_this_version_writes() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path());
    compare("log.txt", &folder_text(dir.path()));
}

#[test]
fn the_vector_of_a_log_can_be_read() {
    let dir = tempfile::tempdir().expect("a folder");
    make_files(&read("log.txt"), dir.path());
    let log =
        LogStore::open(dir.path(), OWNER, &store_keys(CLUSTER), None, OnLoss::Refuse).expect("a log of this level");
    let state = log.state().expect("it is open");
    assert_eq!((state.purged, state.last), (Some(position(3, 10)), Some(position(4, 13))));
    assert_eq!((state.vote, state.committed), (Some(Vote { term: 4, ..VOTE }), Some(position(3, 11))));
    let mut expected = entries().split_off(1);
    expected[2].0 = position(4, 13);
    assert_eq!(log.read(0..99).expect("it is open"), expected);
    let starts = log.record().starts(Clone::clone);
    assert_eq!((starts.current().map(|start| start.number), starts.has_spoken()), (Some(1), true));
    assert_eq!(starts.noted_of(StoreId([0x51; 16])).map(|noted| noted.at), Some(1_800_000_000));
    log.close();
}

#[test]
fn the_vector_of_a_record_in_doubt_is_what_this_version_writes() {
    let dir = tempfile::tempdir().expect("a folder");
    make_files(&read("log.txt"), dir.path());
    std::fs::remove_dir_all(dir.path().join("log")).expect("the folder is there");
    let log =
        LogStore::open(dir.path(), OWNER, &store_keys(CLUSTER), None, OnLoss::Doubt).expect("it goes on in doubt");
    log.close();
    compare("node_record_in_doubt.txt", &file_text(&dir.path().join("node.record"), "node.record"));
}

#[test]
fn the_vector_of_a_record_in_doubt_can_be_read() {
    let dir = tempfile::tempdir().expect("a folder");
    make_files(&read("node_record_in_doubt.txt"), dir.path());
    let record = NodeRecord::open(dir.path(), OWNER.store_id, store_keys(CLUSTER).integrity).expect("of this level");
    let record = record.expect("the file is there");
    assert_eq!(record.doubt(), Some(Doubt { flushed: Some(position(4, 13)) }));
    assert_eq!(record.vote(), Some(Vote { term: 4, ..VOTE }));
}
