//! The examples in `deploy/` load, and their policies deny every operation of the kind that they deny.

use std::fs;
use std::path::{Path, PathBuf};

use keyraft::config::{Config, PolicyFile};
use keyraft::policy::open_siblings;

use super::{ADMIN, environment, identity};

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

#[test]
fn an_example_that_denies_an_operation_denies_its_siblings() {
    for file in examples() {
        let (found, _) = PolicyFile::parse(&file, &fs::read_to_string(&file).unwrap(), &environment).unwrap();
        for (name, (policy, _)) in &found.policies {
            assert_eq!(open_siblings(policy), [], "{}: policy {name:?}", file.display());
        }
    }
}
