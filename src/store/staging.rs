//! Staging: what was applied but not written to sled yet.
//!
//! Each batch that sled is given costs it two writes to the disk, however small it is. The log already holds what was
//! applied, so batches gather here, whole, and many go to sled as one; a crash costs a replay.

use std::collections::HashMap;
use std::io;

use parking_lot::Mutex;

use super::folder::OpenFolder;

/// Beyond this, whoever stages writes at once: memory is bounded however slow the disk is.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Writes of one batch: a value, or none to remove the key.
pub(super) type Writes = HashMap<Vec<u8>, Option<Vec<u8>>>;

/// The folder in use, and what it has yet to be given.
pub(super) struct Staging {
    /// Held while sled writes; what is staged meanwhile goes into the next write.
    folder: Mutex<OpenFolder>,
    gathered: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    writes: Writes,
    bytes: usize,
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
    pub(super) fn new(folder: OpenFolder) -> Self {
        Self { folder: Mutex::new(folder), gathered: Mutex::default() }
    }

    /// Adds a batch. A later write of a key replaces an earlier one.
    pub(super) fn add(&self, writes: Writes) -> io::Result<()> {
        let much = {
            let mut gathered = self.gathered.lock();
            for (key, value) in writes {
                gathered.add(key, value);
            }
            gathered.bytes > MOST_BYTES
        };
        if much { self.write() } else { Ok(()) }
    }

    /// Whether so much has gathered that the next batch may have to wait for the disk.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.gathered.lock().bytes > MOST_BYTES / 2
    }

    /// Gives sled everything gathered so far, in one transaction.
    pub(super) fn write(&self) -> io::Result<()> {
        self.write_to(&self.folder.lock())
    }

    /// The same, and makes it durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        let folder = self.folder.lock();
        self.write_to(&folder)?;
        folder.sync()
    }

    /// Goes over to another folder, which holds everything; what was gathered for the old one is dropped. Nobody
    /// writes to the old folder while `switch` removes it.
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

    #[cfg(test)]
    pub(super) fn folder(&self) -> parking_lot::MutexGuard<'_, OpenFolder> {
        self.folder.lock()
    }

    fn write_to(&self, folder: &OpenFolder) -> io::Result<()> {
        let gathered = std::mem::take(&mut *self.gathered.lock());
        let writes = gathered.writes.len();
        if gathered.writes.is_empty() {
            return Ok(());
        }
        let mut batch = sled::Batch::default();
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

/// Frees what sled replaced while it made so many writes. Each write copies a whole node of its tree, and the copies
/// before it are freed only as later calls come by, some hundred to a hundred calls: with one call a second they would
/// pile up to 200 MB.
pub(super) fn collect_garbage(writes: usize) {
    /// Objects that one step frees at most, and what a write leaves of them.
    const STEP: usize = 512;
    const OBJECTS: usize = 8;
    /// Steps until nothing that was just replaced can still be seen.
    const EPOCHS: usize = 4;
    for _ in 0..EPOCHS + writes * OBJECTS / STEP {
        crossbeam_epoch::pin().flush();
    }
}
