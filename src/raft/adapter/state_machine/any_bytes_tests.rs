//! Any bytes in the log are applied without a panic, and in the same way on every node.

use bytes::{BufMut, Bytes, BytesMut};
use openraft::entry::RaftEntry;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::tests::first_command;
use super::*;
use crate::crypto::Cipher;
use crate::policy::{ActionKind, Actor, Author, Identity, KeyAction};
use crate::raft::protocol::entry::{decode_entry, encode_payload};
use crate::raft::protocol::types::{LeaderId, Proposal};
use crate::state::{
    Command, CreationId, Digest, HIGHEST_LEVEL, KeySeen, LOWEST_LEVEL, Operation, Use, every_operation,
};
use crate::store::{FoundKeystore, LogStore, Owner, Store, StoreId};

const ENTRIES: u64 = 1500;

fn id(index: u64) -> RaftLogId {
    RaftLogId::new(LeaderId { term: 1, node_id: 1 }, index)
}

/// A record whose creation and version have small numbers, so that many commands meet.
fn record(random: &mut StdRng) -> Bytes {
    let record = KeyRecord {
        creation_id: CreationId([random.random_range(0..4); 16]),
        version: random.random_range(0..4),
        cipher: if random.random() { Cipher::Aes256 } else { Cipher::ChaCha20 },
        disabled: random.random_ratio(1, 20),
        ring_version: random.random_range(1..3),
        author: Author::default(),
        last_used: random.random_ratio(1, 20).then_some(5),
        delete_at: random.random_ratio(1, 20).then_some(5),
        sealed: vec![7; random.random_range(0..200)],
    };
    record.encode().into()
}

fn on_key(random: &mut StdRng) -> (Operation, Option<ActionKind>) {
    let name = ["a", "b", "c", "", "not/valid"][random.random_range(0..5)].to_owned();
    let key = KeySeen { name: name.clone(), creation_id: CreationId([random.random_range(0..4); 16]) };
    let (operation, action) = match random.random_range(0..8) {
        0 | 1 => (Operation::CreateKey { name, record: record(random) }, KeyAction::Create),
        2 => (Operation::RotateKey { name, record: record(random) }, KeyAction::Rotate),
        3 => (Operation::SetVersion { key, version: random.random_range(0..4), disabled: true }, KeyAction::Disable),
        4 => (Operation::DeleteKey { key, window_ns: random.random_range(0..2) }, KeyAction::Delete),
        5 => (Operation::RestoreKey(key), KeyAction::Restore),
        6 => (Operation::PurgeKey(key), KeyAction::Purge),
        _ => return (Operation::RecordUse(vec![Use { key, minute: random.random() }]), None),
    };
    (operation, Some(ActionKind::Key(action)))
}

/// A command as a node could make it at this level, more or less.
fn command(random: &mut StdRng, active: u32) -> EncodedCommand {
    let operations = every_operation();
    let (operation, action) = match random.random_range(0..3) {
        0 => (operations[random.random_range(0..operations.len())].clone(), any_action(random)),
        _ => on_key(random),
    };
    let actor = match action {
        None => Actor::Node,
        Some(_) => Actor::Client { identity: Identity::from_bytes([4; 32]), file_admin: random.random_ratio(9, 10) },
    };
    let command = Command { time_ns: random.random(), actor, action, file_names_admin: true, operation };
    let request_id = RequestId([random.random(); 16]);
    let encoded = command.encode(active, request_id, random.random_range(0..ENTRIES));
    let level = if random.random_ratio(9, 10) { active } else { random.random_range(0..=active) };
    EncodedCommand::new(level, request_id, encoded.seen_index(), encoded.body())
}

fn any_action(random: &mut StdRng) -> Option<ActionKind> {
    let all: Vec<_> = ActionKind::all().collect();
    Some(all[random.random_range(0..all.len())])
}

/// The payload of an entry, often with some bytes changed, cut off or added.
fn payload(random: &mut StdRng, level: u32) -> Bytes {
    let mut bytes = BytesMut::new();
    match random.random_range(0..10) {
        0 => bytes.put_slice(&encode_payload(&Entry::new_blank(id(0)))),
        1 => {
            let noise: Vec<u8> = (0..random.random_range(0..200)).map(|_| random.random()).collect();
            let request_id = RequestId([random.random(); 16]);
            bytes.put_slice(&framed(&EncodedCommand::new(level, request_id, 0, &noise)));
        }
        _ => bytes.put_slice(&framed(&command(random, level))),
    }
    if random.random_ratio(1, 3) {
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
        }
    }
    if random.random_ratio(1, 20) {
        bytes.truncate(random.random_range(0..bytes.len()));
    }
    if random.random_ratio(1, 20) {
        bytes.put_slice(&[random.random(); 7]);
    }
    bytes.freeze()
}

fn framed(command: &EncodedCommand) -> Bytes {
    encode_payload(&Entry::new_normal(id(0), Proposal::new(command)))
}

fn open(folder: &tempfile::TempDir) -> (LogStore, StateMachine) {
    let owner = Owner { store_id: StoreId([1; 16]), node_id: 0 };
    let store = Store::create(folder.path(), owner, &crate::test_vectors::store_keys(crate::state::ClusterId([1; 16])))
        .unwrap();
    let FoundKeystore::Whole(keystore) = store.keystore else { panic!("the keystore is whole") };
    (store.log, StateMachine::new(keystore, store.snapshots, Pending::default()))
}

/// Applies the entries in batches of at most so many, and returns the outcomes.
fn apply(machine: &mut StateMachine, entries: &[Entry], batch: usize) -> Vec<(RequestId, RecordedOutcome)> {
    let batch_of = |entries: &[Entry]| entries.iter().map(|entry| (entry.clone(), None)).collect::<Vec<_>>();
    entries.chunks(batch).flat_map(|entries| machine.apply_batch(&batch_of(entries))).collect()
}

fn digest(machine: &StateMachine) -> Digest {
    machine.keystore.progress().borrow().digest
}

#[test]
fn any_bytes_are_applied_without_a_panic_and_alike_on_every_node() {
    for (level, seed) in (LOWEST_LEVEL..=HIGHEST_LEVEL).flat_map(|level| (0..4).map(move |seed| (level, seed))) {
        let mut random = StdRng::seed_from_u64(seed);
        let first = Entry::new_normal(id(1), Proposal::new(&first_command(level)));
        let decoded = (2..ENTRIES).filter_map(|index| decode_entry(id(index), payload(&mut random, level)).ok());
        let entries: Vec<Entry> = std::iter::once(first).chain(decoded).collect();
        let (folder, other_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ((log, mut one), (_log, mut other)) = (open(&folder), open(&other_folder));
        let outcomes = apply(&mut one, &entries, 1);
        assert_eq!(apply(&mut other, &entries, 97), outcomes, "level {level}, seed {seed}");
        assert_eq!(digest(&one), digest(&other), "level {level}, seed {seed}");
        for expected in [Outcome::Done, Outcome::Malformed, Outcome::KeyNotFound, Outcome::LevelNotActive] {
            assert!(
                outcomes.iter().any(|(_, outcome)| *outcome == expected),
                "level {level}, seed {seed}: {expected:?}"
            );
        }
        let before = digest(&one);
        one.keystore.checkpoint().run().unwrap();
        drop(one);
        log.close();
        assert_eq!(digest(&open(&folder).1), before, "level {level}, seed {seed}: after opening it again");
    }
}
