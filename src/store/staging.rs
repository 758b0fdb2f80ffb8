//! Staging: what this node has applied and not yet written to sled.
//!
//! Each batch costs sled two writes to the disk, however small it is. So whole batches gather here, and sled gets many
//! as one. A crash only costs a replay, because the log already holds them.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::entries::APPLIED;
use super::folder::{Folders, OpenFolder};
use super::position::KeystorePosition;
use super::tags::StoreTags;

/// Beyond this, [`Staging::add`] writes at once. So memory is bounded however slow the disk is.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The writes of one batch: a value, or `None` to remove the key.
pub(super) type Writes = HashMap<Vec<u8>, Option<Vec<u8>>>;

/// The folder in use, and the writes that it does not have yet.
pub(super) struct Staging {
    /// Locked while sled writes. Batches that arrive meanwhile go into the next write.
    folder: Mutex<OpenFolder>,
    folders: Folders,
    tags: StoreTags,
    gathered: Mutex<Gathered>,
    /// Whether sled has something that is not durable.
    unsynced: AtomicBool,
}

#[derive(Default)]
struct Gathered {
    writes: Writes,
    bytes: usize,
    /// How far the keystore goes with the writes. It gets its tag when sled gets it.
    position: Option<KeystorePosition>,
    /// The level that the writes make active, if they do.
    level: Option<u32>,
}

impl Gathered {
    fn add(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let length = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        self.bytes += key.len() + length(&value);
        let key_length = key.len();
        if let Some(replaced) = self.writes.insert(key, value) {
            self.bytes -= key_length + length(&replaced);
        }
    }
}

impl Staging {
    pub(super) fn new(folders: Folders, folder: OpenFolder, tags: StoreTags) -> Self {
        let unsynced = AtomicBool::new(false);
        Self { folder: Mutex::new(folder), folders, tags, gathered: Mutex::default(), unsynced }
    }

    /// Adds a batch, how far it goes, and the level that it makes active, if it does. A later write of a key replaces an earlier one.
    pub(super) fn add(&self, writes: Writes, position: KeystorePosition, level: Option<u32>) -> io::Result<()> {
        let much = {
            let mut gathered = self.gathered.lock();
            for (key, value) in writes {
                gathered.add(key, value);
            }
            gathered.position = Some(position);
            gathered.level = gathered.level.max(level);
            gathered.bytes > MOST_BYTES
        };
        if much { self.write() } else { Ok(()) }
    }

    /// Whether so many bytes have gathered that the next batch may have to wait for the disk.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.gathered.lock().bytes > MOST_BYTES / 2
    }

    /// Whether everything that was added is in sled, and durable.
    pub(super) fn is_done(&self) -> bool {
        !self.unsynced.load(Ordering::Acquire) && self.gathered.lock().position.is_none()
    }

    /// Writes everything gathered so far to sled, in one transaction.
    pub(super) fn write(&self) -> io::Result<()> {
        self.write_to(&self.folder.lock())
    }

    /// The same, and makes it durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        let folder = self.folder.lock();
        self.write_to(&folder)?;
        folder.sync()?;
        self.unsynced.store(false, Ordering::Release);
        Ok(())
    }

    /// Changes to another folder, which has the whole state, and drops what was gathered for the old one. Nothing is
    /// written to the old folder while `switch` removes it.
    pub(super) fn replace(
        &self,
        folder: OpenFolder,
        switch: impl FnOnce(&OpenFolder) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut current = self.folder.lock();
        switch(&folder)?;
        *self.gathered.lock() = Gathered::default();
        *current = folder;
        Ok(())
    }

    /// Takes everything gathered so far, once the note about its level is durable. If that fails, everything stays: a later
    /// write must not leave it out.
    fn take(&self) -> io::Result<Gathered> {
        let mut noted = None;
        loop {
            let mut gathered = self.gathered.lock();
            if gathered.level == noted {
                return Ok(std::mem::take(&mut *gathered));
            }
            noted = gathered.level;
            drop(gathered);
            noted.map_or(Ok(()), |level| self.folders.raise_level(level))?;
        }
    }

    #[cfg(test)]
    pub(super) fn folder(&self) -> parking_lot::MutexGuard<'_, OpenFolder> {
        self.folder.lock()
    }

    fn write_to(&self, folder: &OpenFolder) -> io::Result<()> {
        let gathered = self.take()?;
        let writes = gathered.writes.len();
        let Some(position) = gathered.position else { return Ok(()) };
        self.unsynced.store(true, Ordering::Release);
        let mut batch = sled::Batch::default();
        batch.insert(APPLIED, position.encode(&self.tags));
        for (key, value) in gathered.writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        folder.db.apply_batch(batch).map_err(io::Error::other)?;
        collect_garbage(writes);
        Ok(())
    }
}

/// Frees what sled replaced during so many writes. Each write copies a whole node of sled's tree. Later calls free the
/// earlier copies, about a hundred in a hundred calls. With one call a second, the copies would grow to 200 MB.
pub(super) fn collect_garbage(writes: usize) {
    /// The objects that one step frees at most.
    const STEP: usize = 512;
    /// The objects that one write leaves to be freed.
    const OBJECTS: usize = 8;
    /// The steps until no thread can still see an object that was just replaced.
    const EPOCHS: usize = 4;
    for _ in 0..EPOCHS + writes * OBJECTS / STEP {
        crossbeam_epoch::pin().flush();
    }
}
