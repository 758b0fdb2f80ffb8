//! How much room the file system of a folder has.

use std::io;
use std::path::Path;

use rustix::fs::statvfs;

/// A disk with fewer free inodes counts as full.
const FEWEST_INODES: u64 = 64;

/// The room of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// What this user can still write.
    pub free: u64,
    /// The size of the whole file system.
    pub size: u64,
}

/// Looks how much room the file system of `folder` has.
///
/// # Errors
/// The file system refused.
pub fn disk_space(folder: &Path) -> io::Result<DiskSpace> {
    let system = statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
    // Some file systems count no inodes. Without an inode, no file can be made.
    let has_inodes = system.f_files == 0 || system.f_favail >= FEWEST_INODES;
    let free = if has_inodes { bytes(system.f_bavail) } else { 0 };
    Ok(DiskSpace { free, size: bytes(system.f_blocks) })
}
