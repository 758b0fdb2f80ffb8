//! A log that is damaged or lost: the node sets it aside, and copies what is left of it to a new one.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Dump, DumpApi, RaftLog, RaftLogAction, WALRecord};

use super::chain::Chain;
use super::file_error::is_system_failure;
use super::files::rename_durably;
use super::flush::LogTypes;
use super::log_files::config;
use super::log_types::{LogId, Payload};

/// What the names of the folders begin with that were set aside. A number follows.
const ASIDE: &str = "log.damaged-";

/// Entries of a log, as they stand there.
type Entries = VecDeque<(LogId, Payload)>;

/// Moves the folder `log` of this data folder aside. Returns where it is then.
pub(super) fn set_aside(dir: &Path) -> io::Result<PathBuf> {
    let to = aside(dir, newest_number(dir)?.map_or(1, |number| number + 1));
    rename_durably(&dir.join("log"), &to)?;
    Ok(to)
}

/// The folder that was set aside last, if there is one.
pub(super) fn newest_aside(dir: &Path) -> io::Result<Option<PathBuf>> {
    Ok(newest_number(dir)?.map(|number| aside(dir, number)))
}

/// Copies entries from the log in the folder `from` to a new log, as far as they continue this chain and are those that the
/// node has applied. This changes nothing in `from`.
pub(super) fn copy_entries(
    from: &Path,
    mut chain: Chain,
    applied: Option<LogId>,
    into: &mut RaftLog<LogTypes>,
) -> io::Result<()> {
    if let Some(purged) = chain.purged() {
        into.purge(purged)?;
    }
    let first = chain.first();
    let (entries, _) = readable(from)?;
    for (id, Payload { bytes, tag, .. }) in entries.into_iter().filter(|(id, _)| id.index >= first) {
        let is_another = applied.is_some_and(|applied| applied.index == id.index && applied != id);
        if is_another || chain.load(id, &bytes, tag).is_err() {
            break;
        }
        into.append([(id, Payload::appended(bytes, tag))])?;
    }
    Ok(())
}

/// The entries of a log up to the first record that cannot be read, and how far its records say that it is purged.
pub(super) fn readable(dir: &Path) -> io::Result<(Entries, Option<LogId>)> {
    let (mut entries, mut purged) = (Entries::new(), None);
    let mut damaged = false;
    let read = Dump::<LogTypes>::new(config(dir, false))?.write_with(|_, _, record| {
        match record {
            Ok((_, WALRecord::Action(action))) if !damaged => follow(&mut entries, &mut purged, action),
            Ok((_, WALRecord::Checkpoint(state))) if !damaged => purged = purged.max(state.purged().copied()),
            Ok(_) => {}
            Err(error) if is_system_failure(&error) => return Err(error),
            Err(_) => damaged = true,
        }
        Ok(())
    });
    match read {
        Err(error) if is_system_failure(&error) => Err(error),
        // What it read before it came to senseless bytes is good.
        _ => Ok((entries, purged)),
    }
}

fn follow(entries: &mut Entries, purged: &mut Option<LogId>, action: RaftLogAction<LogTypes>) {
    match action {
        RaftLogAction::Append(id, payload) => entries.push_back((id, payload)),
        RaftLogAction::TruncateAfter(kept) => {
            while entries.back().is_some_and(|(id, _)| Some(id.index) > kept.map(|kept| kept.index)) {
                entries.pop_back();
            }
        }
        RaftLogAction::PurgeUpto(upto) => {
            *purged = (*purged).max(Some(upto));
            while entries.front().is_some_and(|(id, _)| id.index <= upto.index) {
                entries.pop_front();
            }
        }
        RaftLogAction::SaveVote(_) | RaftLogAction::Commit(_) => {}
    }
}

fn newest_number(dir: &Path) -> io::Result<Option<u64>> {
    let mut newest = None;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(ASIDE)?.parse().ok());
        newest = newest.max(number);
    }
    Ok(newest)
}

fn aside(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{ASIDE}{number}"))
}
