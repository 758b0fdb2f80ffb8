//! The end of a write-ahead log, before it opens: what is not durable there becomes so. Opening a log that ends with an
//! unfinished write removes that write. It must not remove more: a damaged length can look like an unfinished write.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_log::codeq::Decode;
use raft_log::{Config, Dump, DumpApi, RaftLogAction, RaftLogRecord, WALRecord};
use rustix::fs::Advice;

use super::flush::LogTypes;
use super::forged::{Forged, Forgery};
use super::log_types::LogId;

/// More than the first record of a file has: a checkpoint without entries.
const FIRST_RECORD_BYTES: u64 = 1024;
/// How many files may have bytes that are not durable: the last one, and the one before if the last is still empty.
const UNSETTLED_FILES: usize = 2;

/// Makes durable what an earlier process has written without a flush, so that the node may count on everything that it reads.
/// After a flush that failed, the system keeps bytes in memory that the disk does not have. So this also has the next read
/// go to the disk.
pub(super) fn settle(dir: &Path) -> io::Result<()> {
    let mut files = files(dir)?;
    files.sort();
    for path in files.iter().rev().take(UNSETTLED_FILES) {
        let file = File::open(path)?;
        file.sync_data()?;
        // The system may refuse this, and then the memory is all it has.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
    }
    Ok(())
}

/// Fails if the last file is long, but does not have a whole first record. The write-ahead log would remove the file.
pub(super) fn check_last_file(dir: &Path) -> io::Result<()> {
    let Some(last) = files(dir)?.into_iter().max() else { return Ok(()) };
    let file = File::open(last)?;
    let long = file.metadata()?.len() > FIRST_RECORD_BYTES;
    match RaftLogRecord::<LogTypes>::decode(BufReader::new(file)) {
        Err(error) if long && error.kind() == io::ErrorKind::UnexpectedEof => Err(Forged::from(Forgery::End).into()),
        _ => Ok(()),
    }
}

/// Fails if the records that can be read do not reach this position, up to which they were durable.
pub(super) fn check_reaches(config: &Arc<Config>, noted: LogId) -> io::Result<()> {
    let mut last = None;
    let mut damaged = false;
    Dump::<LogTypes>::new(Arc::clone(config))?.write_with(|_, _, record| {
        match record {
            Ok((_, record)) if !damaged => follow(&mut last, &record),
            _ => damaged = true,
        }
        Ok(())
    })?;
    if last < Some(noted) {
        return Err(Forged::from(Forgery::Flushed { index: noted.index }).into());
    }
    Ok(())
}

fn follow(last: &mut Option<LogId>, record: &RaftLogRecord<LogTypes>) {
    match record {
        WALRecord::Action(RaftLogAction::Append(id, _)) => *last = Some(*id),
        WALRecord::Action(RaftLogAction::TruncateAfter(kept)) => *last = *kept,
        WALRecord::Action(RaftLogAction::PurgeUpto(upto)) => *last = (*last).max(Some(*upto)),
        WALRecord::Checkpoint(state) => *last = state.last().copied(),
        WALRecord::Action(RaftLogAction::SaveVote(_) | RaftLogAction::Commit(_)) => {}
    }
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path()));
    paths.filter(|path| path.as_ref().map_or(true, |path| path.extension().is_some_and(|end| end == "wal"))).collect()
}
