//! What `apply` checks before it decides on an operation: memory, age, level, body, and the cluster's first command.

use bytes::Bytes;

use super::tests::{ADMIN, APP, applied, bound, command, create, name, on_key, sealed};
use super::*;
use crate::policy::{Author, Pattern, Policy, Role};
use crate::state::{ClusterId, HIGHEST_LEVEL, IncarnationId, LOWEST_LEVEL, Memory, Remembered, RequestId};
use crate::test_vectors::no_secrets;

/// A command at any level, also at one that no version has, with the body that it has at level 1.
fn at_level(level: u32, seen_index: u64, command: &Command) -> EncodedCommand {
    let id = RequestId([3; 16]);
    EncodedCommand::new(level, id, seen_index, command.encode(1, id, seen_index).body())
}

#[test]
fn the_memory_comes_before_everything_and_the_age_before_the_level() {
    let remembered = |outcome: RecordedOutcome| {
        let mut memory = Memory::default();
        memory.remember(Remembered { request_id: RequestId([3; 16]), index: 1, outcome });
        memory
    };
    let forgetful = Memory::restore(1, 10, []);
    let creation = command(ADMIN, on_key(KeyAction::Create), create(2, 110));
    let outcome = |level, seen_index, memory: &Memory| {
        let encoded = at_level(level, seen_index, &creation);
        let (outcome, changes) = applied(&encoded, &[], &Rules::default(), memory);
        assert_eq!(changes.is_empty(), outcome != Outcome::Done);
        outcome
    };
    // The number 999 stands for the outcome of a later version.
    let unknown = RecordedOutcome::new(999, Bytes::from_static(b"more"));
    for (level, seen_index, memory, expected) in [
        (1, 10, Memory::default(), Outcome::Done.into()),
        (1, 10, remembered(Outcome::KeyExists.into()), Outcome::KeyExists.into()),
        (9, 0, remembered(Outcome::KeyExists.into()), Outcome::KeyExists.into()),
        (1, 10, remembered(unknown.clone()), unknown),
        (9, 9, forgetful, Outcome::Expired.into()),
        (2, 10, Memory::default(), Outcome::LevelNotActive.into()),
        (0, 10, Memory::default(), Outcome::LevelNotActive.into()),
    ] {
        assert_eq!(outcome(level, seen_index, &memory), expected, "level {level}, seen {seen_index}");
    }
}

#[test]
fn only_the_next_level_can_be_raised_to_and_only_with_a_command_of_that_level() {
    let raise = |level, to| {
        let encoded = at_level(level, 0, &command(Actor::Node, None, Operation::RaiseLevel { to }));
        let (outcome, changes) = applied(&encoded, &[], &Rules::default(), &Memory::default());
        assert_eq!(changes, []);
        outcome
    };
    for (level, to) in [(2, 3), (2, 1), (3, 3), (0, 0)] {
        assert_eq!(raise(level, to), Outcome::LevelNotActive, "{level}, {to}");
    }
    assert_eq!((raise(1, 1), raise(1, 2)), (Outcome::LevelNotNext.into(), Outcome::LevelNotNext.into()));
}

/// A first command of a cluster that begins at this level, with a policy of so many patterns.
fn first(begins_at: u32, patterns: usize) -> Command {
    let pattern = |number| Pattern::parse(&format!("/v1/key/create/{number:064}")).unwrap();
    let policy = Policy::new((0..patterns).map(pattern), []);
    let cluster = ClusterState {
        id: ClusterId([0; 16]),
        incarnation: IncarnationId([0; 16]),
        secrets: no_secrets(),
        level: begins_at,
        ring: Vec::new(),
        active_ring_version: 1,
        time_ns: 0,
        created_at: Some(1),
        seals: Vec::new(),
        last_ring_version: 0,
        ring_notes: Vec::new(),
    };
    let policies = vec![(name("app"), policy, Author::default())];
    let init = Init { cluster, policies, assignments: vec![(APP, bound(Role::Policy(name("app"))))] };
    command(Actor::Node, None, Operation::Init(Box::new(init)))
}

#[test]
fn the_first_command_comes_first_and_has_the_level_at_which_the_cluster_begins() {
    let (rules, memory) = (Rules::default(), Memory::default());
    let outcome = |command: &EncodedCommand| {
        let (outcome, changes) = apply(
            command,
            Current {
                cluster: None,
                rules: &rules,
                record: &|_, _| None,
                memory: &memory,
                members: &Vec::new,
                records_under: &|_| 0,
            },
        );
        (outcome.known().unwrap(), changes.len())
    };
    for level in LOWEST_LEVEL..=HIGHEST_LEVEL {
        let first = |begins_at, patterns| first(begins_at, patterns).encode(level, RequestId([3; 16]), 0);
        assert_eq!(outcome(&first(level, 9)), (Outcome::Done, 3));
        for wrong in [first(level + 1, 9), first(level - 1, 9), first(level, 1000)] {
            assert_eq!(outcome(&wrong), (Outcome::Malformed, 0));
        }
    }
    assert_eq!(outcome(&at_level(0, 0, &first(0, 9))), (Outcome::LevelNotActive, 0));
    let by_client = Command { actor: ADMIN, ..first(1, 9) };
    let with_action = Command { action: on_key(KeyAction::Create), ..first(1, 9) };
    for other in [command(ADMIN, on_key(KeyAction::Create), create(2, 110)), by_client, with_action] {
        assert_eq!(outcome(&other.encode(1, RequestId([3; 16]), 0)), (Outcome::NotInitialised, 0));
        // A version that knows the action 99 decides this, too.
        let body = crate::state::command::with_action_number(&other, 99);
        assert_eq!(outcome(&EncodedCommand::new(1, RequestId([3; 16]), 0, &body)), (Outcome::NotInitialised, 0));
    }
    let again = applied(&at_level(1, 0, &first(1, 9)), &[], &rules, &memory);
    assert_eq!(again.0, Outcome::AlreadyInitialised);
}

#[test]
fn a_body_that_cannot_be_read_is_malformed_and_has_an_outcome() {
    let malformed = |body: &[u8]| {
        let encoded = EncodedCommand::new(1, RequestId([3; 16]), 0, body);
        applied(&encoded, &[], &Rules::default(), &Memory::default()).0
    };
    let create = |name: &str| {
        let operation = Operation::CreateKey { name: name.to_owned(), record: sealed(1, 2) };
        command(ADMIN, on_key(KeyAction::Create), operation).encode(1, RequestId([3; 16]), 0)
    };
    assert_eq!(malformed(create("a").body()), Outcome::Done);
    for body in [&b""[..], b"\xff\xff", create("a/b").body(), create("").body(), &create("a").body()[1..]] {
        assert_eq!(malformed(body), Outcome::Malformed, "{body:?}");
    }
}
