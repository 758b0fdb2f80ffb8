//! What level 2 of the test build adds, and that its decisions are otherwise those of level 1.
#![cfg(feature = "level-2")]

use super::tests::{applied_at, command, create, on_key};
use super::*;
use crate::state::{HIGHEST_LEVEL, Memory, RequestId, every_operation, note};

const ID: RequestId = RequestId([3; 16]);

/// Applies a command in a cluster with this active level.
fn applied(level: u32, command: &EncodedCommand) -> (RecordedOutcome, Vec<Change>) {
    applied_at(level, command, &[], &Rules::default(), &Memory::default())
}

fn raise(actor: Actor, to: u32) -> Command {
    command(actor, None, Operation::RaiseLevel { to })
}

#[test]
fn a_command_of_the_next_level_raises_it() {
    let (outcome, changes) = applied(1, &raise(Actor::Node, 2).encode(2, ID, 0));
    assert_eq!(outcome, Outcome::Done);
    let [Change::SetCluster(cluster)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(ClusterState::decode(&cluster.bytes).unwrap().level, 2);
    let client = Actor::Client { identity: crate::policy::Identity::from_bytes([1; 32]), file_admin: true };
    for wrong in [raise(client, 2), raise(Actor::Node, 1), raise(Actor::Node, 3)] {
        assert_eq!(applied(1, &wrong.encode(2, ID, 0)), (Outcome::LevelNotActive.into(), vec![]));
    }
    for to in [1, 2, 3] {
        assert_eq!(applied(2, &raise(Actor::Node, to).encode(2, ID, 0)), (Outcome::LevelNotNext.into(), vec![]));
    }
}

#[test]
fn a_note_needs_the_active_level_2_and_its_outcome_has_a_detail() {
    let note = note(ID, 0, b"text");
    assert_eq!(applied(1, &note), (Outcome::LevelNotActive.into(), vec![]));
    let (outcome, changes) = applied(2, &note);
    assert_eq!((outcome.known(), &outcome.detail()[..], changes), (Ok(Outcome::Noted), &b"text"[..], vec![]));
    let (rules, memory) = (Rules::default(), Memory::default());
    let blank = Current {
        cluster: None,
        rules: &rules,
        record: &|_, _| None,
        memory: &memory,
        members: &Vec::new,
        records_under: &|_| 0,
    };
    assert_eq!(apply(&note, blank), (Outcome::NotInitialised.into(), vec![]));
    assert!(!raises_level(&note));
    let malformed = EncodedCommand::new(HIGHEST_LEVEL, ID, 0, b"\x02");
    assert_eq!(applied(2, &malformed), (Outcome::Malformed.into(), vec![]));
}

#[test]
fn each_command_of_level_1_is_decided_as_at_level_1() {
    let admin = Actor::Client { identity: crate::policy::Identity::from_bytes([1; 32]), file_admin: true };
    let creation = command(admin, on_key(KeyAction::Create), create(2, 110));
    assert_eq!(applied(2, &creation.encode(2, ID, 0)).0, Outcome::Done);
    assert_eq!(applied(2, &creation.encode(1, ID, 0)).0, Outcome::LevelNotActive);
    for operation in every_operation() {
        for action in ActionKind::all().map(Some).chain([None]) {
            let command = command(admin, action, operation.clone());
            let decided = [1, 2].map(|level| applied(level, &command.encode(level, ID, 0)));
            assert_eq!(decided[0], decided[1], "{command:?}");
        }
    }
}
