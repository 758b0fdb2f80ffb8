//! Why a load test could not be run at all.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use crate::client;
use crate::tls::ClientTlsError;

/// Why a load test could not be run.
#[derive(Debug)]
pub enum LoadError {
    /// The server refused what the test needs, or gave no answer.
    Client(client::Error),
    /// The credentials or trust cannot be used.
    Tls(ClientTlsError),
    /// No server answered a single request of the test.
    NoAnswer {
        /// Why not, and how often.
        failures: BTreeMap<String, u64>,
    },
    /// What a key sealed did not come back: nothing measured on such a server would mean anything.
    WrongAnswer {
        /// The key's name.
        key: String,
    },
    /// The process is not there, or is another user's.
    Process {
        /// Its id.
        pid: u32,
        /// Why it cannot be looked at.
        source: io::Error,
    },
}

impl LoadError {
    /// What to do next, where there is something to say.
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
            Self::WrongAnswer { key } => write!(f, "the server does not decrypt what key {key} has just sealed"),
            Self::Process { pid, source } => write!(f, "process {pid} cannot be looked at: {source}"),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<client::Error> for LoadError {
    fn from(error: client::Error) -> Self {
        Self::Client(error)
    }
}
