//! The kinds of failures in which no answer came, as a report counts them.

use std::io;

/// Why a request or a new connection brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransportFailure {
    /// The name of the server does not resolve.
    Name,
    /// The server refused the connection: nothing listens there.
    Refused,
    /// No answer came within the limit.
    TimedOut,
    /// The handshake failed.
    Tls,
    /// The connection broke before the answer was complete.
    Lost,
    /// Any other failure to connect: the system has no route to the server, for example.
    Unreachable,
}

impl TransportFailure {
    /// The kind of an error. `Target` marks a name that does not resolve as `NotFound`.
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

    /// The word under which reports count it.
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
