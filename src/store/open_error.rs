//! Why a node's data folder cannot be opened, and what an operator does about it.

use std::io;

use thiserror::Error;

use super::damage::Damage;
use super::file_error::{advice, is_system_failure};
use super::forged::{Forged, KEEP_FOLDER};
use super::level::UnreadableLevel;
use super::log_open_error::LogOpenError;
use super::read_error::ReadError;
use super::{CLUSTER_FILE, ClusterFileError};

/// Why a store cannot be opened. An operator must act.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file system refused, or a file is damaged.
    #[error("{}", io_text(.0))]
    Io(#[from] io::Error),
    /// A part of it is damaged that the node cannot make again.
    #[error("{}", damage_text(.0))]
    Damaged(#[from] Damage),
    /// Another version of Keyraft must read it.
    #[error(transparent)]
    Level(#[from] UnreadableLevel),
    /// Another process uses the folder.
    #[error("another process uses it: stop that process, or name another folder")]
    InUse,
    /// The folder has a keystore, snapshots or `cluster.id`, but somebody removed the log.
    #[error(
        "it holds a keystore, snapshots or cluster.id, but no log. A node without its log must not vote, so this node ends. If the \
         folder 'log' was moved, put it back as it was when this node last ran. Never put back a copy or a backup: an \
         older log lacks writes that this node acknowledged, and using it can lose keys. Delete nothing: the keystore \
         and the snapshots still hold keys. If the log is lost, leave this node stopped; this version cannot replace a \
         node. The other nodes go on without it while more than half of all nodes run"
    )]
    KeystoreWithoutLog,
    /// The folder has a log or a keystore, but nothing in it says which cluster they belong to.
    #[error(
        "it holds a log, a keystore or snapshots, but neither {CLUSTER_FILE} nor the keystore nor a snapshot says which \
         cluster they belong to, so this node ends. If one of them was moved, put it back as it was when this node last ran. \
         Never put back a copy or a backup: an older one lacks writes that this node acknowledged, and using it can lose \
         keys. Delete nothing: what is left may still hold keys. If {CLUSTER_FILE} and the keystore are lost, leave this \
         node stopped; this version cannot replace a node. The other nodes go on without it while more than half of all \
         nodes run"
    )]
    ClusterUnknown,
    /// `cluster.id` is damaged, and nothing is beside it.
    #[error(
        "its file {CLUSTER_FILE} is damaged, and nothing beside it says whose folder this is, so this node ends. If the log \
         and the keystore were moved, put them back as they were when this node last ran. If this node has never been part \
         of a cluster, name an empty folder instead"
    )]
    NothingBesideDamage,
    /// The file `cluster.id` cannot be used.
    #[error(transparent)]
    ClusterFile(#[from] ClusterFileError),
    /// The log or the node record is not what this node wrote.
    #[error(transparent)]
    Forged(#[from] Forged),
    /// The folder has a log, but somebody removed the node record.
    #[error(
        "it holds a log, but no node.record. A node without the record of its votes must not vote, so this node ends. If \
         node.record was moved, put it back as it was when this node last ran. Never put back a copy or a backup: this \
         node would forget a vote, and the cluster could lose keys. Delete nothing. If node.record is lost, leave this node \
         stopped; this version cannot replace a node. The other nodes go on without it while more than half of all nodes \
         run"
    )]
    LogWithoutRecord,
}

impl OpenError {
    /// Whether a restart alone does not help: somebody must act first.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Io(error) | Self::ClusterFile(ClusterFileError::Io(error)) => is_damage(error),
            Self::InUse => false,
            Self::Damaged(_)
            | Self::Level(_)
            | Self::KeystoreWithoutLog
            | Self::ClusterUnknown
            | Self::NothingBesideDamage
            | Self::ClusterFile(_)
            | Self::Forged(_)
            | Self::LogWithoutRecord => true,
        }
    }
}

impl From<LogOpenError> for OpenError {
    fn from(error: LogOpenError) -> Self {
        match error {
            // Another process holds the lock on the log's folder.
            LogOpenError::Io(error) if error.kind() == io::ErrorKind::WouldBlock => Self::InUse,
            LogOpenError::Io(error) => Self::Io(error),
            LogOpenError::Damaged(damage) => Self::Damaged(damage),
            LogOpenError::Level(error) => Self::Level(error),
            LogOpenError::Forged(forged) => Self::Forged(forged),
            LogOpenError::Foreign { file, folder } => {
                ClusterFileError::Foreign { file: (file, None), folder: (folder, None) }.into()
            }
            LogOpenError::WithoutLog => Self::KeystoreWithoutLog,
            LogOpenError::WithoutRecord => Self::LogWithoutRecord,
        }
    }
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Level(error) => Self::Level(error),
            ReadError::Damaged(damage) => Self::Damaged(damage),
            // Another user of this process still has the sled folder open.
            ReadError::Io(error) if error.kind() == io::ErrorKind::WouldBlock => Self::InUse,
            ReadError::Io(error) => Self::Io(error),
        }
    }
}

fn io_text(error: &io::Error) -> String {
    match error.kind() {
        _ if is_system_failure(error) && error.kind() != io::ErrorKind::PermissionDenied => {
            format!("{error}{}", advice(error))
        }
        io::ErrorKind::PermissionDenied => format!(
            "this process may not read and write all files in it ({error}): make the user that runs the node the owner of the \
             folder and of everything in it"
        ),
        _ if is_damage(error) => format!("a file in it is damaged: {error}. {KEEP_FOLDER}"),
        _ => format!("it cannot be opened: {error}"),
    }
}

/// Whether the bytes of a file make no sense. raft-log reports a wrong checksum like this.
fn is_damage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

fn damage_text(damage: &Damage) -> String {
    match damage {
        Damage::UnknownKey { .. } => format!("it cannot be opened: {damage}"),
        _ => format!("a file in it is damaged: {damage}. {KEEP_FOLDER}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::Forgery;
    use crate::store::file_error::at;

    #[test]
    fn a_full_disk_is_called_full_and_not_damaged() {
        let full = OpenError::from(at(Path::new("keystore/LEVEL"))(io::Error::from_raw_os_error(28)));
        let text = "keystore/LEVEL: No space left on device (os error 28). The disk is full: give it room";
        assert_eq!(full.to_string(), text);
        let damaged =
            OpenError::from(io::Error::new(io::ErrorKind::InvalidData, "crc32 checksum mismatch")).to_string();
        assert!(
            damaged.starts_with("a file in it is damaged: crc32 checksum mismatch. Keep the data folder"),
            "{damaged}"
        );
        let unknown_key = OpenError::from(Damage::UnknownKey { version: 2 }).to_string();
        assert!(
            unknown_key.starts_with("it cannot be opened: it names version 2") && !unknown_key.contains(KEEP_FOLDER)
        );
        let note = OpenError::from(Damage::Unreadable("the note in the log cannot be read".to_owned())).to_string();
        assert!(note.ends_with(KEEP_FOLDER), "{note}");
    }

    #[test]
    fn what_may_pass_by_itself_is_not_lasting() {
        let io = |kind: io::ErrorKind| OpenError::from(io::Error::from(kind));
        let passing = [
            io(io::ErrorKind::StorageFull),
            io(io::ErrorKind::PermissionDenied),
            io(io::ErrorKind::NotFound),
            OpenError::InUse,
            ClusterFileError::from(io::Error::from_raw_os_error(5)).into(),
        ];
        let lasting = [
            io(io::ErrorKind::InvalidData),
            Damage::UnknownKey { version: 2 }.into(),
            OpenError::ClusterUnknown,
            OpenError::KeystoreWithoutLog,
            Forged(Forgery::End).into(),
            UnreadableLevel::Format { what: "x", format: 2, known: 1 }.into(),
            ClusterFileError::from(UnreadableLevel::Format { what: "x", format: 2, known: 1 }).into(),
        ];
        assert!(passing.iter().all(|error| !error.is_lasting()), "{passing:?}");
        assert!(lasting.iter().all(OpenError::is_lasting), "{lasting:?}");
    }
}
