//! What can go wrong with a request, and what to do about it.

use std::fmt;
use std::io;
use std::time::Duration;

use super::Endpoint;
use crate::tls::Refusal;

/// Why a request brought no result.
#[derive(Debug)]
pub enum Error {
    /// The server answered, and said no.
    Status {
        /// What was asked: the path without its query.
        path: String,
        /// The HTTP status.
        code: u16,
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
    /// Whether a server answered with this status.
    pub fn is_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Status { code, .. } if *code == wanted)
    }

    /// Whether a server answered with this status and text.
    pub fn says(&self, wanted: u16, text: &str) -> bool {
        matches!(self, Self::Status { code, message, .. } if *code == wanted && message.trim() == text)
    }

    /// Whether an earlier attempt, at another server, may have done what was asked for.
    pub fn is_of_a_second_attempt(&self) -> bool {
        matches!(self, Self::Status { retried: true, .. })
    }

    /// Whether what was asked for may have been done all the same.
    pub fn may_be_done(&self) -> bool {
        match self {
            // A server that knows that it did nothing says so.
            Self::Status { code: 503, message, .. } => !message.contains("nothing was changed"),
            Self::NoServer(failures) => failures.iter().any(|(_, error)| error.may_be_done()),
            Self::Transport { sent, .. } | Self::TimedOut { sent, .. } => *sent,
            Self::Malformed { .. } => true,
            Self::Status { .. } | Self::Socket { .. } => false,
        }
    }

    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Status { path, code: 404, retried: true, .. } if ends_something(path) => {
                Some("an earlier attempt of this command, at another server, may have done it")
            }
            Self::Status { code, message, retried, .. } => status_hint(*code, message, *retried),
            Self::NoServer(failures) => failures.iter().find_map(|(_, error)| error.hint()),
            Self::Transport { source, .. } => Some(transport_hint(source.as_ref())),
            Self::TimedOut { sent: true, .. } => Some("the outcome is unknown: look before you try again"),
            Self::TimedOut { .. } => Some("is it running? MINIO_KES_SERVER (or --server) says where servers are"),
            Self::Malformed { .. } => Some("is this the address of a KES-compatible server?"),
            Self::Socket { source, .. } => Some(socket_hint(source.kind())),
        }
    }
}

/// Whether doing what stands at this path leaves nothing to do it to.
fn ends_something(path: &str) -> bool {
    const ENDS: [&str; 5] =
        ["/v1/key/delete/", "/v1/key/purge/", "/v1/key/restore/", "/v1/policy/delete/", "/v1/identity/delete/"];
    ENDS.iter().any(|end| path.starts_with(end))
}

fn status_hint(code: u16, message: &str, retried: bool) -> Option<&'static str> {
    match code {
        400 if retried && message.ends_with("already exists") => {
            Some("an earlier attempt of this command, at another server, may have made it")
        }
        400 if message == "tls: client certificate is required" => Some(NO_CERTIFICATE),
        403 => Some("your identity may not do this; `keyraft identity info` shows what it may"),
        404 if message == "key does not exist" => Some("`keyraft key ls` lists the keys there are"),
        404 if message == "policy does not exist" => Some("`keyraft policy ls` lists the policies there are"),
        404 if message == "identity does not exist" => Some("`keyraft identity ls` lists the identities there are"),
        404 if message == "key version does not exist" => Some("`keyraft key versions NAME` lists the versions"),
        400 if message == "policy already exists" => Some("`keyraft policy create --replace` replaces it"),
        400 if message == "identity already exists" => {
            Some("`keyraft policy assign` gives it another policy; `keyraft identity rm` takes away what it has")
        }
        409 if message == "key version is disabled" => Some("`keyraft key enable NAME VERSION` makes it usable again"),
        404 if message.trim() == "404 page not found" => Some("this server does not offer that"),
        503 => Some("no leader answered in time; `keyraft cluster status` shows which nodes are up"),
        _ => None,
    }
}

const NO_CERTIFICATE: &str = "the server wants to know who you are: set MINIO_KES_API_KEY, or --cert and --key";

fn transport_hint(source: &(dyn std::error::Error + 'static)) -> &'static str {
    match Refusal::of(source) {
        Some(Refusal::Untrusted) => "set KEYRAFT_CA (or --ca) to the CA that signed the server's certificate",
        Some(Refusal::WrongName) => "the server's certificate is for other names: use one of them as its address",
        Some(Refusal::Expired) => "the server's certificate is not valid now: renew it, and check the clocks",
        Some(Refusal::ClientCertificate) => NO_CERTIFICATE,
        None => "is it running? MINIO_KES_SERVER (or --server) says where servers are; `keyraft dev` starts some",
    }
}

fn socket_hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => "ask as the user that runs the node",
        _ => "the node is not running on this machine, or has another data folder",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { code, message, .. } => write!(f, "{} ({code})", message.trim()),
            Self::NoServer(failures) => {
                f.write_str("none of the servers was of use")?;
                failures.iter().try_for_each(|(endpoint, error)| match error {
                    Self::Status { .. } => write!(f, "\n  {endpoint}: {error}"),
                    _ => write!(f, "\n  {error}"),
                })
            }
            Self::Transport { endpoint, source, .. } => {
                write!(f, "no answer from {endpoint}: {}", innermost(source.as_ref()))
            }
            Self::TimedOut { endpoint, after, .. } => write!(f, "no answer from {endpoint} within {after:?}"),
            Self::Malformed { path, reason } => write!(f, "the answer to {path} makes no sense: {reason}"),
            Self::Socket { path, source } => write!(f, "no answer on {}: {source}", path.display()),
        }
    }
}

/// The error at the end of the chain: "connection refused" says more than "client error (Connect)".
fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    error.source().map_or(error, innermost)
}

impl std::error::Error for Error {}
