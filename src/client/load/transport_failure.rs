//! Why a request or a connection got no answer, in the kinds that a report counts.

use std::io;

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransportFailure {
    /// The name of the server does not resolve.
    Name,
    /// The server refused the connection: nothing listens there.
    Refused,
    /// Nothing came in time.
    TimedOut,
    /// The handshake failed.
    Tls,
    /// The connection broke.
    Lost,
    /// The system has no way to the server.
    Unreachable,
}

impl TransportFailure {
    /// What kind an error is; a name that does not resolve is marked as not found.
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound => Self::Name,
            Kind::ConnectionRefused => Self::Refused,
            Kind::TimedOut => Self::TimedOut,
            Kind::InvalidData => Self::Tls,
            Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::Other => {
                Self::Lost
            }
            _ => Self::Unreachable,
        }
    }

    /// The word by which reports count it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Name => "name_not_resolved",
            Self::Refused => "connection_refused",
            Self::TimedOut => "timeout",
            Self::Tls => "tls",
            Self::Lost => "connection_lost",
            Self::Unreachable => "unreachable",
        }
    }
}
