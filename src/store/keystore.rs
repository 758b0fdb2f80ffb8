//! The keystore: what was applied, derived from the log, in sled; and the view of it that is read.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tokio::sync::watch;

use super::entries::{APPLIED, OWNER};
use super::folder::{Folders, OpenFolder};
use super::image::{Applied, Damage, Image, ImageBuilder};
use super::load::{fill, scan};
use super::owner::Owner;
use super::snapshot::Snapshot;
use super::staging::{Staging, Writes};
use super::{LogId, Progress, View};
use crate::state::{Digest, Memory};

/// What one node has applied. It has one owner, who feeds it committed entries in order.
pub struct Keystore {
    folders: Folders,
    pub(super) staging: Arc<Staging>,
    owner: Owner,
    pub(super) view: Arc<View>,
    pub(super) memory: Memory,
    pub(super) applied: Applied,
    pub(super) membership: Bytes,
    progress: watch::Sender<Progress>,
    pub(super) last_revocation: u64,
    pub(super) marks: VecDeque<(u64, Digest)>,
    /// The same, for those who watch the progress: it seldom changes, and is told with every batch.
    pub(super) shown_marks: Arc<[(u64, Digest)]>,
    pub(super) writes: Writes,
    /// Pages of remembered commands that differ from what is staged.
    pub(super) changed_pages: BTreeSet<u64>,
}

/// Writes what a keystore has applied, and makes it durable, from a thread of its own.
#[derive(Clone)]
pub struct Checkpoint {
    staging: Arc<Staging>,
    folders: Folders,
}

impl Keystore {
    /// Opens the keystore in use under `folders`; none when there is none.
    pub(super) fn open(folders: Folders) -> Result<Option<Self>, Damage> {
        let Some(folder) = folders.open_current()? else { return Ok(None) };
        let scanned = catch_unwind(AssertUnwindSafe(|| scan(&folder.db)));
        let (owner, image) = scanned.unwrap_or_else(|_| Err(unreadable(&"reading it panicked")))?;
        let durable = folder.durable().map_err(|e| unreadable(&e))?;
        durable.map_or(Ok(()), |durable| image.applied.reaches(&durable))?;
        folders.opened().map_err(|e| unreadable(&e))?;
        Ok(Some(Self::assemble(folders, folder, owner, image)))
    }

    /// Makes an empty keystore and puts it in use.
    pub(super) fn create(folders: Folders, owner: Owner) -> io::Result<Self> {
        let folder = folders.create()?;
        folder.db.insert(OWNER, owner.encode()).map_err(io::Error::other)?;
        folder.db.insert(APPLIED, Applied::default().to_wire().encode_to_vec()).map_err(io::Error::other)?;
        folder.sync()?;
        folders.switch_to(&folder)?;
        let image = ImageBuilder::default().finish(Applied::default(), Bytes::new()).map_err(io::Error::other)?;
        Ok(Self::assemble(folders, folder, owner, image))
    }

    /// Makes a keystore of what a snapshot holds and puts it in use.
    pub(super) fn create_from(folders: Folders, owner: Owner, snapshot: &Snapshot) -> Result<Self, Damage> {
        let (folder, image) = fill(&folders, owner, snapshot)?;
        folders.switch_to(&folder).map_err(|e| unreadable(&e))?;
        Ok(Self::assemble(folders, folder, owner, image))
    }

    /// Replaces everything by what a snapshot holds. Readers see the old state or the new one, never half of it.
    ///
    /// # Errors
    /// The snapshot is damaged, or the disk failed; nothing has changed.
    pub fn install(&mut self, snapshot: &Snapshot) -> Result<(), Damage> {
        let (folder, image) = fill(&self.folders, self.owner, snapshot)?;
        self.staging.replace(folder, |folder| self.folders.switch_to(folder)).map_err(|e| unreadable(&e))?;
        self.view.replace_with(image.view);
        (self.memory, self.applied, self.membership) = (image.memory, image.applied, image.membership);
        self.last_revocation = self.applied.index();
        (self.writes, self.marks, self.shown_marks) = (Writes::new(), VecDeque::new(), Arc::default());
        self.changed_pages.clear();
        self.publish();
        Ok(())
    }

    fn assemble(folders: Folders, folder: OpenFolder, owner: Owner, image: Image) -> Self {
        let keystore = Self {
            folders,
            staging: Arc::new(Staging::new(folder)),
            owner,
            view: Arc::new(image.view),
            memory: image.memory,
            membership: image.membership,
            progress: watch::Sender::default(),
            // What was revoked before this node started is not known one by one; all of it was by here.
            last_revocation: image.applied.index(),
            applied: image.applied,
            marks: VecDeque::new(),
            shown_marks: Arc::default(),
            writes: Writes::new(),
            changed_pages: BTreeSet::new(),
        };
        keystore.publish();
        keystore
    }

    /// What requests read.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The last entry applied.
    pub fn last_applied(&self) -> Option<LogId> {
        self.applied.last
    }

    /// The membership as of the last entry applied, as `raft` encodes it; empty before the first.
    pub fn membership(&self) -> &Bytes {
        &self.membership
    }

    /// Whose keystore this is.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The outcomes of the last commands.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How far the keystore is, now and from now on.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Makes what is written durable when asked to.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { staging: Arc::clone(&self.staging), folders: self.folders.clone() }
    }

    pub(super) fn publish(&self) {
        self.progress.send_replace(Progress {
            applied: self.applied.last,
            digest: self.applied.digest,
            last_revocation: self.last_revocation,
            marks: Arc::clone(&self.shown_marks),
        });
    }
}

impl Checkpoint {
    /// Writes everything applied so far.
    ///
    /// # Errors
    /// The disk failed; the node must stop.
    pub fn write(&self) -> io::Result<()> {
        self.staging.write()
    }

    /// Writes everything applied so far and makes it durable.
    ///
    /// # Errors
    /// The disk failed; the node must stop.
    pub fn run(&self) -> io::Result<()> {
        self.staging.sync()
    }

    /// Marks the keystore as damaged: the next opening makes it anew.
    ///
    /// # Errors
    /// The disk failed.
    pub fn distrust(&self) -> io::Result<()> {
        self.folders.distrust()
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Damage {
    Damage::Unreadable(error.to_string())
}

#[cfg(test)]
mod tests;
