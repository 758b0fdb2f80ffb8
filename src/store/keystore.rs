//! The keystore: what this node has applied from the log, in sled for the next start and in memory for requests.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::damage::Damage;
use super::entries::{APPLIED, OWNER};
use super::folder::{Folders, OpenFolder, check_files};
use super::image::{Applied, Image, ImageBuilder};
use super::load::{fill_if_possible, scan};
use super::owner::Owner;
use super::position::KeystorePosition;
use super::read_error::{ReadError, sled_failure};
use super::snapshot::Snapshot;
use super::snapshot_reader::read_image;
use super::staging::{Staging, Writes};
use super::tags::StoreTags;
use super::{DigestRing, LogId, Progress, RecordsPerRingVersion, StateDigest, View};
use crate::crypto::DigestKey;
use crate::state::{LOWEST_LEVEL, Memory};

/// What this node has applied. The state machine owns it, and gives it the changes of committed entries in order.
pub struct Keystore {
    pub(super) folders: Folders,
    pub(super) staging: Arc<Staging>,
    pub(super) tags: StoreTags,
    /// The key of digests at the active version of the integrity keys.
    pub(super) digest_key: DigestKey,
    pub(super) view: Arc<View>,
    /// The stored bytes of what is neither the record of a key nor a remembered command, by the entry's key.
    pub(super) small: BTreeMap<Vec<u8>, Bytes>,
    pub(super) memory: Memory,
    pub(super) applied: Applied,
    pub(super) ring_versions: RecordsPerRingVersion,
    pub(super) membership: Bytes,
    pub(super) membership_hash: [u8; 32],
    progress: watch::Sender<Progress>,
    pub(super) last_revocation: u64,
    pub(super) malformed: u64,
    pub(super) digests: Arc<DigestRing>,
    pub(super) writes: Writes,
    /// The level that `writes` make active, if they do.
    pub(super) new_level: Option<u32>,
    /// Pages of remembered commands that differ from what is staged.
    pub(super) changed_pages: BTreeSet<u64>,
}

/// Writes what a keystore has applied to sled and makes it durable, from another thread.
#[derive(Clone)]
pub struct KeystoreCheckpoint {
    staging: Arc<Staging>,
    folders: Folders,
}

impl Keystore {
    /// Opens the keystore in use, or returns `None` if this node does not have one.
    pub(super) fn open(folders: Folders, tags: StoreTags) -> Result<Option<Self>, ReadError> {
        let Some(path) = folders.find_current()? else { return Ok(None) };
        // What fails before this leaves the mark of an earlier start, which may say that the keystore is damaged.
        folders.mark_opening()?;
        let read = read_folder(path.clone(), &tags).map_err(|error| match error {
            // Sled takes what it cannot read for something that was never written.
            ReadError::Damaged(damage) => check_files(&path).map_or_else(ReadError::Io, |()| damage.into()),
            other => other,
        });
        // This opening did not end in a crash. If a failure of the file system left the mark, the next openings would
        // count as crashes, and those as damage.
        if !matches!(read, Err(ReadError::Damaged(_))) {
            folders.clear_opening_mark()?;
        }
        let (folder, image) = read?;
        Ok(Some(Self::assemble(folders, Some(folder), tags, image)))
    }

    /// Makes an empty keystore and puts it in use.
    pub(super) fn create(folders: Folders, tags: StoreTags) -> io::Result<Self> {
        let folder = folders.create()?;
        let applied = Applied { key_version: tags.active(), ..Applied::default() };
        let made = fill_empty(&folder, &tags, &applied).and_then(|()| folders.switch_to(&folder, LOWEST_LEVEL));
        if let Err(error) = made {
            folders.discard(folder);
            return Err(error);
        }
        folders.clear_wrong_mark()?;
        let empty = empty_image(&tags, applied).map_err(io::Error::other)?;
        Ok(Self::assemble(folders, Some(folder), tags, empty))
    }

    /// Makes a keystore from a snapshot and puts it in use. If sled cannot be written, it is in memory only.
    pub(super) fn create_from(folders: Folders, tags: StoreTags, snapshot: &Snapshot) -> Result<Self, ReadError> {
        let (folder, image) = fill_if_possible(&folders, &tags, snapshot)?;
        let keystore = Self::assemble(folders, None, tags, image);
        keystore.put_in_use(folder, snapshot);
        keystore.folders.clear_wrong_mark().map_err(ReadError::Io)?;
        Ok(keystore)
    }

    /// Makes a keystore that is in memory only, with the state of a snapshot, or without any. What was applied since must be
    /// in the log.
    pub(super) fn in_memory(folders: Folders, tags: StoreTags, from: Option<&Snapshot>) -> Result<Self, ReadError> {
        let image = match from {
            Some(snapshot) => read_image(&snapshot.path, &snapshot.header.applied, &tags, |_, _| Ok(()))?,
            None => empty_image(&tags, Applied { key_version: tags.active(), ..Applied::default() })?,
        };
        Ok(Self::assemble(folders, None, tags, image))
    }

    /// Puts a folder in use that has the whole state of a snapshot. Without one, the keystore is in memory only.
    fn put_in_use(&self, folder: Option<OpenFolder>, snapshot: &Snapshot) {
        self.staging.replace(folder, |folder| self.folders.switch_to(folder, snapshot.header.level.level));
    }

    /// Replaces the whole state by that of a snapshot. Requests see the old state or the new one. If sled cannot be written,
    /// the keystore is in memory only.
    ///
    /// # Errors
    /// The snapshot is damaged or cannot be read. Then nothing has changed.
    pub fn install(&mut self, snapshot: &Snapshot) -> Result<(), ReadError> {
        let (folder, image) = fill_if_possible(&self.folders, &self.tags, snapshot)?;
        self.put_in_use(folder, snapshot);
        self.view.replace_with(image.view);
        (self.small, self.memory) = (image.small, image.memory);
        (self.applied, self.membership) = (image.applied, image.membership);
        self.membership_hash = Sha256::digest(&self.membership).into();
        self.ring_versions = image.ring_versions;
        self.last_revocation = self.applied.index();
        self.writes = Writes::new();
        self.changed_pages.clear();
        self.new_level = None;
        self.note_digest();
        self.publish();
        Ok(())
    }

    fn assemble(folders: Folders, folder: Option<OpenFolder>, tags: StoreTags, image: Image) -> Self {
        let keystore = Self {
            staging: Arc::new(Staging::new(folders.clone(), folder, tags.clone())),
            folders,
            digest_key: tags.active_digest_key(),
            tags,
            view: Arc::new(image.view),
            small: image.small,
            memory: image.memory,
            membership_hash: Sha256::digest(&image.membership).into(),
            membership: image.membership,
            progress: watch::Sender::default(),
            // The node does not know the index of each revocation before its start, but none is later than this.
            last_revocation: image.applied.index(),
            malformed: 0,
            applied: image.applied,
            ring_versions: image.ring_versions,
            digests: Arc::default(),
            writes: Writes::new(),
            new_level: None,
            changed_pages: BTreeSet::new(),
        };
        keystore.note_digest();
        keystore.publish();
        keystore
    }

    /// The part of the state that requests read.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The last entry applied.
    pub fn last_applied(&self) -> Option<LogId> {
        self.applied.last
    }

    /// The membership after the last entry applied, as `raft` encodes it. It is empty before the first entry.
    pub fn membership(&self) -> &Bytes {
        &self.membership
    }

    /// How many records of keys a version of the key ring seals.
    pub fn records_under(&self, ring_version: u32) -> u64 {
        self.ring_versions.count(ring_version)
    }

    /// The owner of the store that this keystore belongs to.
    pub fn owner(&self) -> Owner {
        self.tags.owner
    }

    /// The outcomes of the last commands.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How far this node has applied the log, now and after each batch.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The digests after the last entries applied.
    pub fn digests(&self) -> Arc<DigestRing> {
        Arc::clone(&self.digests)
    }

    /// A handle that writes to disk what the keystore has applied.
    pub fn checkpoint(&self) -> KeystoreCheckpoint {
        KeystoreCheckpoint { staging: Arc::clone(&self.staging), folders: self.folders.clone() }
    }

    /// Adds the digest of the state now to those of the last entries.
    pub(super) fn note_digest(&self) {
        let Applied { last: Some(last), digest, key_version, .. } = self.applied else { return };
        self.digests.add(StateDigest { index: last.index, digest, key_version });
    }

    pub(super) fn publish(&self) {
        self.progress.send_replace(Progress {
            applied: self.applied.last,
            digest: self.applied.digest,
            last_revocation: self.last_revocation,
            malformed: self.malformed,
        });
    }
}

impl KeystoreCheckpoint {
    /// Whether everything applied so far is in sled, and durable.
    pub fn is_done(&self) -> bool {
        self.staging.is_done()
    }

    /// Whether the keystore is in memory only, because sled failed. The next snapshot then brings a new sled folder.
    pub fn is_memory_only(&self) -> bool {
        self.staging.is_memory_only()
    }

    /// Writes everything applied so far to sled, unless the keystore is in memory only.
    ///
    /// # Errors
    /// Sled failed. From now on the keystore is in memory only.
    pub fn write(&self) -> io::Result<()> {
        self.staging.write()
    }

    /// Writes everything applied so far to sled and makes it durable, unless the keystore is in memory only.
    ///
    /// # Errors
    /// Sled failed. From now on the keystore is in memory only.
    pub fn run(&self) -> io::Result<()> {
        self.staging.sync()
    }

    /// Whether sled takes no memory: it is closed, or the keystore is in memory only.
    pub fn is_closed(&self) -> bool {
        self.staging.is_closed() || self.staging.is_memory_only()
    }

    /// Closes sled, which takes much memory, if it has everything, durably. The next write opens it again. Returns whether
    /// this closed it.
    ///
    /// # Errors
    /// The disk failed. Sled stays open.
    pub fn close(&self) -> io::Result<bool> {
        self.staging.close()
    }

    /// Notes that the state of this node is wrong, so that the next start sets it aside and takes a peer's.
    ///
    /// # Errors
    /// The disk failed.
    pub fn mark_wrong(&self) -> io::Result<()> {
        self.folders.mark_wrong()
    }
}

/// The state of a cluster that has not begun.
fn empty_image(tags: &StoreTags, applied: Applied) -> Result<Image, Damage> {
    ImageBuilder::new(tags, applied.key_version).and_then(|empty| empty.finish(applied, Bytes::new()))
}

fn fill_empty(folder: &OpenFolder, tags: &StoreTags, applied: &Applied) -> io::Result<()> {
    let position = KeystorePosition::of(applied.clone(), &[]);
    folder.db.insert(OWNER, tags.owner.encode()).map_err(sled_failure)?;
    folder.db.insert(APPLIED, position.encode(tags)).map_err(sled_failure)?;
    folder.sync()
}

fn read_folder(path: PathBuf, tags: &StoreTags) -> Result<(OpenFolder, Image), ReadError> {
    let folder = OpenFolder::open(path)?;
    let scanned = catch_unwind(AssertUnwindSafe(|| scan(&folder.db, tags)));
    let panicked = |payload: Box<dyn Any + Send>| Err(ReadError::of_panic("reading it", &*payload));
    let (position, image) = scanned.unwrap_or_else(panicked).map_err(|error| error.at(&folder.path))?;
    let durable = folder.durable_position()?;
    let durable = durable.ok_or_else(|| Damage::Unreadable("its file DURABLE is gone".to_owned()))?;
    let durable = KeystorePosition::decode(&durable, tags).map_err(|damage| match damage {
        // The position was read, and is never under an older key than DURABLE. So `cluster.id` is not too old.
        Damage::UnknownKey { .. } => Damage::Unreadable("its file DURABLE is damaged".to_owned()),
        damage => damage,
    })?;
    position.reaches(&durable)?;
    Ok((folder, image))
}

#[cfg(test)]
mod tests;
