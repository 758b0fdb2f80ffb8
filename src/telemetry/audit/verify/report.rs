//! What a check of audit files found, and how it is told.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use crate::crypto::VerifyingKey;
use crate::telemetry::record::steers;

/// What a check found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct AuditReport {
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
    pub notes: Vec<AuditFinding>,
    /// What is wrong.
    pub faults: Vec<AuditFinding>,
    /// How much more is.
    pub more_faults: u64,
}

/// Something found at a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFinding {
    /// The file.
    pub file: PathBuf,
    /// The line in it, from 1.
    pub line: u64,
    /// What.
    pub what: FindingKind,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingKind {
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
    /// Fault: another node's file follows.
    OtherNode {
        /// Whose.
        node: String,
        /// Whose the lines before are.
        before: String,
    },
    /// Fault: the first file does not begin as a node begins one.
    NoHead {
        /// The number of the first line there is.
        number: u64,
    },
    /// Fault: the file is empty, and a node begins one with a line.
    Empty,
    /// Fault: the end is not signed, and no node leaves it so.
    Unsigned {
        /// How many lines.
        lines: u64,
        /// Why none does.
        why: Unsigned,
    },
    /// Fault: the files end before the line that the node has noted in `audit.head`.
    Cut {
        /// The line noted.
        noted: u64,
        /// The last line there is.
        last: u64,
    },
    /// Fault: the line that the node has noted is another one here, or is not here.
    NotNoted {
        /// The line noted.
        noted: u64,
    },
    /// Note: a crash or a full disk left a torn line, which the node recorded.
    Torn {
        /// Its bytes.
        bytes: u64,
    },
    /// Note: the file was given before, by this name or another.
    Repeated,
    /// Note: the file was begun since the one before it was moved or removed.
    Begun {
        /// By which node.
        node: String,
    },
}

/// What is wrong with an end that no checkpoint covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// There is no checkpoint by a key that may sign.
    Everything,
    /// It began in a file that was rotated since, and each of those ends with a checkpoint.
    AuditFiles,
    /// It has more lines than are ever left unsigned.
    Lines,
    /// It took longer to write than a node waits.
    Span {
        /// How long.
        seconds: u64,
    },
    /// It was written longer ago than a node waits, or is to be written yet.
    Age {
        /// How long ago.
        seconds: u64,
    },
}

/// A text that somebody else wrote, without what would steer a terminal.
struct Shown<'a>(&'a str);

impl AuditReport {
    /// How much is wrong.
    pub fn fault_count(&self) -> u64 {
        self.faults.len() as u64 + self.more_faults
    }

    /// Lines after the last one that a checkpoint vouches for: nothing proves that they are all, and unchanged.
    pub fn unsigned(&self) -> u64 {
        match (self.last, self.signed) {
            (Some(last), Some(signed)) => last.saturating_sub(signed),
            _ => self.lines,
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| if steers(c) { write!(f, "{}", c.escape_unicode()) } else { f.write_char(c) })
    }
}

impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", Shown(&self.file.display().to_string()), self.line, self.what)
    }
}

impl fmt::Display for FindingKind {
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
            Self::Key(key) => {
                write!(
                    f,
                    "checkpoints of this file are signed by another key: {key}; another node's file, or a forged one"
                )
            }
            Self::Broken { expected, found } => write!(
                f,
                "the node had written up to record {expected} and found another end, at record {found}: the file was \
                 cut or altered while the node was not writing"
            ),
            Self::TornEnd => write!(f, "the file ends in a torn line: a crash, or a cut"),
            Self::NoBeginning { number } => write!(f, "the chain begins with record {number}, not with 1"),
            Self::OtherNode { node, before } => write!(
                f,
                "a file of {} follows one of {}: each node has a trail of its own, to be verified by itself",
                Shown(node),
                Shown(before)
            ),
            Self::NoHead { number } => {
                write!(f, "the file begins with record {number} in the middle: what came before it was removed")
            }
            Self::Empty => write!(f, "the file is empty, and a node begins each with a record"),
            Self::Unsigned { lines, why } => {
                write!(f, "no checkpoint signs the last {lines} lines, {why}: altered, or their checkpoint was removed")
            }
            Self::Cut { noted, last } => {
                write!(f, "the end was cut: the node had written up to record {noted}, and {last} is the last here")
            }
            Self::NotNoted { noted } => {
                write!(f, "record {noted} is not here as the node has noted it: altered, or the note is another node's")
            }
            Self::Torn { bytes } => {
                write!(f, "a crash or a full disk left a torn line of {bytes} bytes; the node recorded it")
            }
            Self::Repeated => write!(f, "the file is given twice, and was checked once"),
            Self::Begun { node } => {
                write!(f, "{} began this file since the one before it was moved, removed or changed", Shown(node))
            }
        }
    }
}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => write!(f, "which are all, and a node signs once it is unsealed"),
            Self::AuditFiles => write!(f, "which begin in another file, and a node signs the end of each"),
            Self::Lines => write!(f, "and a node signs after fewer"),
            Self::Span { seconds } => write!(f, "of {seconds} s, and a node signs after five"),
            Self::Age { seconds } => write!(
                f,
                "{seconds} s from now, and a node signs within five and when it stops, unless it crashes (--unfinished)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_holds_steers_no_terminal() {
        let node = "node\u{1b}[2J\u{202e}\n".to_owned();
        let finding = AuditFinding { file: "a\u{9b}1m".into(), line: 1, what: FindingKind::Begun { node } };
        let begun = "began this file since the one before it was moved, removed or changed";
        assert_eq!(finding.to_string(), format!("a\\u{{9b}}1m:1: node\\u{{1b}}[2J\\u{{202e}}\\u{{a}} {begun}"));
    }
}
