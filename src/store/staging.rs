//! Staging: what this node has applied and not yet written to sled.
//!
//! Each batch costs sled two writes to the disk, however small it is. So whole batches gather here, and sled gets many
//! as one. A crash only costs a replay, because the log already holds them.
//!
//! If sled fails, the keystore goes on in memory only: the log and the newest snapshot have everything. Nothing gathers
//! then, until `store::refill` makes a new folder.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::entries::APPLIED;
use super::folder::{Folders, OpenFolder};
use super::garbage::collect_garbage;
use super::position::KeystorePosition;
use super::read_error::{ReadError, sled_failure};
use super::tags::StoreTags;
use super::used_folder::UsedFolder;

/// Beyond this, [`Staging::add`] writes at once. So memory is bounded however slow the disk is.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// The most that gathers while a new folder is made, or a closed one is opened.
const MOST_REFILL_BYTES: usize = 64 * 1024 * 1024;

/// The writes of one batch: a value, or `None` to remove the key.
pub(super) type Writes = HashMap<Vec<u8>, Option<Vec<u8>>>;

/// The folder in use, and the writes that it does not have yet.
pub(super) struct Staging {
    /// Locked while sled writes. Batches that arrive meanwhile go into the next write.
    folder: Mutex<UsedFolder>,
    folders: Folders,
    tags: StoreTags,
    gathered: Mutex<Gathered>,
    /// Whether sled has something that is not durable.
    unsynced: AtomicBool,
    /// Whether the folder is closed, or has been opened again and not written yet. Opening takes a while, and more may
    /// gather meanwhile.
    closed: AtomicBool,
}

#[derive(Default)]
struct Gathered {
    mode: Mode,
    writes: Writes,
    bytes: usize,
    /// How far the keystore goes with the writes. It gets its tag when sled gets it.
    position: Option<KeystorePosition>,
    /// The level that the writes make active, if they do.
    level: Option<u32>,
}

/// What happens to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    /// Sled gets it.
    #[default]
    Sled,
    /// Nothing on the disk but the log gets it.
    MemoryOnly,
    /// It waits for a folder that `store::refill` makes from a snapshot of the state before it.
    Refill,
}

impl Gathered {
    fn in_mode(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

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
    /// Without a folder the keystore is in memory only.
    pub(super) fn new(folders: Folders, folder: Option<OpenFolder>, tags: StoreTags) -> Self {
        let mode = if folder.is_some() { Mode::Sled } else { Mode::MemoryOnly };
        let (folder, gathered) = (Mutex::new(UsedFolder::of(folder)), Mutex::new(Gathered::in_mode(mode)));
        Self { folder, folders, tags, gathered, unsynced: AtomicBool::new(false), closed: AtomicBool::new(false) }
    }

    /// Whether the keystore is in memory only, because sled failed.
    pub(super) fn is_memory_only(&self) -> bool {
        self.gathered.lock().mode != Mode::Sled
    }

    /// Adds a batch, how far it goes, and the level that it makes active, if it does. A later write of a key replaces an
    /// earlier one.
    pub(super) fn add(&self, writes: Writes, position: KeystorePosition, level: Option<u32>) {
        let much = {
            let mut gathered = self.gathered.lock();
            if gathered.mode == Mode::MemoryOnly {
                return;
            }
            for (key, value) in writes {
                gathered.add(key, value);
            }
            gathered.position = Some(position);
            gathered.level = gathered.level.max(level);
            if gathered.mode == Mode::Refill && gathered.bytes > MOST_REFILL_BYTES {
                *gathered = Gathered::in_mode(Mode::MemoryOnly);
            }
            gathered.mode == Mode::Sled && gathered.bytes > self.most_bytes()
        };
        if much {
            // If sled fails, the node goes on without it, and has logged that.
            drop(self.write());
        }
    }

    /// Whether so many bytes have gathered that the next batch may have to wait for the disk.
    pub(super) fn is_nearly_full(&self) -> bool {
        let gathered = self.gathered.lock();
        gathered.mode == Mode::Sled && gathered.bytes > self.most_bytes() / 2
    }

    fn most_bytes(&self) -> usize {
        if self.is_closed() { MOST_REFILL_BYTES } else { MOST_BYTES }
    }

    /// Whether everything that was added is in sled, and durable, or does not go there.
    pub(super) fn is_done(&self) -> bool {
        !self.unsynced.load(Ordering::Acquire) && self.gathered.lock().position.is_none()
    }

    /// Writes everything gathered so far to sled, in one transaction. If that fails, the keystore is in memory only from then
    /// on, and later calls do nothing.
    pub(super) fn write(&self) -> io::Result<()> {
        self.with_sled(|folder| self.write_to(folder))
    }

    /// The same, and makes it durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.with_sled(|folder| {
            self.write_to(folder)?;
            folder.sync()?;
            self.unsynced.store(false, Ordering::Release);
            Ok(())
        })
    }

    /// Changes to another folder, which has the whole state, and drops what was gathered for the old one. Nothing is
    /// written to the old folder while `switch` removes it. Without a folder, or if `switch` fails, the keystore is in memory
    /// only.
    pub(super) fn replace(&self, folder: Option<OpenFolder>, switch: impl FnOnce(&OpenFolder) -> io::Result<()>) {
        let mut current = self.folder.lock();
        let switched = folder.as_ref().map(switch);
        let (used, unused) = if matches!(switched, Some(Ok(()))) { (folder, None) } else { (None, folder) };
        let mode = if used.is_some() { Mode::Sled } else { Mode::MemoryOnly };
        *self.gathered.lock() = Gathered::in_mode(mode);
        *current = UsedFolder::of(used);
        self.closed.store(false, Ordering::Relaxed);
        drop(current);
        if let Some(Err(error)) = switched {
            log_failure(&error);
        }
        if let Some(unused) = unused {
            self.folders.discard(unused);
        }
    }

    /// Begins to gather for a folder that will have the state as it is now. Returns whether the keystore needs one.
    pub(super) fn begin_refill(&self) -> bool {
        let mut gathered = self.gathered.lock();
        let needed = gathered.mode != Mode::Sled;
        if needed {
            *gathered = Gathered::in_mode(Mode::Refill);
        }
        needed
    }

    /// Puts a folder in use that has the state as it was when [`Staging::begin_refill`] was called. Returns whether the
    /// keystore uses it: it does not if too much has gathered meanwhile, or if another folder came into use.
    pub(super) fn end_refill(
        &self,
        folder: OpenFolder,
        switch: impl FnOnce(&OpenFolder) -> io::Result<()>,
    ) -> io::Result<bool> {
        let mut current = self.folder.lock();
        let still_needed = self.gathered.lock().mode == Mode::Refill;
        let switched = if still_needed { switch(&folder).map(|()| true) } else { Ok(false) };
        if !matches!(switched, Ok(true)) {
            drop(current);
            self.folders.discard(folder);
            return switched;
        }
        let mut gathered = self.gathered.lock();
        // Nobody else leaves this mode while the folder is locked, but too many batches may have come.
        let complete = gathered.mode == Mode::Refill;
        if complete {
            gathered.mode = Mode::Sled;
            *current = UsedFolder::Open(folder);
            self.closed.store(false, Ordering::Relaxed);
        }
        Ok(complete)
    }

    /// Drops what has gathered for a folder that could not be made.
    pub(super) fn give_up_refill(&self) {
        let mut gathered = self.gathered.lock();
        if gathered.mode == Mode::Refill {
            *gathered = Gathered::in_mode(Mode::MemoryOnly);
        }
    }

    /// Whether sled's folder is closed, or has been opened again and not written yet.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Closes sled's folder, if it has everything, durably. The next write opens it again. Returns whether this closed it.
    pub(super) fn close(&self) -> io::Result<bool> {
        let mut folder = self.folder.lock();
        let closed = self.is_done() && folder.close()?;
        self.closed.fetch_or(closed, Ordering::Relaxed);
        Ok(closed)
    }

    /// Does something with sled, unless the keystore is in memory only. It is from then on if that fails: the batch that sled
    /// did not take is lost for it, and after an error sled takes no other.
    fn with_sled(&self, work: impl FnOnce(&OpenFolder) -> io::Result<()>) -> io::Result<()> {
        let mut folder = self.folder.lock();
        // A closed folder has everything that sled has.
        if folder.is_closed() && self.is_done() {
            return Ok(());
        }
        let panicked = |payload: Box<dyn Any + Send>| Err(ReadError::of_panic("writing it", &*payload).into());
        let work = || folder.opened(&self.folders)?.map_or(Ok(()), work);
        let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked);
        if let Err(error) = &done {
            log_failure(error);
            *self.gathered.lock() = Gathered::in_mode(Mode::MemoryOnly);
            self.unsynced.store(false, Ordering::Release);
            *folder = UsedFolder::None;
        }
        done
    }

    /// Takes everything gathered so far, once the note about its level is durable.
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
    pub(super) fn folder(&self) -> parking_lot::MappedMutexGuard<'_, OpenFolder> {
        parking_lot::MutexGuard::map(self.folder.lock(), |folder| match folder {
            UsedFolder::Open(folder) => folder,
            UsedFolder::None | UsedFolder::Closed(_) => panic!("sled does not have the keystore open"),
        })
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
        folder.db.apply_batch(batch).map_err(sled_failure)?;
        self.closed.store(false, Ordering::Relaxed);
        collect_garbage(writes);
        Ok(())
    }
}

fn log_failure(error: &io::Error) {
    tracing::error!(
        %error,
        "this node cannot write its keystore: it keeps everything in memory, and writes the keystore anew when the disk takes it. \
         Nothing is lost: the log and the snapshot have everything"
    );
}
