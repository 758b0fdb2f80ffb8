//! The data folder of a node before its store opens: one process uses it at a time, and `cluster.id` says whose it is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::cluster_id::{ClusterFacts, ClusterFile, ClusterFileError};
use super::file_error::at;
use super::files::{make_private_folder, open_file};
use super::open_error::OpenError;
use super::stored_facts::stored_facts;
use super::{CLUSTER_FILE, Owner};
use crate::failpoint::{self, Failpoint};

/// The file whose lock the process holds.
const LOCK: &str = "keyraft.lock";
/// What a data folder holds besides `cluster.id` once its node has taken part.
const PARTS: [&str; 4] = ["log", "node.record", "keystore", "snapshots"];

/// A data folder that no other process uses, with `cluster.id` read.
pub struct DataFolder {
    /// Ends when it is dropped or released.
    pub lock: FolderLock,
    /// The file `cluster.id`.
    pub file: ClusterFile,
    /// Whose folder this is.
    pub owner: Owner,
    /// What the keystore or a snapshot says about the cluster, if `cluster.id` says nothing.
    pub stored: Option<ClusterFacts>,
}

/// Keeps other processes from using a data folder. Clones share one lock.
#[derive(Debug, Clone)]
pub struct FolderLock(Arc<File>);

impl DataFolder {
    /// Locks a data folder and reads whose it is. An empty one becomes the folder of `new_owner`, and this is durable when
    /// the call returns.
    ///
    /// # Errors
    /// Another process uses the folder, the file system refused, or the folder has a log or a keystore, and nothing says
    /// to which cluster these belong.
    pub fn open(dir: &Path, new_owner: Owner) -> Result<Self, OpenError> {
        make_private_folder(dir).map_err(at(dir))?;
        let lock = FolderLock::take(dir)?;
        let file = ClusterFile::open(dir)?;
        if let (Some(owner), Some(_)) = (file.owner(), file.facts()) {
            return Ok(Self { lock, file, owner, stored: None });
        }
        if !Self::has_parts(dir)? {
            let (file, owner) = blank(dir, file, new_owner)?;
            return Ok(Self { lock, file, owner, stored: None });
        }
        let stored = stored_facts(dir)?.ok_or(OpenError::ClusterUnknown)?;
        let (found, owner) = (file.owner(), stored.owner);
        match found.filter(|found| *found != owner) {
            Some(found) => Err(foreign((found, &stored), owner)),
            None => {
                tracing::warn!("{CLUSTER_FILE} is lost or damaged; the node makes it again from its keystore");
                Ok(Self { lock, file, owner, stored: Some(stored) })
            }
        }
    }

    /// Whether a folder holds anything that a node makes once it belongs to a cluster, besides `cluster.id`.
    ///
    /// # Errors
    /// The file system refused.
    pub fn has_parts(dir: &Path) -> io::Result<bool> {
        for part in PARTS {
            let path = dir.join(part);
            let is_there = match fs::read_dir(&path) {
                Ok(mut entries) => entries.next().is_some(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => true,
                Err(error) => return Err(error),
            };
            if is_there {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the node has never belonged to a cluster.
    pub fn is_blank(&self) -> bool {
        self.file.facts().is_none() && self.stored.is_none()
    }
}

impl FolderLock {
    fn take(dir: &Path) -> Result<Self, OpenError> {
        let (path, mut options) = (dir.join(LOCK), OpenOptions::new());
        let opened = open_file(&path, options.write(true).create(true).truncate(false).mode(0o600));
        let file = opened.map_err(at(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(Arc::new(file))),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Lets another process use the folder, although clones of this lock remain.
    pub fn release(&self) {
        // The end of the process releases it, too.
        drop(self.0.unlock());
    }
}

/// The file of a node that has never belonged to a cluster. It keeps its store id. Its node id is its place in
/// `cluster.peers`, which may change until the cluster begins.
fn blank(dir: &Path, file: ClusterFile, new_owner: Owner) -> Result<(ClusterFile, Owner), OpenError> {
    if file.owner().is_none() && file.damaged_slots() > 0 {
        return Err(OpenError::NothingBesideDamage);
    }
    let owner = Owner { store_id: file.owner().unwrap_or(new_owner).store_id, ..new_owner };
    let file = if file.owner() == Some(owner) { file } else { ClusterFile::create(dir, owner)? };
    failpoint::reached(Failpoint::FolderNoted);
    Ok((file, owner))
}

fn foreign((found, stored): (Owner, &ClusterFacts), owner: Owner) -> OpenError {
    ClusterFileError::Foreign { file: (found, None), folder: (owner, Some(stored.cluster.id)) }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreId;

    const OWNER: Owner = Owner { store_id: StoreId([1; 16]), node_id: 1 };
    const OTHER: Owner = Owner { store_id: StoreId([2; 16]), node_id: 2 };

    #[test]
    fn a_blank_folder_keeps_its_store_id() {
        let dir = tempfile::tempdir().unwrap();
        for new_owner in [OWNER, OTHER, OTHER] {
            let folder = DataFolder::open(dir.path(), new_owner).unwrap();
            // The store id stays. The node id follows the configuration.
            let owner = Owner { store_id: OWNER.store_id, ..new_owner };
            assert!(folder.is_blank());
            assert_eq!((folder.owner, folder.file.owner()), (owner, Some(owner)));
        }
    }

    #[test]
    fn one_process_uses_a_folder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(dir.path(), OWNER).unwrap();
        assert!(matches!(DataFolder::open(dir.path(), OWNER), Err(OpenError::InUse)));
        let lock = folder.lock.clone();
        lock.release();
        assert!(DataFolder::open(dir.path(), OWNER).is_ok());
        drop(folder);
    }

    #[test]
    fn a_log_or_a_keystore_without_a_cluster_is_refused() {
        for part in PARTS {
            let dir = tempfile::tempdir().unwrap();
            for content in ["", "something"] {
                drop(DataFolder::open(dir.path(), OWNER).unwrap());
                fs::create_dir_all(dir.path().join(part)).unwrap();
                if !content.is_empty() {
                    fs::write(dir.path().join(part).join("x"), content).unwrap();
                }
            }
            let opened = DataFolder::open(dir.path(), OWNER).map(drop);
            assert!(matches!(opened, Err(OpenError::ClusterUnknown)), "{part}: {opened:?}");
        }
    }
}
