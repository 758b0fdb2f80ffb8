//! What the disk of the data folder must have and do.

use std::time::Duration;

/// The default of `low`, unless a twentieth of the disk is less.
const STANDARD_LOW: u64 = 512 << 20;
/// The default of `reserve`, unless a quarter of `low` is less.
const STANDARD_RESERVE: u64 = 16 << 20;
/// The default of `stall`.
const STANDARD_STALL: Duration = Duration::from_secs(1);
/// `reserve` is at most this part of `low`.
pub(super) const RESERVE_PART: u64 = 4;

/// How much room the disk of the data folder must have (design, "Full disks"), and how fast it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageConfig {
    /// With less room than this, in bytes, the node says that it lacks room. If absent, 512 MiB or 5 % of the disk, whichever
    /// is less.
    pub low: Option<u64>,
    /// The size of the file that keeps room for what must be written to a full disk, in bytes. If absent, 16 MiB or a quarter
    /// of `low`, whichever is less.
    pub reserve: Option<u64>,
    /// How long a flush of the log may take. After that the disk counts as stalled, and a leader hands leadership over.
    pub stall: Duration,
}

/// The same for one disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageLimits {
    /// With less room than this, the node says that it lacks room.
    pub low: u64,
    /// The size of the file that keeps room.
    pub reserve: u64,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self { low: None, reserve: None, stall: STANDARD_STALL }
    }
}

impl StorageConfig {
    /// The limits on a disk of this size.
    pub fn on_disk_of(self, bytes: u64) -> StorageLimits {
        let low = self.low.unwrap_or_else(|| STANDARD_LOW.min(bytes / 20));
        let reserve = self.reserve.unwrap_or(STANDARD_RESERVE).min(low / RESERVE_PART);
        StorageLimits { low, reserve }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_depend_on_the_disk_unless_the_file_says_otherwise() {
        let limits = |low, reserve, disk| {
            let StorageLimits { low, reserve } =
                StorageConfig { low, reserve, ..StorageConfig::default() }.on_disk_of(disk);
            (low, reserve)
        };
        assert_eq!(limits(None, None, 1 << 40), (512 << 20, 16 << 20));
        assert_eq!(limits(None, None, 400 << 20), (20 << 20, 5 << 20));
        assert_eq!(limits(Some(8 << 20), None, 1 << 40), (8 << 20, 2 << 20));
        assert_eq!(limits(None, Some(32 << 20), 400 << 20), (20 << 20, 5 << 20));
        assert_eq!(limits(Some(64 << 20), Some(0), 1 << 20), (64 << 20, 0));
    }
}
