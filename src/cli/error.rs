//! Why a command failed, what the user can do about it, and the exit code that says so to a script.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::dev::DevError;
use super::escape::quoted;
use crate::client;
use crate::config::{Finding, Problems};
use crate::file::Unread;
use crate::node;
use crate::tls::{ApiKeyError, ClientTlsError, TlsError};

/// Why a command failed.
#[derive(Debug)]
pub enum Error {
    /// The request was refused or brought no answer.
    Client(client::Error),
    /// The same at the server that keys come from.
    OldServer(client::Error),
    /// An option or environment variable that makes no sense.
    Setting {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Text on the command line or on standard input that cannot be read as what it should be.
    Input {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The credentials or trust for the connection cannot be used.
    Tls(ClientTlsError),
    /// No API key could be made.
    ApiKey(ApiKeyError),
    /// A file that was named cannot be read.
    Unread(Unread),
    /// A file cannot be written, or read while it is worked on.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A configuration file has problems.
    Config(Problems),
    /// The development cluster cannot be made or run.
    Dev(DevError),
    /// The load test could not be run.
    Load(client::load::LoadError),
    /// Audit files are not as the node wrote them.
    Tampered {
        /// How many faults.
        count: usize,
    },
    /// A server gave nothing to one who has not said who asks.
    Anonymous {
        /// What became of it.
        error: Box<Error>,
    },
    /// What a policy check refused, and what would let it through.
    Denied {
        /// The refusal.
        error: Box<Error>,
        /// What is missing, and who adds it how.
        advice: String,
    },
    /// A key that was used in the last day is not deleted without being told to.
    RecentlyUsed {
        /// The key's name.
        name: String,
        /// When it was used last, in RFC 3339.
        last_used: String,
    },
    /// Whether a key was used in the last day cannot be asked.
    UseUnknown {
        /// The key's name.
        name: String,
        /// Why not.
        error: Box<Error>,
    },
    /// Whether something was done is not known.
    OutcomeUnknown {
        /// What may be so or not.
        what: String,
        /// The command that shows it.
        look: String,
        /// Why it is not known.
        error: Box<Error>,
    },
    /// A log could be followed no further.
    NotFollowed {
        /// The server that was followed last.
        lost: client::Endpoint,
        /// How that ended.
        reason: String,
        /// Why no server could be followed instead.
        error: client::Error,
    },
    /// Of several names one failed, and those after it were not tried.
    Stopped {
        /// The one that failed.
        name: String,
        /// Those after it.
        left: Vec<String>,
        /// Why it failed.
        error: Box<Error>,
    },
    /// Some changes were made, and then one was not.
    Incomplete {
        /// How many were made.
        done: usize,
        /// Of how many.
        total: usize,
        /// Why no more were.
        error: Box<Error>,
    },
    /// A configuration, or what it names, has problems, as the output has shown.
    Faulty(Vec<Finding>),
    /// A dry run found something to do.
    Differs,
    /// The user was asked, and said no.
    Declined,
    /// Some of what a file wants was left as it is; the output has said what and why.
    LeftAlone(usize),
    /// So many keys were not brought over, or are not what they were; the output has said which and why.
    NotMigrated(usize),
    /// The output went away.
    Output(io::Error),
    /// The runtime did not start.
    Runtime(io::Error),
    /// The node cannot run, or has ended.
    Node(node::RunError),
}

const EXIT_FAILED: u8 = 1;
/// Wrong usage, settings or input.
pub const EXIT_USAGE: u8 = 2;
const EXIT_UNAVAILABLE: u8 = 3;
const EXIT_NOT_PERMITTED: u8 = 4;
const EXIT_NOT_FOUND: u8 = 5;
const EXIT_DIFFERS: u8 = 6;

/// What to do where it cannot be asked whether a key is in use.
pub const UNASKED: &str = "--force deletes it without asking";
const FOLLOW_ALL: &str =
    "`keyraft cluster status` shows which nodes are up; MINIO_KES_SERVER (or --server) takes several";
const NOBODY: &str = "a server wants to know who you are: set MINIO_KES_API_KEY (or --api-key), or MINIO_KES_CERT_FILE \
                      and MINIO_KES_KEY_FILE (or --cert and --key)";

impl Error {
    /// The server's refusal, when this is one for lack of permission.
    pub fn refusal(&self) -> Option<&client::Error> {
        self.request().filter(|error| error.is_status(403))
    }

    /// Whether it is that nobody could tell whether a key is in use.
    pub fn is_of_unknown_use(&self) -> bool {
        match self {
            Self::UseUnknown { .. } => true,
            Self::Stopped { error, .. } => error.is_of_unknown_use(),
            _ => false,
        }
    }

    /// What became of a request, when that is the reason.
    pub fn request(&self) -> Option<&client::Error> {
        match self {
            Self::Client(error) | Self::Load(client::load::LoadError::Client(error)) => Some(error),
            Self::Incomplete { error, .. } | Self::UseUnknown { error, .. } | Self::Stopped { error, .. } => {
                error.request()
            }
            _ => None,
        }
    }

    /// Whether nobody reads the report: `keyraft key ls | head` closes its output, for one.
    pub(super) fn has_no_reader(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether what was printed shows it to people already.
    pub(super) fn is_in_the_output(&self) -> bool {
        matches!(self, Self::Differs | Self::Faulty(_))
    }

    /// What to do now, where there is something to say.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Client(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::NotFollowed { error: client::Error::NoServer(_), .. } => Some(FOLLOW_ALL.to_owned()),
            Self::NotFollowed { .. } => Some(format!("{FOLLOW_ALL}, of which the next one is followed then")),
            Self::RecentlyUsed { name, .. } => Some(format!(
                "without it nothing opens what it sealed; --force deletes it all the same, for good unless the server has \
                 a deletion window: within that, `keyraft key restore {}` takes it back",
                quoted(name)
            )),
            Self::Stopped { error, .. } => error.hint(),
            Self::Anonymous { error } if error.request().is_some_and(client::Error::may_want_a_certificate) => {
                Some(NOBODY.to_owned())
            }
            Self::Anonymous { error } => {
                Some(error.hint().map_or(NOBODY.to_owned(), |hint| format!("{NOBODY}\n{hint}")))
            }
            _ => self.fixed_hint().map(str::to_owned),
        }
    }

    fn fixed_hint(&self) -> Option<&str> {
        match self {
            Self::OldServer(_) => Some("--verify says where it is; KEYRAFT_VERIFY_API_KEY or --verify-cert, who asks"),
            Self::Dev(error) => error.hint(),
            Self::Denied { advice, .. } => Some(advice),
            Self::UseUnknown { .. } => Some(UNASKED),
            Self::Incomplete { .. } => Some("run it again: what is done is left alone, and the rest goes on"),
            Self::Tls(ClientTlsError::Files(TlsError::NoSystemRoots)) => {
                Some("set KEYRAFT_CA to the CA that signed the server's certificate")
            }
            _ => None,
        }
    }

    /// The exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Client(error)
            | Self::OldServer(error)
            | Self::NotFollowed { error, .. }
            | Self::Load(client::load::LoadError::Client(error)) => client_code(error),
            Self::Denied { error, .. }
            | Self::Anonymous { error }
            | Self::Stopped { error, .. }
            | Self::Incomplete { error, .. }
            | Self::OutcomeUnknown { error, .. }
            | Self::UseUnknown { error, .. } => error.code(),
            Self::Setting { .. }
            | Self::Input { .. }
            | Self::Unread(_)
            | Self::Tls(_)
            | Self::Config(_)
            | Self::Faulty(_)
            | Self::Dev(DevError::Borrowed(_) | DevError::Unread { .. })
            | Self::Node(node::RunError::Config(_)) => EXIT_USAGE,
            Self::Node(node::RunError::Node { error, .. }) if error.is_of_files() => EXIT_USAGE,
            Self::Load(client::load::LoadError::NoAnswer { .. }) => EXIT_UNAVAILABLE,
            Self::Differs => EXIT_DIFFERS,
            _ => EXIT_FAILED,
        }
    }
}

fn client_code(error: &client::Error) -> u8 {
    match error {
        client::Error::Status { status: 403, .. } => EXIT_NOT_PERMITTED,
        client::Error::Status { status: 404, .. } => EXIT_NOT_FOUND,
        client::Error::Status { status: 503, .. }
        | client::Error::NoServer(_)
        | client::Error::Transport { .. }
        | client::Error::TimedOut { .. }
        | client::Error::Socket { .. } => EXIT_UNAVAILABLE,
        client::Error::Status { .. } | client::Error::Malformed { .. } => EXIT_FAILED,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::OldServer(error) => write!(f, "the old server: {error}"),
            Self::Setting { name, reason } => write!(f, "{name}: {reason}"),
            Self::Input { what, reason } => write!(f, "{what}: {reason}"),
            Self::Tls(error) => error.fmt(f),
            Self::ApiKey(error) => error.fmt(f),
            Self::Unread(error) => error.fmt(f),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Config(problems) => write!(f, "the configuration has problems\n{problems}"),
            Self::Dev(error) => error.fmt(f),
            Self::Load(error) => error.fmt(f),
            Self::Tampered { count: 1 } => f.write_str("the audit trail has a fault"),
            Self::Tampered { count } => write!(f, "the audit trail has {count} faults"),
            Self::Denied { error, .. } => error.fmt(f),
            Self::Anonymous { error } => write!(f, "no API key and no certificate is set: {error}"),
            Self::RecentlyUsed { name, last_used } => write!(f, "{name} is in use: within about a day, at {last_used}"),
            Self::UseUnknown { name, error } => write!(f, "whether {name} is in use cannot be asked: {error}"),
            Self::OutcomeUnknown { what, look, error } => {
                write!(f, "{what} is not known: {error}\nLook before you do it again:\n  {look}")
            }
            Self::Incomplete { done, total, error } => write!(f, "{done} of {total} are done; then: {error}"),
            Self::NotFollowed { lost, reason, error } => {
                write!(
                    f,
                    "the connection to {lost} is lost, and events after that are not shown: {reason}\nNow: {error}"
                )
            }
            Self::Stopped { name, left, error } => {
                write!(f, "{name}: {error}")?;
                if left.is_empty() { Ok(()) } else { write!(f, "\nNot tried: {}", left.join(" ")) }
            }
            Self::Faulty(_) => f.write_str("the configuration has problems, as listed above"),
            Self::Differs => f.write_str("something differs"),
            Self::Declined => f.write_str("nothing is changed"),
            Self::LeftAlone(1) => f.write_str("one thing is not as the file wants it, as said above"),
            Self::LeftAlone(count) => write!(f, "{count} things are not as the file wants them, as said above"),
            Self::NotMigrated(1) => f.write_str("one key needs a look, as said above"),
            Self::NotMigrated(count) => write!(f, "{count} keys need a look, as said above"),
            Self::Output(error) => write!(f, "the output cannot be written: {error}"),
            Self::Runtime(error) => write!(f, "the runtime does not start: {error}"),
            Self::Node(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<client::Error> for Error {
    fn from(error: client::Error) -> Self {
        Self::Client(error)
    }
}

impl From<DevError> for Error {
    fn from(error: DevError) -> Self {
        Self::Dev(error)
    }
}

impl From<client::load::LoadError> for Error {
    fn from(error: client::load::LoadError) -> Self {
        Self::Load(error)
    }
}
