//! Tests of the keystore: opening it again, damage, snapshots.

use prost::Message;

use super::*;
use crate::crypto::Cipher;
use crate::policy::{Author, KeyName};
use crate::state::{
    Change, ClusterId, ClusterState, CreationId, IncarnationId, KeyRecord, Outcome, Remembered, RequestId,
};
use crate::store::{
    FoundKeystore, LogStore, OpenError, ReadError, SnapshotHeader, Snapshots, Store, StoreId, WrittenLevel,
};

use crate::store::doubt::OnLoss;
use crate::store::testing::tags;
use crate::test_vectors::store_keys;

mod at_rest;
mod clean_up;
mod forged;
mod forged_snapshots;
mod in_memory;
mod levels;
mod waiting;

const OWNER: Owner = Owner { store_id: StoreId([5; 16]), node_id: 1 };

fn id(index: u64) -> LogId {
    LogId { term: 1, node: 1, index }
}

/// What `state` decides for the cluster's first command.
fn initialised() -> Change {
    let cluster = ClusterState {
        id: ClusterId([1; 16]),
        incarnation: IncarnationId([2; 16]),
        secrets: crate::test_vectors::no_secrets(),
        level: 1,
        ring: Vec::new(),
        active_ring_version: 1,
        time_ns: 0,
        created_at: None,
        seals: Vec::new(),
        last_ring_version: 0,
        ring_notes: Vec::new(),
    };
    Change::SetCluster(cluster.into_stored())
}

fn created(name: &str, creation: u64) -> Change {
    record_put(name, 1, 1, creation)
}

fn record_put(name: &str, version: u32, ring_version: u32, creation: u64) -> Change {
    let mut creation_id = [0; 16];
    creation_id[..8].copy_from_slice(&creation.to_be_bytes());
    let record = KeyRecord {
        creation_id: CreationId(creation_id),
        version,
        cipher: Cipher::Aes256,
        disabled: false,
        ring_version,
        author: Author::default(),
        last_used: None,
        delete_at: None,
        sealed: vec![7; 108],
    };
    Change::PutKey { name: name.to_owned(), version, record: record.encode().into(), revokes: false }
}

fn deleted(name: &str) -> Change {
    Change::RemoveKey { name: name.to_owned() }
}

/// Applies a change, as the state machine does for a command.
fn apply_change(keystore: &mut Keystore, index: u64, change: Change) {
    let mut request_id = [0; 16];
    request_id[..8].copy_from_slice(&index.to_be_bytes());
    keystore.change(index, vec![change]);
    keystore.remember(Remembered { request_id: RequestId(request_id), index, outcome: Outcome::Done.into() });
    keystore.advance(id(index));
}

fn open(dir: &std::path::Path) -> Store {
    Store::create(dir, OWNER, &store_keys(ClusterId([1; 16]))).unwrap()
}

fn whole(found: FoundKeystore) -> Keystore {
    match found {
        FoundKeystore::Whole(keystore) => keystore,
        FoundKeystore::Rebuilt { damage, .. } | FoundKeystore::NeedsPeer { damage } => panic!("not whole: {damage}"),
    }
}

/// A keystore with keys made, deleted and made again, over several batches.
fn filled(store: Store, last: u64) -> (LogStore, Snapshots, Keystore) {
    let mut keystore = whole(store.keystore);
    apply_change(&mut keystore, 1, initialised());
    for index in 2..=last {
        let name = format!("key-{}", index % 50);
        let known = keystore.view.newest(KeyName::parse(&name).unwrap()).is_some();
        apply_change(&mut keystore, index, if known { deleted(&name) } else { created(&name, index) });
        if index % 7 == 0 {
            keystore.commit();
        }
    }
    keystore.commit();
    (store.log, store.snapshots, keystore)
}

fn names(keystore: &Keystore) -> Vec<String> {
    keystore.view.names(crate::policy::Prefix::parse("").unwrap(), None, 1000)
}

#[test]
fn what_was_applied_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, keystore) = filled(open(dir.path()), 300);
    let (applied, expected) = (keystore.applied.clone(), names(&keystore));
    keystore.checkpoint().run().unwrap();
    drop(keystore);
    log.close();
    let again = whole(open(dir.path()).keystore);
    assert_eq!((again.applied.clone(), names(&again)), (applied, expected));
    assert!(!dir.path().join("keystore/OPENING").exists());
}

#[test]
fn a_keystore_that_lost_what_was_durable_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, keystore) = filled(open(dir.path()), 30);
    keystore.checkpoint().run().unwrap();
    let durable = keystore.staging.folder().path.join("DURABLE");
    drop(keystore);
    log.close();
    let further = Applied { last: Some(id(31)), key_version: 1, ..Applied::default() };
    std::fs::write(durable, KeystorePosition::of(further, b"").encode(&tags())).unwrap();
    let FoundKeystore::Rebuilt { damage, .. } = open(dir.path()).keystore else { panic!("it is not whole") };
    assert!(matches!(damage, Damage::Disagreement { what: "applied index", .. }), "{damage}");
}

/// Reading a folder as if it were a file fails, as reading does on a disk that failed.
fn make_unreadable(file: &std::path::Path) {
    std::fs::remove_file(file).unwrap();
    std::fs::create_dir(file).unwrap();
}

fn open_again(dir: &std::path::Path) -> Result<Store, OpenError> {
    Store::open(dir, OWNER, &store_keys(ClusterId([1; 16])), OnLoss::Refuse)
}

/// The crash came between the installing of a snapshot and the purge of the log. The log ends with entries of a later term
/// that were never committed, so it seems to be newer than the keystore.
#[test]
fn entries_that_an_installed_snapshot_leaves_no_room_for_are_dropped_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, mut keystore) = filled(open(dir.path()), 1);
    log.save_vote(crate::store::Vote { term: 3, node: 1, committed: true }).unwrap();
    log.append((0..9).map(|index| (LogId { term: 3, ..id(index) }, Bytes::new())), Box::new(|_| {})).unwrap();
    keystore.advance(LogId { term: 2, ..id(50) });
    keystore.commit();
    keystore.checkpoint().run().unwrap();
    drop(keystore);
    log.close();
    let store = open_again(dir.path()).unwrap();
    assert_eq!((store.log.state().unwrap().last, whole(store.keystore).last_applied().unwrap().index), (None, 50));
}

/// The crash came after a snapshot had arrived. openraft would install it at the start, and then find a log that ends in
/// other entries.
#[test]
fn entries_that_a_received_snapshot_leaves_no_room_for_are_dropped_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, mut keystore) = filled(open(dir.path()), 1);
    keystore.checkpoint().run().unwrap();
    log.save_vote(crate::store::Vote { term: 4, node: 1, committed: true }).unwrap();
    let of_term = |index| LogId { term: if index > 1 { 3 } else { 1 }, ..id(index) };
    log.append((0..9).map(|index| (of_term(index), Bytes::new())), Box::new(|_| {})).unwrap();
    log.commit(id(1)).unwrap();
    keystore.advance(LogId { term: 4, ..id(5) });
    keystore.begin_snapshot().run(&snapshots).unwrap();
    drop(keystore);
    log.close();
    let store = open_again(dir.path()).unwrap();
    assert_eq!(store.log.state().unwrap().last, Some(id(1)));
    assert_eq!(whole(store.keystore).last_applied(), Some(id(1)));
}

#[test]
fn a_failure_of_the_file_system_is_never_taken_for_a_damaged_keystore() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, keystore) = filled(open(dir.path()), 30);
    keystore.checkpoint().run().unwrap();
    let durable = keystore.staging.folder().path.join("DURABLE");
    let content = std::fs::read(&durable).unwrap();
    drop(keystore);
    log.close();
    make_unreadable(&durable);
    // However often that happens, it does not count as a crash while opening.
    for _ in 0..4 {
        let store = open_again(dir.path()).unwrap();
        let keystore = whole(store.keystore);
        assert!(keystore.checkpoint().is_memory_only() && names(&keystore).is_empty(), "the log has everything");
        store.log.close();
    }
    assert!(durable.is_dir());
    std::fs::remove_dir(&durable).unwrap();
    std::fs::write(&durable, content).unwrap();
    whole(open_again(dir.path()).unwrap().keystore);
}

/// sled's own threads may close the folder later than its last user, above all on a busy machine.
#[test]
fn a_keystore_that_is_still_being_closed_is_not_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, keystore) = filled(open(dir.path()), 30);
    keystore.checkpoint().run().unwrap();
    log.close();
    let closing = std::thread::spawn(move || {
        std::thread::park_timeout(std::time::Duration::from_millis(300));
        drop(keystore);
    });
    whole(open_again(dir.path()).unwrap().keystore);
    closing.join().unwrap();
}

#[test]
fn a_wrong_state_comes_from_a_peer_and_never_from_the_nodes_own_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, mut keystore) = filled(open(dir.path()), 30);
    let own = keystore.begin_snapshot().run(&snapshots).unwrap();
    keystore.checkpoint().run().unwrap();
    keystore.checkpoint().mark_wrong().unwrap();
    // A leader may send a snapshot before the node has ended. The node's own snapshots are still there then.
    keystore.install(&own).unwrap();
    drop(keystore);
    log.close();
    for file in ["LEVEL", "WRONG"].map(|name| dir.path().join("keystore").join(name)) {
        let content = std::fs::read(&file).unwrap();
        make_unreadable(&file);
        assert!(matches!(open_again(dir.path()), Err(OpenError::Io(_))));
        std::fs::remove_dir(&file).unwrap();
        std::fs::write(&file, content).unwrap();
    }
    let peers = dir.path().join("peers");
    std::fs::copy(&own.path, &peers).unwrap();
    let needs_peer = || {
        let store = open_again(dir.path()).unwrap();
        assert!(matches!(store.keystore, FoundKeystore::NeedsPeer { .. }));
        assert_eq!(store.snapshots.newest().unwrap(), None);
        store
    };
    // It may take several starts until a peer answers.
    for _ in 0..2 {
        needs_peer().log.close();
    }
    let receive = |store: &Store| {
        let received = dir.path().join("received");
        std::fs::copy(&peers, &received).unwrap();
        store.snapshots.accept(&received, None).unwrap()
    };
    // After a crash here, nothing says any more that this snapshot came from a peer.
    let store = needs_peer();
    receive(&store);
    store.log.close();
    let store = needs_peer();
    let received = receive(&store);
    drop(Store::rebuild_from(dir.path(), &store.snapshots, &received).unwrap());
    store.log.close();
    assert_eq!(names(&whole(open_again(dir.path()).unwrap().keystore)).len(), 29);
}

#[test]
fn a_failure_of_the_file_system_is_never_taken_for_a_damaged_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, keystore) = filled(open(dir.path()), 30);
    let snapshot = keystore.begin_snapshot().run(&snapshots).unwrap();
    drop(keystore);
    log.close();
    std::fs::remove_dir_all(dir.path().join("keystore")).unwrap();
    make_unreadable(&snapshot.path);
    assert_eq!(snapshots.newest().unwrap(), None);
    assert!(matches!(open_again(dir.path()), Err(OpenError::Io(_))));
    assert!(snapshot.path.is_dir());
}

#[test]
fn a_snapshot_whose_header_does_not_describe_it_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, snapshots, mut keystore) = filled(open(dir.path()), 1);
    let header = keystore.begin_snapshot().header().clone();
    let mut ring_versions = header.ring_versions.clone();
    ring_versions.add_version(9);
    for wrong in [
        SnapshotHeader { cluster_id: Some(ClusterId([9; 16])), ..header.clone() },
        SnapshotHeader { cluster_id: None, ..header.clone() },
        SnapshotHeader { level: WrittenLevel { level: 2, lowest_reader: 1 }, ..header.clone() },
        SnapshotHeader { ring_versions, ..header.clone() },
    ] {
        let written = keystore.begin_snapshot().with_header(wrong).run(&snapshots).unwrap();
        let installed = keystore.install(&written);
        assert!(matches!(installed, Err(ReadError::Damaged(Damage::Disagreement { .. }))), "{installed:?}");
        let accepted = snapshots.accept(&written.path, None);
        assert!(matches!(accepted, Err(ReadError::Damaged(Damage::Disagreement { .. }))), "{accepted:?}");
    }
    let written = keystore.begin_snapshot().run(&snapshots).unwrap();
    keystore.install(&written).unwrap();
}

#[test]
fn a_snapshot_ends_with_a_tag_that_its_receiver_replaces() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, snapshots, keystore) = filled(open(dir.path()), 30);
    let snapshot = keystore.begin_snapshot().run(&snapshots).unwrap();
    let bytes = std::fs::read(&snapshot.path).unwrap();
    let longer = [&bytes[..], b"x"].concat();
    for damaged in [&bytes[..bytes.len() - 1], &bytes[..bytes.len() - 33], &longer] {
        std::fs::write(&snapshot.path, damaged).unwrap();
        assert!(matches!(snapshots.accept(&snapshot.path, None), Err(ReadError::Damaged(_))));
    }
    // The sender's tag says nothing to the receiver.
    let tagged = [&bytes[..bytes.len() - 32], &[7; 32]].concat();
    std::fs::write(&snapshot.path, tagged).unwrap();
    assert_eq!(snapshots.newest().unwrap(), None);
    assert_eq!(snapshots.accept(&snapshot.path, None).unwrap(), snapshot);
    assert_eq!(std::fs::read(&snapshot.path).unwrap(), bytes);
    let other = Some(ClusterId([9; 16]));
    assert!(matches!(snapshots.accept(&snapshot.path, other), Err(ReadError::Damaged(_))));
}

/// The keystore counts as it changes, and again when it opens. Both must agree with the records.
#[test]
fn the_counts_of_ring_versions_stay_those_of_the_records() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, mut snapshots, mut keystore) = filled(open(dir.path()), 1);
    for round in 0..6 {
        for _ in 0..200 {
            let index = keystore.applied.last.unwrap().index + 1;
            let name = format!("key-{}", rand::random_range(0..20));
            let (version, ring_version) = (rand::random_range(1..4), rand::random_range(1..5));
            let change = if rand::random_range(0..3) == 0 {
                deleted(&name)
            } else {
                record_put(&name, version, ring_version, index)
            };
            apply_change(&mut keystore, index, change);
        }
        keystore.commit();
        assert_eq!(keystore.ring_versions, recounted(&keystore), "{round}");
        let built = keystore.begin_snapshot().run(&snapshots).unwrap();
        assert_eq!(snapshots.newest().unwrap().unwrap().header.ring_versions, keystore.ring_versions);
        if round % 2 == 0 {
            keystore.install(&built).unwrap();
        } else {
            keystore.checkpoint().run().unwrap();
            drop(keystore);
            log.close();
            let store = open(dir.path());
            (log, snapshots, keystore) = (store.log, store.snapshots, whole(store.keystore));
        }
        assert_eq!(keystore.ring_versions, recounted(&keystore), "{round}");
    }
}

/// Counts the records one by one.
fn recounted(keystore: &Keystore) -> RecordsPerRingVersion {
    let mut counted = RecordsPerRingVersion::default();
    for name in names(keystore) {
        let name = KeyName::parse(&name).unwrap();
        for record in (1..4).filter_map(|version| keystore.view.record(name, version)) {
            counted.add_version(KeyRecord::decode(&record).unwrap().ring_version);
        }
    }
    counted
}

#[test]
fn a_snapshot_taken_while_applying_holds_the_state_at_its_position() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, snapshots, mut keystore) = filled(open(dir.path()), 500);
    let (applied, expected) = (keystore.applied.clone(), names(&keystore));
    let build = keystore.begin_snapshot();
    for index in 501..=600 {
        apply_change(&mut keystore, index, created(&format!("later-{index}"), index));
    }
    for name in &expected {
        let index = keystore.applied.last.unwrap().index + 1;
        apply_change(&mut keystore, index, deleted(name));
    }
    keystore.commit();
    let snapshot = build.run(&snapshots).unwrap();
    assert_eq!(snapshots.newest().unwrap().unwrap(), snapshot);
    keystore.install(&snapshot).unwrap();
    assert_eq!((keystore.applied.clone(), names(&keystore)), (applied, expected));
}

#[test]
fn a_damaged_keystore_is_noticed_and_rebuilt_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, keystore) = filled(open(dir.path()), 400);
    let expected = names(&keystore);
    keystore.begin_snapshot().run(&snapshots).unwrap();
    keystore.checkpoint().run().unwrap();
    let db = keystore.staging.folder().path.join("db");
    drop(keystore);
    log.close();
    let mut bytes = std::fs::read(&db).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    (0..64).for_each(|i| bytes[(i * 7919 + 13) % written] ^= 0x5a);
    std::fs::write(&db, bytes).unwrap();
    match open(dir.path()).keystore {
        FoundKeystore::Rebuilt { keystore, aside, .. } => {
            assert_eq!(names(&keystore), expected);
            assert!(aside.unwrap().is_dir());
        }
        FoundKeystore::Whole(keystore) => assert_eq!(names(&keystore), expected),
        FoundKeystore::NeedsPeer { damage } => panic!("a snapshot was there: {damage}"),
    }
}

#[test]
fn no_value_goes_to_a_file_that_is_never_synced() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, _, keystore) = filled(open(dir.path()), 200);
    let folder = keystore.staging.folder();
    folder.db.insert(b"k-largest", vec![1u8; 64 * 1024]).unwrap();
    folder.sync().unwrap();
    let blobs = folder.path.join("blobs");
    assert!(!blobs.exists() || std::fs::read_dir(blobs).unwrap().next().is_none());
}

#[test]
fn a_keystore_without_its_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, keystore) = filled(open(dir.path()), 10);
    drop(keystore);
    log.close();
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    assert!(matches!(open_again(dir.path()), Err(OpenError::KeystoreWithoutLog)));
    assert!(matches!(
        Store::create(dir.path(), OWNER, &store_keys(ClusterId([1; 16]))),
        Err(OpenError::KeystoreWithoutLog)
    ));
}

#[test]
fn a_store_of_another_owner_or_another_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, keystore) = filled(open(dir.path()), 10);
    keystore.checkpoint().run().unwrap();
    drop(keystore);
    log.close();
    let other = Owner { node_id: 2, ..OWNER };
    for (owner, cluster) in [(other, 1), (OWNER, 2)] {
        let keys = store_keys(ClusterId([cluster; 16]));
        let opened = Store::open(dir.path(), owner, &keys, OnLoss::Refuse).map(drop);
        assert!(matches!(opened, Err(OpenError::ClusterFile(_))), "{opened:?}");
    }
}
