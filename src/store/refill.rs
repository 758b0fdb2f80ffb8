//! Makes a new sled folder from a snapshot while the node goes on applying, after sled had failed.

use std::sync::Arc;

use super::folder::Folders;
use super::load::fill;
use super::read_error::ReadError;
use super::snapshot::Snapshot;
use super::staging::Staging;
use super::tags::StoreTags;

/// A folder to make from the next snapshot. Until it is dropped, what the node applies gathers for that folder.
pub(super) struct Refill {
    staging: Arc<Staging>,
    folders: Folders,
    tags: StoreTags,
}

impl Refill {
    /// Begins with the state as it is now, if the keystore is in memory only.
    pub(super) fn begin(staging: &Arc<Staging>, folders: &Folders, tags: &StoreTags) -> Option<Self> {
        let needed = staging.begin_refill();
        needed.then(|| Self { staging: Arc::clone(staging), folders: folders.clone(), tags: tags.clone() })
    }

    /// Makes the folder from a snapshot of the state when this began, and puts it in use. If that fails, the keystore stays in
    /// memory: the snapshot and the log have everything.
    pub(super) fn run(self, snapshot: &Snapshot) {
        match self.fill(snapshot) {
            Ok(true) => tracing::info!("this node has written its keystore anew"),
            Ok(false) => tracing::warn!("this node could not write its keystore anew: too much was applied meanwhile"),
            Err(error) => tracing::warn!(%error, "this node cannot write its keystore anew, and tries again later"),
        }
    }

    fn fill(&self, snapshot: &Snapshot) -> Result<bool, ReadError> {
        let (folder, _) = fill(&self.folders, &self.tags, snapshot)?;
        let switch = |folder: &_| self.folders.switch_to(folder, snapshot.header.level.level);
        self.staging.end_refill(folder, switch).map_err(ReadError::Io)
    }
}

impl Drop for Refill {
    fn drop(&mut self) {
        self.staging.give_up_refill();
    }
}
