//! A file that keeps room on a disk, for what must be written when the disk is full.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, OFlags, fallocate};

/// The unit in which the system says how much of the disk a file takes.
const BLOCK_BYTES: u64 = 512;

/// The file, and how much room it keeps.
pub struct Reserve {
    path: PathBuf,
    held: Mutex<u64>,
}

impl Reserve {
    /// The reserve in this file, which need not exist yet.
    pub fn at(path: PathBuf) -> Self {
        let found = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file);
        // A copy of the file may be sparse. Then it keeps no room.
        let held = found.map_or(0, |metadata| metadata.len().min(metadata.blocks() * BLOCK_BYTES));
        Self { path, held: Mutex::new(held) }
    }

    /// How much room it keeps, in bytes.
    pub fn held(&self) -> u64 {
        *self.held.lock()
    }

    /// Makes the file this large, and has the disk keep room for all of it.
    ///
    /// # Errors
    /// The disk has no room for it, or its file system cannot keep room ([`io::ErrorKind::Unsupported`]). Then the reserve
    /// keeps what it kept before.
    pub fn resize(&self, bytes: u64) -> io::Result<()> {
        let mut held = self.held.lock();
        let file = self.open()?;
        if bytes > 0
            && let Err(error) = fallocate(&file, FallocateFlags::empty(), 0, bytes)
        {
            // Some file systems keep what they allocated before they failed.
            file.set_len(*held)?;
            return Err(error.into());
        }
        file.set_len(bytes)?;
        *held = bytes;
        Ok(())
    }

    /// Gives this much room back to the disk, or what is left of it. Returns whether it gave back any.
    ///
    /// # Errors
    /// The file system refused.
    pub fn give_back(&self, bytes: u64) -> io::Result<bool> {
        let mut held = self.held.lock();
        if *held == 0 {
            return Ok(false);
        }
        let left = held.saturating_sub(bytes.max(1));
        self.open()?.set_len(left)?;
        *held = left;
        Ok(true)
    }

    /// Opens the file. Nothing is written through a link, and no pipe in its place makes the node wait.
    fn open(&self) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).custom_flags(flags).open(&self.path)
    }
}

/// Has the disk keep room for `bytes` from this offset of a file on. The length of the file stays as it is.
///
/// # Errors
/// The disk has no room for it, or its file system cannot keep room ([`io::ErrorKind::Unsupported`]).
pub fn allocate_behind(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    Ok(fallocate(file, FallocateFlags::KEEP_SIZE, offset, bytes)?)
}

/// Whether a call failed because the disk, or the share of this user, is full.
pub fn is_lack_of_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that a file takes on the disk.
    fn allocated(path: &std::path::Path) -> u64 {
        path.metadata().unwrap().blocks() * 512
    }

    #[test]
    fn a_reserve_takes_its_room_and_gives_it_back_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reserve");
        let reserve = Reserve::at(path.clone());
        assert_eq!((reserve.held(), reserve.give_back(1).unwrap()), (0, false));
        reserve.resize(1 << 20).unwrap();
        assert!(allocated(&path) >= 1 << 20);
        assert!(reserve.give_back(256 << 10).unwrap());
        assert_eq!(Reserve::at(path.clone()).held(), 768 << 10, "a later start finds what is left");
        assert!(allocated(&path) < 1 << 20);
        assert!(reserve.give_back(u64::MAX).unwrap() && !reserve.give_back(1).unwrap());
        reserve.resize(4096).unwrap();
        assert_eq!((reserve.held(), path.metadata().unwrap().len()), (4096, 4096));
    }

    #[test]
    fn room_behind_a_file_does_not_change_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"content").unwrap();
        allocate_behind(&OpenOptions::new().write(true).open(&path).unwrap(), 7, 1 << 20).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
        assert!(allocated(&path) >= 1 << 20);
    }
}
