//! What is wrong with the bytes of a keystore or a snapshot.

use std::fmt;

use thiserror::Error;

/// What is wrong with the bytes of a keystore or a snapshot. The node rebuilds it and never serves from it.
#[derive(Debug, Error)]
pub enum Damage {
    /// An entry cannot be read.
    #[error("an entry is damaged: {0}")]
    Entry(String),
    /// The content differs from what the node noted when it wrote it.
    #[error("its {what} is {found}, but the node that wrote it noted {noted}")]
    Disagreement {
        /// What differs, for example `entry count` or `digest`.
        what: &'static str,
        /// The value that the node noted.
        noted: String,
        /// The value that the content has.
        found: String,
    },
    /// Its tag is not the one that this node makes.
    #[error("its tag does not hold: it is damaged, another node wrote it, or somebody changed it")]
    Tag,
    /// Its tag or its digest is made under a version of the integrity keys that this node does not have.
    #[error(
        "it names version {version} of the integrity keys, which this node does not have. cluster.id may be older than the \
         rest of the data folder: put the folder back as it was when this node last ran, and delete nothing"
    )]
    UnknownKey {
        /// The version.
        version: u32,
    },
    /// The process ended while it opened the keystore, each of the last times. The files may be whole: a machine without
    /// memory does that, too.
    #[error("the last {openings} attempts to open it did not finish")]
    CutShort {
        /// How many times.
        openings: u32,
    },
    /// It cannot be opened or read, for this reason.
    #[error("{0}")]
    Unreadable(String),
    /// Sled found its files damaged.
    #[error(transparent)]
    Sled(sled::Error),
    /// A stored message cannot be decoded.
    #[error(transparent)]
    Message(#[from] prost::DecodeError),
}

/// Fails if what was found is not what was noted.
pub(super) fn disagreement<T: PartialEq + fmt::Display>(what: &'static str, noted: T, found: T) -> Result<(), Damage> {
    if noted == found {
        return Ok(());
    }
    Err(Damage::Disagreement { what, noted: noted.to_string(), found: found.to_string() })
}
