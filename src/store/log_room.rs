//! Keeps room on the disk for what the log is about to write. After a write that failed, the log could take no other.
//!
//! The room is allocated behind the end of the file that the log writes to, so that no other program can take it. The
//! length of the file stays as it is.

use std::fs::OpenOptions;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use raft_log::{RaftLog, Types};

use crate::disk::{DiskRoom, allocate_behind, is_lack_of_room};

/// Room for records besides entries. Each has less than a kilobyte.
const OTHER_RECORDS: u64 = 64 << 10;
/// How far ahead the node allocates room on a full disk.
const LITTLE_AHEAD: u64 = 256 << 10;
/// Room for a new file and its entry in the folder.
const NEW_FILE: u64 = 64 << 10;

/// The room of one log.
pub(super) struct LogRoom {
    disk: Arc<DiskRoom>,
    ahead: Mutex<Ahead>,
}

/// How much room the node has allocated behind the end of the log.
#[derive(Debug, Clone, Copy, Default)]
struct Ahead {
    /// So many bytes of entries may follow.
    entries: u64,
    /// Whether there is room for everything that the log has taken.
    is_enough: bool,
}

impl LogRoom {
    pub(super) fn new(disk: Arc<DiskRoom>) -> Self {
        Self { disk, ahead: Mutex::default() }
    }

    /// Has room for entries of this many bytes, which the log is about to take. If that fails, [`LogRoom::has_enough`] says
    /// so.
    pub(super) fn prepare(&self, log: &RaftLog<impl Types>, bytes: u64) {
        let mut ahead = self.ahead.lock();
        if bytes <= ahead.entries {
            ahead.entries -= bytes;
            return;
        }
        *ahead = self.allocate(log, bytes);
        // The entries may begin a new file. Then the rest of them has no room yet.
        ahead.is_enough &= ahead.entries > 0;
    }

    /// Allocates room for what may come soon, while the disk has some.
    pub(super) fn fill(&self, log: &RaftLog<impl Types>) {
        let mut ahead = self.ahead.lock();
        if !self.disk.lacks_room() && ahead.is_enough && ahead.entries < self.disk.ahead() / 2 {
            *ahead = self.allocate(log, 0);
        }
    }

    /// Whether the disk has room for everything that the log has taken, so that a flush can begin.
    pub(super) fn has_enough(&self, log: &RaftLog<impl Types>) -> bool {
        let mut ahead = self.ahead.lock();
        if !ahead.is_enough {
            *ahead = self.allocate(log, 0);
        }
        ahead.is_enough
    }

    /// Allocates room for entries of this many bytes, and for what may come soon.
    fn allocate(&self, log: &RaftLog<impl Types>, bytes: u64) -> Ahead {
        match self.try_allocate(log, bytes) {
            Ok(ahead) => Ahead { entries: ahead, is_enough: true },
            Err(error) if is_lack_of_room(&error) => Ahead::default(),
            // The flush shows whether the file system takes the entries.
            Err(_) => Ahead { entries: 0, is_enough: true },
        }
    }

    /// Returns how many bytes of entries may follow those.
    fn try_allocate(&self, log: &RaftLog<impl Types>, bytes: u64) -> io::Result<u64> {
        let chunk = log.stat().open_chunk;
        let needed = bytes + OTHER_RECORDS;
        let left = (log.config().wal.chunk_max_size() as u64).saturating_sub(chunk.size);
        let begins_file = left <= needed;
        if begins_file {
            self.disk.free_up(needed + NEW_FILE)?;
        }
        let file = OpenOptions::new().write(true).open(log.config().wal.chunk_path(chunk.chunk_id))?;
        // The log may have taken records that it has yet to write to the file.
        let written = file.metadata()?.len();
        let end = chunk.size.max(written) + needed;
        let allocate = |ahead: u64| match allocate_behind(&file, written, end + ahead - written) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.disk.free_up(needed + ahead),
            done => done,
        };
        let most = if begins_file { 0 } else { left - needed };
        let (ahead, little) = (self.disk.ahead().min(most), LITTLE_AHEAD.min(most));
        if ahead > little && allocate(ahead).is_ok() {
            return Ok(ahead);
        }
        self.disk.with_reserve(needed + little, || allocate(little))?;
        Ok(little)
    }
}
