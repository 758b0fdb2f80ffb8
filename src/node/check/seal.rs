//! Checks that the root key can be read, and that it opens the key ring in the data folder.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::report::CheckReport;
use crate::config::{Config, SealConfig};
use crate::crypto::{RootKey, UnwrapError, check_memory_protection};
use crate::kms::{LONGEST_WRAP, SealError, open_ring, root_keys_in};
use crate::node::seal::root_key;
use crate::store::{CLUSTER_FILE, ClusterFacts, ClusterFile};

/// Files are read in pieces of this size.
const PIECE: usize = 1 << 20;
/// The parts of a data folder in which the check looks for the key ring.
const FOLDERS: [&str; 3] = ["log", "keystore", "snapshots"];

/// Checks that the root key can be read, that it belongs to the data, and that the system protects it in memory.
pub(super) fn check(config: &Config, report: &mut CheckReport<'_>) {
    let setting = match &config.seal {
        SealConfig::File(_) => "seal.file",
        SealConfig::Env(_) => "seal.env",
    };
    if let Err(unprotected) = check_memory_protection() {
        report.warn(setting, unprotected.to_string());
    }
    let root = match root_key(&config.seal) {
        Ok(root) => root,
        Err(error) => return report.problem(setting, format!("{error}; the node would stay sealed")),
    };
    match ClusterFile::open(&config.cluster.data) {
        Ok(file) if file.facts().is_some_and(|facts| opens(facts, &root)) => return,
        // The keystore may have a ring that the file lacks. The search finds it.
        Ok(_) => {}
        Err(error) => return report.problem("cluster.data", error.to_string()),
    }
    match wrapped_by(&config.cluster.data) {
        Ok(found) => compare(setting, &root, &found, &config.cluster.data, report),
        Err((path, error)) => {
            report.note(setting, format!("not compared with the data folder: cannot read {}: {error}", path.display()));
        }
    }
}

fn compare(setting: &str, root: &RootKey, found: &BTreeSet<[u8; 32]>, data: &Path, report: &mut CheckReport<'_>) {
    let tried = root.fingerprint();
    match found.first() {
        Some(wanted) if !found.contains(&tried) => {
            let error = UnwrapError::WrongRootKey { version: 1, tried, wanted: *wanted };
            report.problem(setting, stays_sealed(&error.into(), data));
        }
        Some(_) => {}
        None => {
            report
                .note(setting, format!("not compared with the data folder: {} holds no key ring yet", data.display()));
        }
    }
}

fn stays_sealed(error: &SealError, data: &Path) -> String {
    format!("{error}, as {} shows; the node would stay sealed", data.display())
}

/// Whether the root key opens the ring that `cluster.id` has. If so, the check need not look through the other files.
fn opens(facts: &ClusterFacts, root: &RootKey) -> bool {
    open_ring(facts.cluster, &facts.ring, facts.active_ring_version, root).is_ok()
}

/// Returns the fingerprints of the root keys that wrap the key rings in the files of a data folder. It only reads the
/// files, so a node may run meanwhile.
fn wrapped_by(data: &Path) -> Result<BTreeSet<[u8; 32]>, (PathBuf, io::Error)> {
    let mut found = BTreeSet::new();
    for folder in FOLDERS {
        search_folder(&data.join(folder), &mut found)?;
    }
    search_if_there(data.join(CLUSTER_FILE), &mut found)?;
    Ok(found)
}

fn search_folder(folder: &Path, found: &mut BTreeSet<[u8; 32]>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed(folder))?,
    };
    for entry in entries {
        let path = entry.map_err(failed(folder))?.path();
        if path.is_dir() {
            search_folder(&path, found)?;
        } else {
            search_if_there(path, found)?;
        }
    }
    Ok(())
}

/// Searches a file. A running node may have removed it meanwhile.
fn search_if_there(path: PathBuf, found: &mut BTreeSet<[u8; 32]>) -> Result<(), (PathBuf, io::Error)> {
    match search_file(&path, found) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err((path, error)),
        _ => Ok(()),
    }
}

fn search_file(path: &Path, found: &mut BTreeSet<[u8; 32]>) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut piece = Vec::new();
    loop {
        // A wrap may lie across the border of two pieces.
        piece.drain(..piece.len().saturating_sub(LONGEST_WRAP));
        let read = file.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        found.extend(root_keys_in(&piece));
        if read == 0 {
            return Ok(());
        }
    }
}
