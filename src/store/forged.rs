//! Why a node must not use what it finds in its data folder: it is not what the node wrote there.

use std::io;

use thiserror::Error;

/// What to do with a data folder whose log or node record cannot be used.
pub(super) const KEEP_FOLDER: &str = "Keep the data folder as it is: delete nothing, and put no copy or backup in its place. \
     Leave this node stopped; this version cannot replace a node. The other nodes go on without it while more than half of \
     all nodes run";

/// What the node finds is not what it wrote. It neither uses nor changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}. The disk damaged the files of this node, or somebody changed or replaced them. {KEEP_FOLDER}")]
pub struct Forged(pub Forgery);

/// What does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Forgery {
    /// An entry of the log, or one before it, is not the one that the node wrote.
    #[error("entry {index} of the log is not the one that this node wrote there")]
    Entry {
        /// The index of the first such entry.
        index: u64,
    },
    /// Entries are missing at the beginning of the log.
    #[error("the log begins with entry {found}, but this node purged it only up to the one before entry {expected}")]
    Begin {
        /// The index of the first entry.
        found: u64,
        /// The index that it should have.
        expected: u64,
    },
    /// A committed entry is missing at the end of the log, or is another one.
    #[error("the log lacks entry {index}, which this node noted as committed")]
    Committed {
        /// Its index.
        index: u64,
    },
    /// An entry that was durable is missing at the end of the log, or is another one.
    #[error("the log lacks entry {index}, up to which this node noted it as durable")]
    Flushed {
        /// Its index.
        index: u64,
    },
    /// The log has another entry than the one that the node applied.
    #[error("the log has another entry {index} than the one that this node applied")]
    Applied {
        /// The index of the entry.
        index: u64,
    },
    /// The notes of the log about its own end do not fit its entries.
    #[error("the log does not end where its own notes say")]
    End,
    /// The vote in the node record is older than an entry of the log.
    #[error("node.record is older than the log: the last entry of the log is of term {term}, but its vote is older")]
    Vote {
        /// The term of the last entry.
        term: u64,
    },
    /// The node record knows less than the log, so that its vote may be an older one.
    #[error("node.record is older than the log, as entry {index} of the log shows")]
    OlderRecord {
        /// The index of the entry.
        index: u64,
    },
    /// Both slots of the node record are damaged.
    #[error("both parts of node.record are damaged")]
    Record,
    /// The node record has a tag that this node did not make.
    #[error("node.record is not the one that this node wrote")]
    RecordTag,
}

impl Forgery {
    /// Whether the log alone is damaged or lost entries. Otherwise the vote in the node record may be an older one.
    pub(super) fn is_loss(self) -> bool {
        match self {
            Self::Entry { .. }
            | Self::Begin { .. }
            | Self::Committed { .. }
            | Self::Flushed { .. }
            | Self::Applied { .. }
            | Self::End => true,
            Self::Vote { .. } | Self::OlderRecord { .. } | Self::Record | Self::RecordTag => false,
        }
    }

    /// The index of the entry that is not what the node wrote, if it is a certain one.
    pub(super) fn index(self) -> Option<u64> {
        match self {
            Self::Entry { index } | Self::Begin { expected: index, .. } => Some(index),
            _ => None,
        }
    }
}

impl Forged {
    /// What was found forged, if that is why this failed.
    pub fn cause_of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Forgery> for Forged {
    fn from(forgery: Forgery) -> Self {
        Self(forgery)
    }
}

impl From<Forged> for io::Error {
    fn from(forged: Forged) -> Self {
        Self::other(forged)
    }
}
