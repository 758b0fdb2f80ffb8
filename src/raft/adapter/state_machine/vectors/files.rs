//! The vectors of the files that hold the state after the log: a snapshot, a keystore folder, and `cluster.id`.

use std::fs;

use super::{EntryVector, StateMachine, StateVector, applied, before, hex_pairs, log, position};
use crate::crypto::IntegrityKeys;
use crate::raft::protocol::membership::encode_membership;
use crate::store::{CLUSTER_FILE, ClusterFacts, ClusterFile, Founding, FoundingStage, Keystore, Owner, StoreId};
use crate::test_vectors::{
    CLUSTER, STORE, TIME_NS, cluster, compare, compare_parts, file_text, folder_text, is_rewriting, make_files, read,
    read_json, read_parts, store_keys,
};

fn after() -> (tempfile::TempDir, StateMachine) {
    let (dir, mut machine) = before();
    for (what, entry) in log::entries() {
        applied(&mut machine, what, &entry);
    }
    (dir, machine)
}

/// The parts of a snapshot, each with what it is.
fn parts(mut rest: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut parts = Vec::new();
    let mut part = |what: &str, length: usize| -> Vec<u8> {
        let (part, after) = rest.split_at(length);
        rest = after;
        parts.push((what.to_owned(), part.to_vec()));
        part.to_vec()
    };
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes")) as usize;
    part("magic", 16);
    part("format", 4);
    part("level", 4);
    part("lowest level that a reader must know", 4);
    let length = number(&part("length of the body", 4));
    part("body: SnapshotHeader", length);
    part("SHA-256 of everything before", 32);
    loop {
        let key = number(&part("length of a key", 4));
        let value = number(&part("length of its value", 4));
        if key == 0 {
            break;
        }
        part("key", key);
        part("value", value);
    }
    part("SHA-256 of everything before", 32);
    part("tag", 32);
    assert!(rest.is_empty());
    parts
}

#[test]
fn the_vector_of_a_snapshot_is_what_this_version_writes() {
    let (_dir, machine) = after();
    let snapshot = machine.keystore.begin_snapshot().made_at(TIME_NS).run(&machine.snapshots).expect("a snapshot");
    compare_parts("snapshot.hex", &parts(&fs::read(snapshot.path).expect("the file is there")));
}

#[test]
fn the_vector_of_a_snapshot_can_be_installed() {
    let (dir, mut machine) = before();
    let file = dir.path().join("received");
    fs::write(&file, read_parts("snapshot.hex")).expect("room");
    let snapshot = machine.snapshots.accept(&file, Some(CLUSTER)).expect("a snapshot of the cluster");
    machine.keystore.install(&snapshot).expect("it can be installed");
    assert_holds_the_state_after(&machine.keystore);
    assert_eq!(hex_pairs(&machine), read_json::<StateVector>("state.json").after);
    assert_eq!((snapshot.header.level.level, snapshot.header.created_at_ns), (1, TIME_NS));
}

/// Sled may lay out the same pairs in another way each time, so the folder is not compared.
#[test]
fn the_vector_of_a_keystore_folder_can_be_opened() {
    if is_rewriting() {
        let (dir, machine) = after();
        machine.keystore.checkpoint().run().expect("the disk takes it");
        drop(machine);
        compare("keystore.txt", &folder_text(&dir.path().join("keystore")));
    }
    let dir = tempfile::tempdir().expect("a folder");
    make_files(&read("keystore.txt"), dir.path());
    let keystore = Keystore::open_alone(dir.path(), Owner { store_id: StoreId(STORE), node_id: 2 });
    assert_holds_the_state_after(&keystore);
    let hex = |(key, value): (Vec<u8>, Vec<u8>)| (hex::encode(key), hex::encode(value));
    let pairs: Vec<_> = keystore.pairs().into_iter().map(hex).collect();
    assert_eq!(pairs, read_json::<StateVector>("state.json").after);
}

fn assert_holds_the_state_after(keystore: &Keystore) {
    let entries: Vec<EntryVector> = read_json("entries.json");
    let last = entries.last().expect("the log has entries");
    let (count, digest) = keystore.entries_and_digest();
    assert_eq!((count, digest.to_string()), (last.entries, last.digest.clone()));
    assert_eq!(keystore.last_applied().map(|id| id.index), Some(last.index));
}

fn facts(members: u8) -> ClusterFacts {
    let membership = encode_membership(Some(&position(11)), &log::membership(members)).into();
    ClusterFacts {
        owner: Owner { store_id: StoreId(STORE), node_id: 2 },
        cluster: cluster(),
        membership,
        admission: [0xad; 64].to_vec().into(),
        founding: (members == 3)
            .then(|| Founding { document: b"founding document".to_vec().into(), stage: FoundingStage::Begun }),
    }
}

fn keys() -> IntegrityKeys {
    store_keys(CLUSTER).integrity
}

#[test]
fn the_vector_of_cluster_id_is_what_this_version_writes() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut file = ClusterFile::open(dir.path()).expect("no file is fine");
    file.write(facts(3), &keys()).expect("room");
    file.write(facts(4), &keys()).expect("room");
    compare("cluster_id.txt", &file_text(&dir.path().join(CLUSTER_FILE), CLUSTER_FILE));
}

#[test]
fn the_vector_of_cluster_id_can_be_read() {
    let dir = tempfile::tempdir().expect("a folder");
    make_files(&read("cluster_id.txt"), dir.path());
    let mut file = ClusterFile::open(dir.path()).expect("a file of this level");
    assert!(file.verify(&keys()));
    assert_eq!((file.facts(), file.damaged_slots()), (Some(&facts(4)), 0));
    // With the newer slot damaged, the older one counts.
    let path = dir.path().join(CLUSTER_FILE);
    let mut bytes = fs::read(&path).expect("the file is there");
    let newer = bytes.len() / 2;
    bytes[newer + 40] ^= 1;
    fs::write(&path, bytes).expect("room");
    let mut file = ClusterFile::open(dir.path()).expect("a file of this level");
    assert!(file.verify(&keys()));
    assert_eq!((file.facts(), file.damaged_slots()), (Some(&facts(3)), 1));
}
