//! What a check of audit files found, and how it is told.

use std::fmt;
use std::path::PathBuf;

use crate::crypto::VerifyingKey;

/// What a check found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// The first line's number.
    pub first: Option<u64>,
    /// The last line's number.
    pub last: Option<u64>,
    /// Lines that belong to the chain.
    pub lines: u64,
    /// Checkpoints among them.
    pub checkpoints: u64,
    /// The last line that a checkpoint vouches for: it, or the line before it.
    pub signed: Option<u64>,
    /// The keys that signed.
    pub keys: Vec<VerifyingKey>,
    /// What is odd and has an innocent reason.
    pub notes: Vec<Finding>,
    /// What is wrong.
    pub faults: Vec<Finding>,
}

/// Something found at a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The line in it, from 1.
    pub line: u64,
    /// What.
    pub what: What,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Fault: it is no line of an audit file.
    NoLine,
    /// Fault: the numbers go on with a gap.
    Removed {
        /// The line that should follow.
        expected: u64,
        /// The line that does.
        found: u64,
    },
    /// Fault: the numbers go back.
    OutOfPlace {
        /// The line that should follow.
        expected: u64,
        /// The line that does.
        found: u64,
    },
    /// Fault: the next line has another hash for this one.
    Altered {
        /// Its number.
        number: u64,
    },
    /// Fault: the signature of a checkpoint is not of its key, or over something else.
    Signature,
    /// Fault: a checkpoint is signed by a key that is none of those expected.
    Key(VerifyingKey),
    /// Fault: the node found that what it had written was gone or changed.
    Broken {
        /// The line that it had written.
        expected: u64,
        /// The last line that it found.
        found: u64,
    },
    /// Fault: the last line is torn, and no node went on after it.
    TornEnd,
    /// Fault: there is nothing before this line, and there should be.
    NoBeginning {
        /// Its number.
        number: u64,
    },
    /// Note: a crash or a full disk left a torn line, which the node recorded.
    Torn {
        /// Its bytes.
        bytes: u64,
    },
    /// Note: the file was begun since the one before it was moved or removed.
    Begun {
        /// By which node.
        node: String,
    },
}

impl Report {
    /// Lines after the last one that a checkpoint vouches for: nothing proves that they are all, and unchanged.
    pub fn unsigned(&self) -> u64 {
        match (self.last, self.signed) {
            (Some(last), Some(signed)) => last.saturating_sub(signed),
            _ => self.lines,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLine => write!(f, "this is no line of an audit file: it was altered or inserted"),
            Self::Removed { expected, found } if *found == expected + 1 => write!(f, "record {expected} is missing"),
            Self::Removed { expected, found } => write!(f, "records {expected} to {} are missing", found - 1),
            Self::OutOfPlace { expected, found } => {
                write!(f, "record {found} stands where {expected} should: reordered, repeated or inserted")
            }
            Self::Altered { number } => {
                write!(f, "record {number} or the next was altered: the next has another hash for this one")
            }
            Self::Signature => write!(f, "the checkpoint's signature is not of its key: it was altered or forged"),
            Self::Key(key) => write!(f, "a checkpoint is signed by another key: {key}"),
            Self::Broken { expected, found } => write!(
                f,
                "the node had written up to record {expected} and found another end, at record {found}: the file was \
                 cut or altered while the node was not writing"
            ),
            Self::TornEnd => write!(f, "the file ends in a torn line: a crash, or a cut"),
            Self::NoBeginning { number } => write!(f, "the chain begins with record {number}, not with 1"),
            Self::Torn { bytes } => {
                write!(f, "a crash or a full disk left a torn line of {bytes} bytes; the node recorded it")
            }
            Self::Begun { node } => {
                write!(f, "{node} began this file since the one before it was moved, removed or changed")
            }
        }
    }
}
