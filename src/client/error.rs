//! What can go wrong with a request.

use std::fmt;
use std::io;
use std::time::Duration;

use super::Endpoint;
use crate::error_code::ErrorCode;
use crate::tls::Refusal;

/// Why a request brought no result.
#[derive(Debug)]
pub enum Error {
    /// The server answered, and said no.
    Status {
        /// What was asked: the path without its query.
        path: String,
        /// The HTTP status.
        status: u16,
        /// What went wrong, for programs; none when neither the answer nor its text says so.
        code: Option<ErrorCode>,
        /// The server's own words.
        message: String,
        /// Whether another endpoint had been asked before, which may have done it.
        retried: bool,
    },
    /// None of several endpoints was of use: each with what went wrong there.
    NoServer(Vec<(Endpoint, Error)>),
    /// An endpoint could not be reached, or the connection broke.
    Transport {
        /// Where.
        endpoint: Endpoint,
        /// How.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Whether it may have got a request that changes something.
        sent: bool,
    },
    /// An endpoint did not answer in time.
    TimedOut {
        /// Which.
        endpoint: Endpoint,
        /// The limit.
        after: Duration,
        /// Whether it may have got a request that changes something.
        sent: bool,
    },
    /// The answer is not what the API promises: probably no KES-compatible server.
    Malformed {
        /// What was asked.
        path: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The node's local socket cannot be used.
    Socket {
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// What is wrong with a connection, without its endpoint; or else all of it.
    pub fn reason(&self) -> String {
        if let Self::Transport { source, .. } = self { reason(source.as_ref()) } else { self.to_string() }
    }

    /// Whether a server answered with this status.
    pub fn is_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Status { status, .. } if *status == wanted)
    }

    /// The code of a server's answer, where it has one.
    pub fn code(&self) -> Option<ErrorCode> {
        if let Self::Status { code, .. } = self { *code } else { None }
    }

    /// Whether a server answered with this code.
    pub fn has_code(&self, wanted: ErrorCode) -> bool {
        self.code() == Some(wanted)
    }

    /// Whether an earlier attempt, at another server, may have done what was asked for.
    pub fn is_of_a_second_attempt(&self) -> bool {
        matches!(self, Self::Status { retried: true, .. })
    }

    /// Whether what was asked for may have been done all the same.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Status { code: Some(code), .. } => code.may_be_done(),
            // A proxy, for one, answers without a code, and may not know what the server did.
            Self::Status { status, code: None, .. } => *status == 503,
            Self::NoServer(failures) => failures.iter().any(|(_, error)| error.may_be_done()),
            Self::Transport { sent, .. } | Self::TimedOut { sent, .. } => *sent,
            Self::Malformed { .. } => true,
            Self::Socket { .. } => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, message, .. } => write!(f, "{} ({status})", message.trim()),
            Self::NoServer(failures) => {
                f.write_str("none of the servers was of use")?;
                failures.iter().try_for_each(|(endpoint, error)| match error {
                    Self::Status { .. } => write!(f, "\n  {endpoint}: {error}"),
                    _ => write!(f, "\n  {error}"),
                })
            }
            Self::Transport { endpoint, source, .. } => {
                write!(f, "no answer from {endpoint}: {}", reason(source.as_ref()))
            }
            Self::TimedOut { endpoint, after, .. } => write!(f, "no answer from {endpoint} within {after:?}"),
            Self::Malformed { path, reason } => write!(f, "the answer to {path} makes no sense: {reason}"),
            Self::Socket { path, source } => write!(f, "no answer on {}: {source}", path.display()),
        }
    }
}

/// Why a connection is of no use, in words for people.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(words) = Refusal::words(error) {
        return words;
    }
    let innermost = innermost(error);
    match innermost.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => "the server closed the connection".to_owned(),
        // HTTP/2 keeps the words of TLS alone, which end with a link to its own documentation.
        _ => innermost.to_string().split(": https://docs.rs/").next().unwrap_or_default().to_owned(),
    }
}

/// The error at the end of the chain: "connection refused" says more than "client error (Connect)".
fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    error.source().map_or(error, innermost)
}

impl std::error::Error for Error {}
