//! What the decisions of level 1 rest on, beside the code here. None of it may change once a version is released.
//!
//! Names and patterns are checked by `policy`, which other parts use too. If they need a looser or stricter check, give
//! them one of their own, and leave the one that this test holds as it is.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::*;
use crate::policy::{KeyName, MAX_POLICY_BYTES, PATHS, Pattern, Policy, PolicyName};
use crate::state::{Memory, RecordedOutcome};

/// Every path of every action to which a command can lead, with its aliases.
fn actions_of_level_1() -> String {
    let mut text = String::new();
    let decided = crate::state::every_operation();
    let kinds: Vec<ActionKind> =
        ActionKind::all().filter(|kind| decided.iter().any(|o| actions(o).contains(kind))).collect();
    for row in PATHS.iter().filter(|row| kinds.contains(&row.kind)) {
        writeln!(text, "{} {:?} {} {:?}", row.kind.number(), row.kind, row.path, row.name).unwrap();
    }
    text
}

#[test]
fn limits_of_level_1_stay() {
    assert_eq!((keys::MAX_RECORD_BYTES, keys::MAX_VERSIONS, keys::MAX_USES), (1024, 4096, 1024));
    assert_eq!((MAX_POLICY_BYTES, ring::MAX_CLUSTER_BYTES), (65_536, 65_536));
    assert_eq!((ring::MAX_RING_VERSIONS, ring::MAX_SEALS), (64, 8));
    // Another capacity forgets other commands, so that two nodes would differ.
    assert_eq!((Memory::CAPACITY, RecordedOutcome::MAX_DETAIL_BYTES), (262_144, 256));
}

#[test]
fn the_actions_of_level_1_keep_their_numbers_and_paths() {
    let hash = hex::encode(Sha256::digest(actions_of_level_1()));
    assert_eq!(hash, "269deec33f7978dc280e42811f85bed88dec79ab34bca4908b820ae6a883fe5d", "{}", actions_of_level_1());
}

#[test]
fn names_that_level_1_takes_stay_the_same() {
    let longest = "a".repeat(80);
    for (name, key, policy) in [
        ("a", true, true),
        ("-a", false, false),
        ("a-b_C9", true, true),
        ("", false, false),
        ("a.b", false, false),
        ("a/b", false, false),
        ("a b", false, false),
        ("\u{e4}", false, false),
        (&longest, true, true),
        (&format!("{longest}a"), false, false),
    ] {
        assert_eq!((KeyName::parse(name).is_ok(), PolicyName::parse(name).is_ok()), (key, policy), "{name}");
    }
}

#[test]
fn patterns_that_level_1_takes_and_what_they_match_stay_the_same() {
    for (pattern, is_taken) in [
        ("/v1/key/create/*", true),
        ("*", true),
        ("/", true),
        ("/v1/key/decrypt/app-[0-9]*", true),
        ("/v1//key/\u{e4}", true),
        ("", false),
        ("v1/key/*", false),
        ("/v1/*/create", false),
        ("/v1/key/create/?", false),
    ] {
        assert_eq!(Pattern::parse(pattern).is_ok(), is_taken, "{pattern}");
    }
    let create = |name: &'static str| ActionKind::Key(KeyAction::Create).on(name);
    for (pattern, action, matches) in [
        ("/v1/key/create/*", create("a"), true),
        ("/v1/key/create/*", create(""), true),
        ("/v1/key/create/a", create("a"), true),
        ("/v1/key/create/a", create("ab"), false),
        ("/v1/key/create/a*", create("ab"), true),
        ("*", create("a"), true),
        ("/v1/key/CREATE/a", create("a"), false),
        ("/v1/key/create", create(""), false),
    ] {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(action), matches, "{pattern} {}", action.path());
    }
    let sorted = Policy::new(["/b", "/a", "/b"].map(|text| Pattern::parse(text).unwrap()), []);
    assert_eq!(sorted.allow.iter().map(Pattern::as_str).collect::<Vec<_>>(), ["/a", "/b"]);
}
