//! Tests of the files that are made, their modes, and that they are made only once.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;
use crate::config::Config;
use crate::tls::certificate_identity;

/// A cluster's folder, not made yet, in one that is deleted with this value.
struct Folder(PathBuf, #[expect(dead_code, reason = "held for its drop")] TempDir);

impl Folder {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        Self(parent.path().join("keyraft-dev"), parent)
    }

    fn options(&self) -> DevOptions {
        DevOptions { dir: self.0.clone(), port: None, nodes: None, config: None, output: Output::new(false) }
    }
}

/// Every file under a folder, with its content.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            found.insert(entry.clone(), fs::read(&entry).unwrap());
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_cluster_is_complete_and_only_its_owner_may_read_its_secrets() {
    let folder = Folder::new();
    let layout = open_or_make(&folder.options()).unwrap();
    let made = files(&folder.0);
    assert_eq!(made.len(), 6 + 3 * 3, "{:?}", made.keys());
    assert_eq!(mode(&folder.0), 0o700);
    assert_eq!(mode(&layout.node_data(1)), 0o700);
    for path in made.keys() {
        let secret = !path.extension().is_some_and(|extension| extension == "crt" || extension == "json");
        assert_eq!(mode(path), if secret { 0o600 } else { 0o644 }, "{}", path.display());
    }
}

#[test]
fn a_node_reads_the_configuration_that_was_written_for_it() {
    let folder = Folder::new();
    let layout = open_or_make(&folder.options()).unwrap();
    for number in layout.numbers() {
        let (config, warnings) = Config::load(&layout.node_config(number)).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let meant = node_config::of_node(&layout, number, config.admin, &node_config::nothing_borrowed());
        assert!(config.admin.is_some());
        assert_eq!(config, meant);
        assert!(config.tls.cert.exists() && config.cluster.data.is_dir());
    }
}

#[test]
fn a_cluster_borrows_admin_policies_and_keys_from_a_kes_configuration() {
    const ADMIN: &str = "ea9826089311fe44d7590408ede9150f7c637b6cab0a91ee6fe1aa5d9fb366f6";
    let folder = Folder::new();
    let file = folder.0.with_file_name("kes.yml");
    let text = |key| {
        format!(
            "version: v1\naddress: 0.0.0.0:7373\nadmin:\n  identity: {ADMIN}\ntls:\n  key: k\n  cert: c\n\
         policy:\n  app:\n    allow: [/v1/key/create/app*]\nkeys:\n- name: {key}\nkeystore:\n  fs:\n    path: /x\n"
        )
    };
    fs::write(&file, text("first")).unwrap();
    let options = || DevOptions { config: Some(file.clone()), ..folder.options() };
    let layout = open_or_make(&options()).unwrap();
    let (config, _) = Config::load(&layout.node_config(1)).unwrap();
    assert_eq!(config.admin.unwrap().to_string(), ADMIN);
    assert_eq!((config.policies.len(), config.keys.as_slice()), (1, ["first".to_owned()].as_slice()));
    assert!(!layout.admin_key().exists() && !layout.admin_certificate().exists());
    assert_eq!(layout.origin().key_name, "first");

    open_or_make(&options()).unwrap();
    open_or_make(&folder.options()).unwrap();
    fs::write(&file, text("second")).unwrap();
    assert!(matches!(open_or_make(&options()), Err(DevError::Differs { .. })));
}

#[test]
fn nothing_is_made_with_a_bad_kes_configuration() {
    let folder = Folder::new();
    let file = folder.0.with_file_name("kes.yml");
    fs::write(&file, "version: v1\npolicy: 7\n").unwrap();
    assert!(matches!(open_or_make(&DevOptions { config: Some(file), ..folder.options() }), Err(DevError::Borrowed(_))));
    assert!(!folder.0.exists());
}

#[test]
fn the_admins_certificate_and_the_api_key_are_one_identity_and_it_is_the_admin() {
    let folder = Folder::new();
    let layout = open_or_make(&folder.options()).unwrap();
    let identity = certificate_identity(&fs::read(layout.admin_certificate()).unwrap()).unwrap().identity;
    let environment = fs::read_to_string(layout.environment()).unwrap();
    let key = environment.lines().find_map(|line| line.strip_prefix("export MINIO_KES_API_KEY=")).unwrap();
    assert_eq!(key.parse::<ApiKey>().unwrap().identity(), identity);
    assert!(fs::read_to_string(layout.node_config(1)).unwrap().contains(&identity.to_string()));
}

#[test]
fn an_existing_cluster_is_not_changed() {
    let folder = Folder::new();
    open_or_make(&folder.options()).unwrap();
    let before = files(&folder.0);
    open_or_make(&folder.options()).unwrap();
    open_or_make(&DevOptions { port: Some(7373), nodes: Some(3), ..folder.options() }).unwrap();
    for other in
        [DevOptions { port: Some(7400), ..folder.options() }, DevOptions { nodes: Some(5), ..folder.options() }]
    {
        assert!(matches!(open_or_make(&other), Err(DevError::Differs { .. })));
    }
    assert_eq!(files(&folder.0), before);
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    open_or_make(&folder.options()).unwrap();
    let other = Folder::new();
    fs::create_dir_all(&other.0).unwrap();
    fs::write(other.0.join("thesis.txt"), "mine").unwrap();
    assert!(matches!(open_or_make(&other.options()), Err(DevError::NotOurs(_))));
    assert_eq!(files(&other.0).len(), 1);
}
