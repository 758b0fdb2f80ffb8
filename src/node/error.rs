//! Why a node cannot run, or has ended.

use std::fmt;
use std::io;

use crate::raft::StartError;
use crate::tls::TlsError;

/// Why a node cannot run, or has ended.
#[derive(Debug)]
pub enum NodeError {
    /// A certificate or key cannot be used.
    Tls(TlsError),
    /// It cannot take part in its cluster.
    Start(StartError),
    /// An address cannot be bound, or the system refused something else.
    Io(io::Error),
    /// An invariant broke, or the disk failed: going on could lose or leak a key.
    Failed(String),
    /// The audit trail cannot be written any more.
    Audit(io::Error),
    /// A part of it panicked.
    Panicked(String),
}

impl From<TlsError> for NodeError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<StartError> for NodeError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<io::Error> for NodeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Failed(reason) => f.write_str(reason),
            Self::Audit(error) => write!(f, "the audit trail cannot be written: {error}"),
            Self::Panicked(what) => write!(f, "a part of the node panicked: {what}"),
        }
    }
}

impl std::error::Error for NodeError {}
