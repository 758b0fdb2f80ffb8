//! The errors of a request, and how to print them.

use std::io;
use std::time::Duration;

use super::Endpoint;
use crate::error_code::ErrorCode;
use crate::tls::CertificateRefusal;

/// Why a request brought no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server answered with a status other than 200.
    #[error("{} ({status})", message.trim())]
    Status {
        /// The path of the request, without its query.
        path: String,
        /// The HTTP status.
        status: u16,
        /// The error code. `None` if the answer has no code and its message implies none.
        code: Option<ErrorCode>,
        /// The server's message.
        message: String,
        /// Whether an earlier attempt, at another endpoint, may have taken effect.
        retried: bool,
    },
    /// No endpoint gave a result. Each comes with its error.
    #[error("no server could do what the command asks for:{}", by_endpoint(.0))]
    NoServer(Vec<(Endpoint, Error)>),
    /// The endpoint could not be reached, or the connection broke.
    #[error("no answer from {endpoint}: {}", reason(source.as_ref()))]
    Transport {
        /// The endpoint.
        endpoint: Endpoint,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Whether the server may have received a request that changes something.
        sent: bool,
    },
    /// The endpoint did not answer in time.
    #[error("no answer from {endpoint} within {after:?}")]
    TimedOut {
        /// The endpoint.
        endpoint: Endpoint,
        /// The limit.
        after: Duration,
        /// Whether the server may have received a request that changes something.
        sent: bool,
    },
    /// The answer is not what the API promises. Probably the server is not compatible with KES.
    #[error("the answer to {path} is not what the API promises: {reason}")]
    Malformed {
        /// The path of the request.
        path: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The node's local socket cannot be used.
    #[error("no answer on the socket {}: {source}", path.display())]
    Socket {
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// The reason of a transport error, without its endpoint. Of other errors, the whole text.
    pub fn reason(&self) -> String {
        if let Self::Transport { source, .. } = self { reason(source.as_ref()) } else { self.to_string() }
    }

    /// Whether a server answered with this status.
    pub fn is_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Status { status, .. } if *status == wanted)
    }

    /// The error code of the server's answer, if there is one.
    pub fn code(&self) -> Option<ErrorCode> {
        if let Self::Status { code, .. } = self { *code } else { None }
    }

    /// Whether a server answered with this code.
    pub fn has_code(&self, wanted: ErrorCode) -> bool {
        self.code() == Some(wanted)
    }

    /// Whether an earlier attempt, at another server, may have taken effect.
    pub fn is_after_an_earlier_attempt(&self) -> bool {
        matches!(self, Self::Status { retried: true, .. })
    }

    /// Whether the request may have taken effect all the same.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Status { code: Some(code), .. } => code.may_be_done(),
            // A proxy, for example, answers without a code and may not know what the server did.
            Self::Status { status, code: None, .. } => *status == 503,
            Self::NoServer(failures) => failures.iter().any(|(_, error)| error.may_be_done()),
            Self::Transport { sent, .. } | Self::TimedOut { sent, .. } => *sent,
            Self::Malformed { .. } => true,
            Self::Socket { .. } => false,
        }
    }
}

/// The failures of several endpoints, each on a line of its own. A server's answer does not name its endpoint, so this does.
fn by_endpoint(failures: &[(Endpoint, Error)]) -> String {
    let line = |(endpoint, error): &(Endpoint, Error)| match error {
        Error::Status { .. } => format!("\n  {endpoint}: {error}"),
        _ => format!("\n  {error}"),
    };
    failures.iter().map(line).collect()
}

/// Why a connection failed, in words for people.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(words) = CertificateRefusal::words(error) {
        return words;
    }
    let innermost = innermost(error);
    match innermost.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => "the server closed the connection".to_owned(),
        // HTTP/2 keeps only the text of the TLS error, which ends with a link to the documentation of rustls.
        _ => innermost.to_string().split(": https://docs.rs/").next().unwrap_or_default().to_owned(),
    }
}

/// The error at the end of the chain: "connection refused" says more than "client error (Connect)".
fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    error.source().map_or(error, innermost)
}
