//! The files of the write-ahead log: how a node opens them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raft_log::{Config, RaftLog};

use super::file_error::at;
use super::files::{check_folder, make_private_folder};
use super::flush::LogTypes;
use super::log_device::before_opening;
use super::log_tail;
use super::log_types::LogId;

/// The size of a chunk. A purge drops whole chunks only, and opening the log decodes all chunks that are left.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;
/// Payloads that stay in memory for followers that are close behind: those of a second with 10,000 creates. Each create takes
/// twice as much again, for its place in the cache.
const CACHE_BYTES: usize = 2 * 1024 * 1024;
const READ_BUFFER_BYTES: usize = 1024 * 1024;

/// Opens the write-ahead log, and makes its folder if it does not exist. It removes an unfinished write at the end, but
/// nothing up to `noted`.
pub(super) fn open_entries(dir: &Path, noted: Option<LogId>) -> io::Result<RaftLog<LogTypes>> {
    make_usable(dir).and_then(|()| before_opening(dir)).and_then(|()| try_open(dir, noted)).map_err(at(dir))
}

fn try_open(dir: &Path, noted: Option<LogId>) -> io::Result<RaftLog<LogTypes>> {
    log_tail::settle(dir)?;
    log_tail::check_last_file(dir)?;
    match RaftLog::open(config(dir, false)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            if let Some(noted) = noted {
                log_tail::check_reaches(&config(dir, false), noted)?;
            }
            RaftLog::open(config(dir, true))
        }
        // Only zeros may be removed then, which a power cut can leave.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => RaftLog::open(config(dir, true)),
        opened => opened,
    }
}

/// Makes the folder of the log if it does not exist, and checks that nothing in it makes an opening wait.
pub(super) fn make_usable(dir: &Path) -> io::Result<()> {
    make_private_folder(dir)?;
    check_folder(dir)
}

/// How the write-ahead log in this folder is opened.
pub(super) fn config(dir: &Path, remove_unfinished_write: bool) -> Arc<Config> {
    let mut config = Config::new(dir.display());
    config.wal.chunk_max_size = Some(CHUNK_BYTES);
    config.wal.read_buffer_size = Some(READ_BUFFER_BYTES);
    config.wal.flush_batch_wait = Some(Duration::ZERO);
    config.wal.truncate_incomplete_record = Some(remove_unfinished_write);
    config.log_cache_capacity = Some(CACHE_BYTES);
    // With a bound on its bytes, an append that holds the log's lock could wait for the log's thread, which needs the
    // lock to flush. The queue still has room for 1,024 requests only.
    config.wal.flush_queue_max_bytes = Some(usize::MAX);
    Arc::new(config)
}
