//! The errors that end a load test. Errors of single requests are counted instead.

use std::collections::BTreeMap;
use std::io;

use crate::client;
use crate::tls::ClientTlsError;

/// Why a load test ended without a report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A server refused what the test needs, or no server answered.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The credentials or the trusted CA cannot be used.
    #[error(transparent)]
    Tls(#[from] ClientTlsError),
    /// No server answered a single request.
    #[error("no server answered a single request of the test ({})", by_kind(failures))]
    NoAnswer {
        /// How many requests failed, by kind.
        failures: BTreeMap<String, u64>,
    },
    /// The server did not decrypt what it had just encrypted, so measuring it would mean nothing.
    #[error("the server does not decrypt what the key {key} has just encrypted")]
    WrongAnswer {
        /// The key's name.
        key: String,
    },
    /// The CPU time of a process cannot be read: the process is gone, or belongs to another user.
    #[error("cannot read the CPU time of process {pid}: {source}")]
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
                "`keyraft cluster status` shows which nodes are up; MINIO_KES_SERVER (or --server) accepts several servers"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

fn by_kind(failures: &BTreeMap<String, u64>) -> String {
    failures.iter().map(|(kind, count)| format!("{kind}: {count}")).collect::<Vec<_>>().join(", ")
}
