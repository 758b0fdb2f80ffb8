//! What the keystore or the newest snapshot says about the cluster, for a node whose `cluster.id` is lost.
//!
//! Nothing here is checked. The node believes the facts only once its root key opens the wraps in them.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::cluster_id::ClusterFacts;
use super::entries::{CLUSTER, MEMBERSHIP, OWNER};
use super::folder::{Folders, OpenFolder};
use super::log_open::noted_owner_of;
use super::read_error::ReadError;
use super::snapshot_reader::read_entry;
use super::{Owner, Snapshots};
use crate::state::ClusterState;

/// The facts in the keystore, or else in the newest snapshot, or else in the keystore that was set aside last. `None` when
/// none of them has any.
///
/// # Errors
/// The file system refused, or another version of Keyraft must read the data folder.
pub fn stored_facts(dir: &Path) -> Result<Option<ClusterFacts>, ReadError> {
    let (keystore, snapshots) = (dir.join("keystore"), dir.join("snapshots"));
    let folders = keystore.is_dir().then(|| Folders::new(&keystore)).transpose().map_err(ReadError::Io)?;
    if let Some(folders) = &folders
        && let Some(facts) = undamaged(in_keystore(folders, folders.find_current()))?
    {
        return Ok(Some(facts));
    }
    if snapshots.is_dir()
        && let Some(facts) = undamaged(in_snapshot(dir, &snapshots))?
    {
        return Ok(Some(facts));
    }
    // A node that waits for a snapshot of a peer has set its keystore aside, and has no other yet.
    folders.map_or(Ok(None), |folders| undamaged(in_keystore(&folders, folders.aside())))
}

fn in_keystore(
    folders: &Folders,
    found: Result<Option<PathBuf>, ReadError>,
) -> Result<Option<ClusterFacts>, ReadError> {
    let Some(path) = found? else { return Ok(None) };
    folders.mark_opening()?;
    let read = OpenFolder::open(path).and_then(|folder| {
        let value = |key| Ok::<_, ReadError>(folder.db.get(key)?.map(|value| Bytes::copy_from_slice(&value)));
        Ok((value(OWNER)?, value(CLUSTER)?, value(MEMBERSHIP)?.unwrap_or_default()))
    });
    // Only a crash leaves the mark.
    folders.clear_opening_mark()?;
    let (owner, cluster, membership) = read?;
    Ok(facts(owner.and_then(|owner| Owner::decode(&owner)), cluster, membership))
}

/// A snapshot does not say whose it is. The log does.
fn in_snapshot(dir: &Path, snapshots: &Path) -> Result<Option<ClusterFacts>, ReadError> {
    let Some(snapshot) = Snapshots::newest_unchecked(snapshots)? else { return Ok(None) };
    let cluster = read_entry(&snapshot.path, CLUSTER)?;
    let log = dir.join("log");
    let owner = if log.is_dir() { noted_owner_of(&log)? } else { None };
    Ok(facts(owner, cluster, snapshot.header.membership))
}

fn facts(owner: Option<Owner>, cluster: Option<Bytes>, membership: Bytes) -> Option<ClusterFacts> {
    let cluster = ClusterState::decode(&cluster?).ok()?;
    let cluster = ClusterState { time_ns: 0, ..cluster };
    Some(ClusterFacts { owner: owner?, cluster, membership, admission: Bytes::new(), founding: None })
}

/// A damaged part has no facts.
fn undamaged(read: Result<Option<ClusterFacts>, ReadError>) -> Result<Option<ClusterFacts>, ReadError> {
    match read {
        Ok(facts) => Ok(facts),
        Err(ReadError::Damaged(damage)) => {
            tracing::warn!(%damage, "a part of the data folder that could say which cluster it belongs to is damaged");
            Ok(None)
        }
        Err(other) => Err(other),
    }
}
