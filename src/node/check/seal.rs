//! Checks that the root key can be read, and that it opens the key ring in the data folder.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::report::CheckReport;
use crate::config::{Config, SealConfig};
use crate::crypto::{RootKey, UnwrapError};
use crate::kms::{LONGEST_WRAP, SealError, open_ring, root_keys_in};
use crate::node::seal::root_key;
use crate::store::{ClusterFacts, ClusterFile};

/// Files are read in pieces of this size.
const PIECE: usize = 1 << 20;
/// The parts of a data folder in which the check looks for the key ring.
const FOLDERS: [&str; 3] = ["log", "keystore", "snapshots"];

/// Checks that the root key can be read, and that it belongs to the data.
pub(super) fn check(config: &Config, report: &mut CheckReport<'_>) {
    let setting = match &config.seal {
        SealConfig::File(_) => "seal.file",
        SealConfig::Env(_) => "seal.env",
    };
    let root = match root_key(&config.seal) {
        Ok(root) => root,
        Err(error) => return report.problem(setting, format!("{error}; the node would stay sealed")),
    };
    if let Some(facts) = known_facts(&config.cluster.data) {
        if let Err(error) = open_ring(facts.cluster, &facts.ring, facts.active_ring_version, &root) {
            report.problem(setting, stays_sealed(&error, &config.cluster.data));
        }
        return;
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

/// Returns what `cluster.id` says about the cluster. Without it, the check looks through the other files, as the node
/// itself makes that file again from them.
fn known_facts(data: &Path) -> Option<ClusterFacts> {
    ClusterFile::open(data).ok()?.facts().cloned()
}

/// Returns the fingerprints of the root keys that wrap the key rings in the files of a data folder. It only reads the
/// files, so a node may run meanwhile.
fn wrapped_by(data: &Path) -> Result<BTreeSet<[u8; 32]>, (PathBuf, io::Error)> {
    let mut found = BTreeSet::new();
    for folder in FOLDERS {
        search_folder(&data.join(folder), &mut found)?;
    }
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
            match search_file(&path, found) {
                // A running node may have removed the file.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err((path, error)),
                _ => {}
            }
        }
    }
    Ok(())
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
