//! The vectors of log entries: reading them, applying them, and writing them again.
//!
//! `entries.json` is a log whose entries have every operation and, when they are applied in turn, every outcome.
//! `state.json` is the state before and after it.

use std::collections::BTreeSet;

use openraft::EntryPayload;
use serde::{Deserialize, Serialize};

use super::*;
use crate::raft::protocol::entry::{EntryError, decode_entry, encode_payload};
use crate::raft::protocol::types::{LeaderId, RaftLogId};
use crate::store::{FoundKeystore, Owner, Store, StoreId};
use crate::test_vectors::{self, compare_json, read_json};

mod files;
mod log;

/// An entry of the log, and what comes of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EntryVector {
    pub what: String,
    pub index: u64,
    /// The payload in hexadecimal.
    pub payload: String,
    /// The outcome's number, if the entry has a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<u16>,
    /// The outcome's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many entries the state has afterwards, and their digest.
    pub entries: u64,
    pub digest: String,
}

/// A payload that a node refuses.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RefusedVector {
    what: String,
    payload: String,
    error: String,
}

/// The pairs of a keystore before and after the log, in hexadecimal.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StateVector {
    before: Vec<(String, String)>,
    after: Vec<(String, String)>,
}

/// A position in the log, of term 3 and node 2.
pub(super) fn position(index: u64) -> RaftLogId {
    RaftLogId::new(LeaderId { term: 3, node_id: 2 }, index)
}

/// The state before the log.
fn before() -> (tempfile::TempDir, StateMachine) {
    let dir = tempfile::tempdir().expect("a folder");
    let owner = Owner { store_id: StoreId(test_vectors::STORE), node_id: 2 };
    let store = Store::create(dir.path(), owner, &test_vectors::store_keys(test_vectors::CLUSTER))
        .expect("an empty folder opens");
    let FoundKeystore::Whole(keystore) = store.keystore else { panic!("a new store is whole") };
    let mut machine = StateMachine::new(keystore, store.snapshots, Pending::default());
    log::prepare(&mut machine.keystore);
    machine.keystore.commit();
    (dir, machine)
}

/// Applies an entry, and says what came of it.
fn applied(machine: &mut StateMachine, what: &str, entry: &Entry) -> EntryVector {
    let outcome = machine.apply_entry(entry).map(|(_, outcome)| outcome);
    machine.keystore.advance(to_store_id(&entry.log_id));
    machine.keystore.commit();
    let (entries, digest) = machine.keystore.entries_and_digest();
    EntryVector {
        what: what.to_owned(),
        index: entry.log_id.index,
        payload: hex::encode(encode_payload(entry)),
        name: outcome.as_ref().and_then(|outcome| outcome.known().ok()).map(|outcome| format!("{outcome:?}")),
        outcome: outcome.map(|outcome| outcome.number()),
        entries,
        digest: digest.to_string(),
    }
}

fn hex_pairs(machine: &StateMachine) -> Vec<(String, String)> {
    machine.keystore.pairs().into_iter().map(|(key, value)| (hex::encode(key), hex::encode(value))).collect()
}

fn refused() -> Vec<RefusedVector> {
    let refused = |what: &str, payload: &[u8]| RefusedVector {
        what: what.to_owned(),
        payload: hex::encode(payload),
        error: format!("{:?}", decode_entry(position(1), payload.to_vec().into()).expect_err("the node refuses it")),
    };
    let top = u32::MAX.to_be_bytes();
    vec![
        refused("an unknown format", &[2, 0, 0, 0, 0, 1]),
        refused("an unknown kind", &[1, 3, 0, 0, 0, 1]),
        refused("shorter than format, kind and level", &[1, 0, 0, 0, 1]),
        refused("a command with half a header", &[1, 1, 0, 0, 0, 1, 7, 7]),
        refused("a blank entry below level 1", &[1, 0, 0, 0, 0, 0]),
        refused("a blank entry with content", &[1, 0, 0, 0, 0, 1, 0]),
        refused("a membership with a position, which the entry has beside its payload", &[1, 2, 0, 0, 0, 1, 10, 0]),
        refused("a membership that is not a protobuf message", &[1, 2, 0, 0, 0, 1, 0xff]),
        refused("a level above every version, with an unknown format and kind", &[&[9, 9][..], &top].concat()),
    ]
}

#[test]
fn the_vectors_of_entries_are_what_this_version_writes() {
    let (_dir, mut machine) = before();
    let state_before = hex_pairs(&machine);
    let entries: Vec<_> = log::entries().iter().map(|(what, entry)| applied(&mut machine, what, entry)).collect();
    compare_json("entries.json", &entries);
    compare_json("refused_entries.json", &refused());
    compare_json("state.json", &StateVector { before: state_before, after: hex_pairs(&machine) });
}

#[test]
fn the_vectors_of_entries_can_be_read_and_applied() {
    let (_dir, mut machine) = before();
    let states: StateVector = read_json("state.json");
    assert_eq!(hex_pairs(&machine), states.before);
    let vectors: Vec<EntryVector> = read_json("entries.json");
    let log = log::entries();
    assert_eq!(vectors.len(), log.len());
    for (vector, (what, expected)) in vectors.into_iter().zip(log) {
        let payload = hex::decode(&vector.payload).expect("hexadecimal");
        let entry = decode_entry(position(vector.index), payload.into()).expect(what);
        assert_eq!(entry, expected, "{what}");
        assert_eq!(applied(&mut machine, what, &entry), vector);
    }
    assert_eq!(hex_pairs(&machine), states.after);
    let refused: Vec<RefusedVector> = read_json("refused_entries.json");
    for vector in refused {
        let payload = hex::decode(&vector.payload).expect("hexadecimal");
        let error: EntryError = decode_entry(position(1), payload.into()).expect_err(&vector.what);
        assert_eq!(format!("{error:?}"), vector.error, "{}", vector.what);
    }
}

/// The numbers of the fields of the `oneof` in the message `Command`: one for each operation.
fn operation_numbers() -> BTreeSet<u32> {
    let proto = include_str!("../../../../proto/state.proto");
    let (_, rest) = proto.split_once("oneof operation {").expect("the message `Command` has operations");
    let (operations, _) = rest.split_once('}').expect("a oneof ends");
    let numbers = operations.lines().filter_map(|line| line.split_once(" = ")?.1.strip_suffix(';')?.parse().ok());
    numbers.collect()
}

/// The number of the operation in the body of a command: of the one field above 15.
fn operation_of(mut body: &[u8]) -> Option<u32> {
    while !body.is_empty() {
        let (field, wire_type) = prost::encoding::decode_key(&mut body).ok()?;
        if field > 15 {
            return Some(field);
        }
        let context = prost::encoding::DecodeContext::default();
        prost::encoding::skip_field(wire_type, field, &mut body, context).ok()?;
    }
    None
}

#[test]
fn the_vectors_have_every_operation_and_every_outcome() {
    let vectors: Vec<EntryVector> = read_json("entries.json");
    let (mut operations, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for vector in &vectors {
        let payload = hex::decode(&vector.payload).expect("hexadecimal");
        kinds.insert(payload[1]);
        if let EntryPayload::Normal(proposal) = decode_entry(position(1), payload.into()).expect("an entry").payload {
            operations.extend(operation_of(proposal.command.body()));
        }
    }
    assert_eq!(operations, operation_numbers());
    assert_eq!(kinds, BTreeSet::from([0, 1, 2]));
    let outcomes: BTreeSet<_> = vectors.iter().filter_map(|vector| vector.outcome).collect();
    // The test build knows one more, of level 2.
    let of_level_1 = Outcome::ALL.len() - if cfg!(feature = "level-2") { 1 } else { 0 };
    assert_eq!(outcomes, Outcome::ALL[..of_level_1].iter().map(|outcome| *outcome as u16).collect());
}
