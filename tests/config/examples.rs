//! The examples in `deploy/` load, and their policies deny every operation of the kind that they deny.

use std::fs;
use std::path::{Path, PathBuf};

use keyraft::config::{Config, PolicyFile};
use keyraft::policy::{Action, Policy};

use super::{ADMIN, environment, identity};

/// Operations that do the same with a key. A client that may not use one of them must not be able to use another.
const SIBLINGS: [&[&str]; 2] = [&["decrypt", "bulk/decrypt"], &["generate", "encrypt"]];

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|end| end == "yml")).collect()
}

#[test]
fn the_examples_load_without_a_warning() {
    let files = examples();
    assert_eq!(files.len(), 3);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (config, warnings) = Config::parse(&file, &text, &environment).unwrap_or_else(|p| panic!("{p}"));
        let peers = if file.ends_with("three-node.yml") { 3 } else { 1 };
        let found = (warnings, config.cluster.peers.len(), config.admin);
        assert_eq!(found, (vec![], peers, Some(identity(ADMIN))), "{}", file.display());
    }
}

/// The paths that a policy allows although it denies a sibling of them.
fn left_open(policy: &Policy) -> Vec<String> {
    let mut open = Vec::new();
    for denied in policy.deny.iter().filter_map(|pattern| pattern.as_str().strip_prefix("/v1/key/")) {
        for group in SIBLINGS {
            let Some(name) = group.iter().find_map(|op| denied.strip_prefix(op)?.strip_prefix('/')) else { continue };
            // A pattern's `*` stands for any name here.
            let name = name.replace('*', "x");
            let paths = group.iter().map(|op| format!("/v1/key/{op}/{name}"));
            open.extend(paths.filter(|path| policy.allows(Action::parse(path).expect("a path of the API"))));
        }
    }
    open
}

#[test]
fn an_example_that_denies_an_operation_denies_its_siblings() {
    for file in examples() {
        let (found, _) = PolicyFile::parse(&file, &fs::read_to_string(&file).unwrap(), &environment).unwrap();
        for (name, (policy, _)) in &found.policies {
            assert_eq!(left_open(policy), Vec::<String>::new(), "{}: policy {name:?}", file.display());
        }
    }
}

#[test]
fn the_check_finds_a_sibling_that_is_left_open() {
    let policy = |deny: &str| {
        let text = format!("policy: {{a: {{allow: ['/v1/key/bulk/decrypt/*', '/v1/key/decrypt/*'], deny: [{deny}]}}}}");
        let (found, _) = PolicyFile::parse(Path::new("a.yml"), &text, &environment).unwrap();
        found.policies.into_values().next().unwrap().0
    };
    assert_eq!(left_open(&policy("'/v1/key/decrypt/internal*'")), ["/v1/key/bulk/decrypt/internalx"]);
    assert_eq!(left_open(&policy("'/v1/key/bulk/decrypt/k'")), ["/v1/key/decrypt/k"]);
    let both = policy("'/v1/key/decrypt/internal*', '/v1/key/bulk/decrypt/internal*'");
    assert_eq!(left_open(&both), Vec::<String>::new());
}
