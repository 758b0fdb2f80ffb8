//! Why the log and the node record cannot be opened.

use std::io;

use thiserror::Error;

use super::Owner;
use super::damage::Damage;
use super::forged::Forged;
use super::level::UnreadableLevel;
use super::read_error::ReadError;

/// Why the log and the node record cannot be opened. Nothing has changed in them.
#[derive(Debug, Error)]
pub enum LogOpenError {
    /// The file system refused.
    #[error(transparent)]
    Io(io::Error),
    /// They are damaged, or tagged with a key that this node does not have.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// Another version of Keyraft must read them.
    #[error(transparent)]
    Level(#[from] UnreadableLevel),
    /// They are not what this node wrote.
    #[error(transparent)]
    Forged(#[from] Forged),
    /// The log belongs to another node, or to another store of this node.
    #[error("the log belongs to node {} and not to node {}, or to another store", folder.node_id, file.node_id)]
    Foreign {
        /// Whose log it should be.
        file: Owner,
        /// Whose log it is.
        folder: Owner,
    },
    /// There is a node record, or nothing at all, but no log.
    #[error("there is no log")]
    WithoutLog,
    /// There is a log, but no node record.
    #[error("there is a log, but no node.record")]
    WithoutRecord,
}

impl From<io::Error> for LogOpenError {
    fn from(error: io::Error) -> Self {
        Forged::cause_of(&error).map_or(Self::Io(error), Self::Forged)
    }
}

impl From<ReadError> for LogOpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Level(error) => Self::Level(error),
            ReadError::Damaged(damage) => Self::Damaged(damage),
            ReadError::Io(error) => error.into(),
        }
    }
}
