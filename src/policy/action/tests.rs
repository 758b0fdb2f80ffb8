//! Every action, every path of it, and every pattern that matches one of them.

use std::collections::BTreeSet;

use super::*;
use crate::policy::{Pattern, Policy};

const NAMES: [&str; 4] = ["a", "my-key", "-bad-", "a/b"];
const PREFIXES: [&str; 4] = ["", "a", "a-", "**"];

/// The names that are tried after a path.
fn names(row: &ActionPath) -> &'static [&'static str] {
    match row.name {
        NameInPath::Nothing => &[""],
        NameInPath::Name(_) => &NAMES,
        NameInPath::Prefix => &PREFIXES,
    }
}

/// Every path of every action, with names.
fn every_path() -> impl Iterator<Item = (&'static ActionPath, String)> {
    PATHS.iter().flat_map(|row| names(row).iter().map(move |name| (row, [row.path, name].concat())))
}

#[test]
fn the_table_is_sorted_and_no_name_hides_another_path() {
    assert!(PATHS.is_sorted_by(|a, b| a.path < b.path));
    for named in PATHS.iter().filter(|row| row.name != NameInPath::Nothing) {
        assert!(named.path.ends_with('/'));
        let beginnings = PATHS.iter().filter(|row| row.path.starts_with(named.path)).count();
        assert_eq!(beginnings, 1, "{}", named.path);
    }
}

#[test]
fn every_path_is_read_as_its_action_and_written_as_one_path() {
    for (row, path) in every_path() {
        let action = Action::parse(&path).unwrap();
        assert_eq!(action.kind(), row.kind, "{path}");
        assert_eq!(Action::parse(&action.path()), Some(action), "{path}");
        assert_eq!(row.kind.on(action.name()), action);
        assert!(row.is_alias() || action.path() == path, "{path}");
    }
}

/// These numbers stand in logs. A new action gets a new number, and none of these may change.
#[test]
fn numbers_are_the_ones_that_stand_in_logs() {
    let mut numbers: Vec<_> =
        PATHS.iter().filter(|row| !row.is_alias()).map(|row| (row.number, row.path.trim_matches('/'))).collect();
    numbers.sort_unstable();
    let expected = [
        (1, "version"),
        (2, "v1/ready"),
        (3, "v1/status"),
        (4, "v1/api"),
        (5, "v1/openapi.json"),
        (6, "v1/metrics"),
        (11, "v1/cluster/status"),
        (12, "v1/cluster/metrics"),
        (21, "v1/log/audit"),
        (22, "v1/log/error"),
        (31, "v1/key/create"),
        (32, "v1/key/import"),
        (33, "v1/key/describe"),
        (34, "v1/key/delete"),
        (35, "v1/key/list"),
        (36, "v1/key/generate"),
        (37, "v1/key/encrypt"),
        (38, "v1/key/decrypt"),
        (39, "v1/key/bulk/decrypt"),
        (40, "v1/key/hmac"),
        (41, "v1/key/rotate"),
        (42, "v1/key/versions"),
        (43, "v1/key/disable"),
        (44, "v1/key/enable"),
        (45, "v1/key/restore"),
        (46, "v1/key/purge"),
        (61, "v1/policy/describe"),
        (62, "v1/policy/read"),
        (63, "v1/policy/list"),
        (64, "v1/policy/create"),
        (65, "v1/policy/write"),
        (66, "v1/policy/assign"),
        (67, "v1/policy/delete"),
        (81, "v1/identity/describe"),
        (82, "v1/identity/self/describe"),
        (83, "v1/identity/list"),
        (84, "v1/identity/create"),
        (85, "v1/identity/delete"),
    ];
    assert_eq!(numbers, expected);
}

#[test]
fn every_kind_has_one_row_and_its_number_leads_back_to_it() {
    let own: Vec<_> = PATHS.iter().filter(|row| !row.is_alias()).collect();
    let (kinds, numbers): (std::collections::HashSet<_>, BTreeSet<_>) =
        own.iter().map(|row| (row.kind, row.number)).unzip();
    assert_eq!((kinds.len(), numbers.len()), (own.len(), own.len()));
    for row in own {
        assert_eq!(ActionKind::of_number(row.kind.number()), Some(row.kind));
    }
    assert!(PATHS.iter().all(|row| kinds.contains(&row.kind)));
    assert_eq!((ActionKind::of_number(0), ActionKind::of_number(999)), (None, None));
}

#[test]
fn a_pattern_that_matches_one_path_of_an_action_decides_all_of_them() {
    let starred = |path: &str| (1..=path.len()).map(|end| format!("{}*", &path[..end])).collect::<Vec<_>>();
    for (row, path) in every_path().filter(|(_, path)| !path.contains("**")) {
        let patterns = starred(&path).into_iter().chain([path.clone()]);
        for pattern in patterns.map(|text| Pattern::parse(&text).unwrap()) {
            let (allows, denies) =
                (Policy::new([pattern.clone()], []), Policy::new([Pattern::parse("*").unwrap()], [pattern.clone()]));
            let action = Action::parse(&path).unwrap();
            let same = PATHS.iter().filter(|other| other.kind == row.kind && action.name().is_empty());
            for other in same.map(|other| other.path.to_owned()).chain([path.clone(), action.path()]) {
                let asked = Action::parse(&other).unwrap();
                assert!(pattern.matches(asked) && allows.allows(asked), "{pattern:?} on {other}");
                assert!(!denies.allows(asked), "{pattern:?} on {other}");
            }
        }
    }
}

/// The matching of the wire contract ("Policies"), on texts: the paths that ask for the same thing are in a line.
#[test]
fn a_policy_decides_as_the_texts_of_patterns_and_paths_say() {
    const SAME: [&[&str]; 5] = [
        &["/v1/key/list", "/v1/key/list/"],
        &["/v1/policy/list", "/v1/policy/list/"],
        &["/v1/identity/list", "/v1/identity/list/"],
        &["/v1/log/audit", "/v1/log/audit/", "/v1/log/audit/trace", "/v1/log/audit/trace/"],
        &["/v1/log/error", "/v1/log/error/", "/v1/log/error/trace", "/v1/log/error/trace/"],
    ];
    let matches = |pattern: &str, path: &str| match pattern.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => path == pattern,
    };
    let paths: BTreeSet<_> = every_path().map(|(_, path)| path).collect();
    let beginnings = paths.iter().flat_map(|path| (1..=path.len()).map(|end| path[..end].to_owned()));
    let beside = paths.iter().flat_map(|path| ["/", "x"].map(|end| path.clone() + end));
    let texts: BTreeSet<_> = beginnings
        .chain(beside)
        .flat_map(|text| [text.clone() + "*", text])
        .filter(|text| !text.contains("**"))
        .collect();
    let everything = Pattern::parse("*").unwrap();
    for pattern in texts.iter().filter_map(|text| Pattern::parse(text).ok()) {
        let (allows, denies) =
            (Policy::new([pattern.clone()], []), Policy::new([everything.clone()], [pattern.clone()]));
        for path in &paths {
            let alone = [path.as_str()];
            let same = SAME.into_iter().find(|same| same.contains(&path.as_str())).unwrap_or(&alone);
            let expected = same.iter().any(|path| matches(pattern.as_str(), path));
            let action = Action::parse(path).unwrap();
            assert_eq!((allows.allows(action), denies.allows(action)), (expected, !expected), "{pattern:?} on {path}");
        }
    }
}

#[test]
fn a_path_leads_to_one_action_or_none() {
    let found = |path| Action::parse(path).map(|action| (action.kind().path(), action.name()));
    for (path, expected) in [
        ("/version", Some(("/version", ""))),
        ("/v1/key/create/a", Some(("/v1/key/create/", "a"))),
        ("/v1/key/create/", Some(("/v1/key/create/", ""))),
        ("/v1/key/create/a/b", Some(("/v1/key/create/", "a/b"))),
        ("/v1/key/bulk/decrypt/a", Some(("/v1/key/bulk/decrypt/", "a"))),
        ("/v1/key/list", Some(("/v1/key/list/", ""))),
        ("/v1/policy/list", Some(("/v1/policy/list/", ""))),
        ("/v1/identity/list/", Some(("/v1/identity/list/", ""))),
        ("/v1/identity/self/describe", Some(("/v1/identity/self/describe", ""))),
        ("/v1/log/audit/", Some(("/v1/log/audit", ""))),
        ("/v1/log/error/trace/", Some(("/v1/log/error", ""))),
        ("/v1/key/create", None),
        ("/v1/key/list-x", None),
        ("/v1/key/listx", None),
        ("/version/", None),
        ("/v1/ready/", None),
        ("//version", None),
        ("/v1/identity/self/describe/x", None),
        ("/v1/log/audit/x", None),
        ("/v1/log/audit/a", None),
        ("/v1/log/audit//", None),
        ("", None),
        ("*", None),
        ("/zzz", None),
    ] {
        assert_eq!(found(path), expected, "{path}");
    }
}
