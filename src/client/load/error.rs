//! Why a load test could not be run at all.

use std::fmt;
use std::io;

use crate::client::{self, Endpoint};
use crate::tls::ClientTlsError;

/// Why a load test could not be run.
#[derive(Debug)]
pub enum Error {
    /// The server refused what the test needs, or gave no answer.
    Client(client::Error),
    /// The credentials or trust cannot be used.
    Tls(ClientTlsError),
    /// The server does not speak that version of HTTP.
    Http {
        /// Which server.
        endpoint: Endpoint,
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

impl Error {
    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Client(error) => error.hint(),
            Self::Http { .. } => Some("try the other --http".to_owned()),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Http { endpoint } => write!(f, "{endpoint} does not speak that version of HTTP"),
            Self::WrongAnswer { key } => write!(f, "the server does not decrypt what key {key} has just sealed"),
            Self::Process { pid, source } => write!(f, "process {pid} cannot be looked at: {source}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<client::Error> for Error {
    fn from(error: client::Error) -> Self {
        Self::Client(error)
    }
}
