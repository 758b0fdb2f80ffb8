//! The report about verified audit files, and the texts of its findings.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use crate::crypto::VerifyingKey;
use crate::telemetry::record::controls_terminal;

/// What the verification found.
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
    /// The number of the last checkpoint, which covers every line before it.
    pub signed: Option<u64>,
    /// The keys that signed.
    pub keys: Vec<VerifyingKey>,
    /// Findings with an innocent reason.
    pub notes: Vec<AuditFinding>,
    /// Findings that mean that something is wrong.
    pub faults: Vec<AuditFinding>,
    /// How many faults there are beyond those in `faults`.
    pub more_faults: u64,
}

/// A fault or a note at one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFinding {
    /// The file.
    pub file: PathBuf,
    /// The line in it, from 1.
    pub line: u64,
    /// The kind of finding.
    pub what: FindingKind,
}

/// The kinds of faults and notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingKind {
    /// Fault: this is not a line of an audit file.
    NoLine,
    /// Fault: the numbers have a gap.
    Removed {
        /// The line that should follow.
        expected: u64,
        /// The line that follows.
        found: u64,
    },
    /// Fault: the numbers go back.
    OutOfPlace {
        /// The line that should follow.
        expected: u64,
        /// The line that follows.
        found: u64,
    },
    /// Fault: the next line holds another hash of this one.
    Altered {
        /// Its number.
        number: u64,
    },
    /// Fault: the key of a checkpoint did not make its signature, or made it over other bytes.
    Signature,
    /// Fault: an unexpected key signed a checkpoint.
    Key(VerifyingKey),
    /// Fault: the node recorded that lines it had written were gone or changed.
    Broken {
        /// The last line that the node had written.
        expected: u64,
        /// The last line that the node found.
        found: u64,
    },
    /// Fault: the last line is torn, and the node did not record that.
    TornEnd,
    /// Fault: the lines before this one are missing.
    NoBeginning {
        /// Its number.
        number: u64,
    },
    /// Fault: a file of another node follows.
    OtherNode {
        /// The node that wrote this file.
        node: String,
        /// The node that wrote the lines before.
        before: String,
    },
    /// Fault: the first file does not begin as a node begins one.
    NoHead {
        /// The number of the first line.
        number: u64,
    },
    /// Fault: the file is empty, but a node begins each file with a line.
    Empty,
    /// Fault: no checkpoint covers the end, and a node would have signed it.
    Unsigned {
        /// The number of lines without a checkpoint.
        lines: u64,
        /// Why a node would not leave them so.
        why: Unsigned,
    },
    /// Fault: the files end before the line that the node has noted in `audit.head`.
    Cut {
        /// The line noted.
        noted: u64,
        /// The last line in the files.
        last: u64,
    },
    /// Fault: the line that the node has noted is missing, or differs.
    NotNoted {
        /// The line noted.
        noted: u64,
    },
    /// Note: a crash or a full disk left a torn line, which the node recorded.
    Torn {
        /// How many bytes are torn.
        bytes: u64,
    },
    /// Note: the user named this file twice, by the same name or another.
    Repeated,
    /// Note: the node began this file because the one before it was moved or removed.
    Begun {
        /// The node that began the file.
        node: String,
    },
}

/// Why a node would not leave an end without a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// The files hold no checkpoint by a key that may sign.
    Everything,
    /// The end begins in a file that was rotated since, and a node signs the end of each file.
    EarlierFile,
    /// The end has more lines than a node leaves unsigned.
    Lines,
    /// The lines span more time than a node waits.
    Span {
        /// The span.
        seconds: u64,
    },
    /// The time of the lines is further from now than a node waits, in the past or in the future.
    Age {
        /// The distance from now.
        seconds: u64,
    },
}

/// A text from a file, without characters that control a terminal.
struct Shown<'a>(&'a str);

impl AuditReport {
    /// Returns how many faults there are.
    pub fn fault_count(&self) -> u64 {
        self.faults.len() as u64 + self.more_faults
    }

    /// Returns how many lines follow the last checkpoint. Nothing proves that these are complete and unchanged.
    pub fn unsigned(&self) -> u64 {
        match (self.last, self.signed) {
            (Some(last), Some(signed)) => last.saturating_sub(signed),
            _ => self.lines,
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| if controls_terminal(c) { write!(f, "{}", c.escape_unicode()) } else { f.write_char(c) })
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
            Self::NoLine => write!(f, "this is not a line of an audit file: somebody altered or inserted it"),
            Self::Removed { expected, found } if *found == expected + 1 => write!(f, "record {expected} is missing"),
            Self::Removed { expected, found } => write!(f, "records {expected} to {} are missing", found - 1),
            Self::OutOfPlace { expected, found } => write!(
                f,
                "record {found} stands where record {expected} belongs: somebody reordered, repeated or \
                 inserted lines"
            ),
            Self::Altered { number } => {
                write!(f, "somebody altered record {number} or the next one, which holds another hash of it")
            }
            Self::Signature => {
                write!(f, "the checkpoint's key did not make its signature: somebody altered or forged the checkpoint")
            }
            Self::Key(key) => write!(
                f,
                "another key signed checkpoints of this file: {key}; this is another node's file, or \
                 somebody forged it"
            ),
            Self::Broken { expected, found } => write!(
                f,
                "the node had written up to record {expected} and later found the end at record {found}: somebody cut \
                 or altered the file while the node was not writing"
            ),
            Self::TornEnd => write!(f, "the file ends in a torn line: the node crashed, or somebody cut the file"),
            Self::NoBeginning { number } => write!(f, "the chain begins with record {number}, not with 1"),
            Self::OtherNode { node, before } => write!(
                f,
                "a file of {} follows one of {}: verify the files of each node by themselves",
                Shown(node),
                Shown(before)
            ),
            Self::NoHead { number } => write!(
                f,
                "the file begins with record {number}, in the middle of a trail: somebody removed the \
                 lines before it"
            ),
            Self::Empty => write!(f, "the file is empty, but a node begins each file with a record"),
            Self::Unsigned { lines, why } => write!(
                f,
                "no checkpoint covers the last {lines} records, {why}: somebody altered them or removed their \
                 checkpoint"
            ),
            Self::Cut { noted, last } => write!(
                f,
                "somebody cut the end: the node had written up to record {noted}, and the last one here is {last}"
            ),
            Self::NotNoted { noted } => write!(
                f,
                "record {noted} is missing or differs from what the node noted: somebody altered it, or the note is \
                 another node's"
            ),
            Self::Torn { bytes } => {
                write!(f, "a crash or a full disk left a torn line of {bytes} bytes; the node recorded it")
            }
            Self::Repeated => write!(f, "you named this file twice; it was checked once"),
            Self::Begun { node } => {
                write!(f, "{} began this file because the one before it was moved, removed or changed", Shown(node))
            }
        }
    }
}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => write!(f, "which are all of them, but a node signs once it is unsealed"),
            Self::EarlierFile => write!(f, "which begin in an earlier file, but a node signs the end of each file"),
            Self::Lines => write!(f, "but a node signs after fewer records"),
            Self::Span { seconds } => write!(f, "which span {seconds} s, but a node signs after 5 s"),
            Self::Age { seconds } => write!(
                f,
                "whose time is {seconds} s from now, but a node signs within 5 s and when it stops (after a crash, add \
                 --unfinished)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_escapes_characters_that_control_a_terminal() {
        let node = "node\u{1b}[2J\u{202e}\n".to_owned();
        let finding = AuditFinding { file: "a\u{9b}1m".into(), line: 1, what: FindingKind::Begun { node } };
        let begun = "began this file because the one before it was moved, removed or changed";
        assert_eq!(finding.to_string(), format!("a\\u{{9b}}1m:1: node\\u{{1b}}[2J\\u{{202e}}\\u{{a}} {begun}"));
    }
}
