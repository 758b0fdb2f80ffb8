//! Checks that the root key can be read, and that it opens the key ring in the data folder.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::report::CheckReport;
use crate::config::{Config, SealConfig};
use crate::crypto::{RootKey, check_memory_protection};
use crate::kms::{LONGEST_RING, SealError, StoredRing, open_cluster, rings_in};
use crate::node::seal::root_key;
use crate::state::ClusterState;
use crate::store::{ClusterFacts, ClusterFile};

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
    let facts = match ClusterFile::open(&config.cluster.data) {
        Ok(file) if file.facts().is_some_and(|facts| opens(facts, &root)) => return,
        // The keystore may have a ring that the file lacks. The search finds it.
        Ok(file) => file.facts().cloned(),
        Err(error) => return report.problem("cluster.data", error.to_string()),
    };
    match stored_rings(&config.cluster.data, facts) {
        Ok(found) => compare(setting, &root, &found, &config.cluster.data, report),
        Err((path, error)) => {
            report.note(setting, format!("not compared with the data folder: cannot read {}: {error}", path.display()));
        }
    }
}

fn compare(setting: &str, root: &RootKey, found: &[StoredRing], data: &Path, report: &mut CheckReport<'_>) {
    let mut opened = found.iter().map(|ring| ring.open(root));
    match opened.next() {
        Some(Err(error)) if !opened.any(|ring| ring.is_ok()) => report.problem(setting, stays_sealed(&error, data)),
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
    open_cluster(&facts.cluster, root).is_ok()
}

/// Returns the key rings in the files of a data folder, beginning with that of `cluster.id`. It only reads the files, so a
/// node may run meanwhile.
fn stored_rings(data: &Path, facts: Option<ClusterFacts>) -> Result<Vec<StoredRing>, (PathBuf, io::Error)> {
    let of_facts = |facts: ClusterFacts| {
        let ClusterState { id, ring, .. } = facts.cluster;
        ring.into_iter().map(move |version| StoredRing { cluster: id, version })
    };
    let mut found = facts.into_iter().flat_map(of_facts).collect();
    for folder in FOLDERS {
        search_folder(&data.join(folder), &mut found)?;
    }
    Ok(found)
}

fn search_folder(folder: &Path, found: &mut Vec<StoredRing>) -> Result<(), (PathBuf, io::Error)> {
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
fn search_if_there(path: PathBuf, found: &mut Vec<StoredRing>) -> Result<(), (PathBuf, io::Error)> {
    match search_file(&path, found) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err((path, error)),
        _ => Ok(()),
    }
}

fn search_file(path: &Path, found: &mut Vec<StoredRing>) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut piece = Vec::new();
    loop {
        // A ring may lie across the border of two pieces.
        piece.drain(..piece.len().saturating_sub(LONGEST_RING));
        let read = file.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        for ring in rings_in(&piece) {
            if !found.contains(&ring) {
                found.push(ring);
            }
        }
        if read == 0 {
            return Ok(());
        }
    }
}
