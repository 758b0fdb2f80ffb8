//! The sled folder in use. A node at rest closes it, because an open one takes about a hundred bytes of memory for each key.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use super::entries::APPLIED;
use super::folder::{Folders, OpenFolder};
use super::garbage::collect_garbage;
use super::read_error::{ReadError, sled_failure};

/// How many objects sled leaves to be freed when it closes, at most.
const LEFT_BEHIND: usize = 1024;

/// The folder in use, if there is one.
pub(super) enum UsedFolder {
    /// The keystore is in memory only.
    None,
    /// Sled has the folder open.
    Open(OpenFolder),
    /// The folder is closed, and has everything.
    Closed(ClosedFolder),
}

/// A folder that this node closed when everything in it was durable.
pub(super) struct ClosedFolder {
    path: PathBuf,
    /// Its applied position, as it stands there.
    position: Vec<u8>,
}

impl UsedFolder {
    pub(super) fn of(folder: Option<OpenFolder>) -> Self {
        folder.map_or(Self::None, Self::Open)
    }

    /// The folder, which is opened again if it is closed. `None` if the keystore is in memory only.
    ///
    /// # Errors
    /// The folder cannot be opened, or is not as this node left it. It counts as closed then.
    pub(super) fn opened(&mut self, folders: &Folders) -> io::Result<Option<&OpenFolder>> {
        if let Self::Closed(closed) = self {
            *self = Self::Open(closed.open(folders)?);
        }
        match self {
            Self::Open(folder) => Ok(Some(folder)),
            Self::None | Self::Closed(_) => Ok(None),
        }
    }

    /// Closes the folder, which must have everything, durably. Returns whether it is closed now and was not before.
    ///
    /// # Errors
    /// The disk failed. Then the folder stays open.
    pub(super) fn close(&mut self) -> io::Result<bool> {
        let Self::Open(folder) = self else { return Ok(false) };
        // Sled knows no position before the first entry.
        let Some(position) = folder.durable_position()? else { return Ok(false) };
        let path = folder.path.clone();
        *self = Self::Closed(ClosedFolder { path, position });
        collect_garbage(LEFT_BEHIND);
        Ok(true)
    }

    /// Whether the folder is closed.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

impl ClosedFolder {
    /// Opens the folder. The state that it has is not read again: the node has it in memory, and the next start checks it.
    fn open(&self, folders: &Folders) -> io::Result<OpenFolder> {
        let began = Instant::now();
        if !folders.have_room() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        folders.mark_opening()?;
        let opened = OpenFolder::open(self.path.clone());
        // This opening did not end in a crash.
        if !matches!(opened, Err(ReadError::Damaged(_))) {
            folders.clear_opening_mark()?;
        }
        let folder = opened?;
        let found = folder.db.get(APPLIED).map_err(sled_failure)?;
        if found.as_deref() != Some(&self.position[..]) {
            return Err(io::Error::other("the keystore on the disk is not as this node left it"));
        }
        tracing::debug!(took_ms = began.elapsed().as_millis(), "this node has opened its keystore again");
        Ok(folder)
    }
}
