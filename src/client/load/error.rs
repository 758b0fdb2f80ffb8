//! The errors that end a load test. Errors of single requests are counted instead.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use crate::client;
use crate::tls::ClientTlsError;

/// Why a load test ended without a report.
#[derive(Debug)]
pub enum LoadError {
    /// A server refused what the test needs, or no server answered.
    Client(client::Error),
    /// The credentials or the trusted CA cannot be used.
    Tls(ClientTlsError),
    /// No server answered a single request.
    NoAnswer {
        /// How many requests failed, by kind.
        failures: BTreeMap<String, u64>,
    },
    /// The server did not decrypt what it had just encrypted, so measuring it would mean nothing.
    WrongAnswer {
        /// The key's name.
        key: String,
    },
    /// The CPU time of a process cannot be read: the process is gone, or belongs to another user.
    Process {
        /// The process id.
        pid: u32,
        /// Why its CPU time cannot be read.
        source: io::Error,
    },
}

impl LoadError {
    /// What to do next, if there is something to recommend.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Client(error) => error.hint(),
            Self::NoAnswer { .. } => Some(
                "`keyraft cluster status` shows which nodes are up; MINIO_KES_SERVER (or --server) takes several"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::NoAnswer { failures } => {
                let kinds: Vec<_> = failures.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
                write!(f, "no server answered a single request of the test ({})", kinds.join(", "))
            }
            Self::WrongAnswer { key } => write!(f, "the server does not decrypt what the key {key} has just encrypted"),
            Self::Process { pid, source } => write!(f, "cannot read the CPU time of process {pid}: {source}"),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<client::Error> for LoadError {
    fn from(error: client::Error) -> Self {
        Self::Client(error)
    }
}
