//! Why a command failed, what the user can do about it, and the exit code for scripts.

use std::io;
use std::path::PathBuf;

use super::dev::DevError;
use super::escape::quoted;
use crate::client;
use crate::config::{Finding, Problems};
use crate::file::UnreadableFile;
use crate::node;
use crate::tls::{ApiKeyError, ClientTlsError, TlsError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server refused the request, or did not answer.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The same for a request to the server from which keys are migrated.
    #[error("the old server: {0}")]
    OldServer(#[source] client::Error),
    /// An option or environment variable has a wrong value.
    #[error("{name}: {reason}")]
    Setting {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An argument or standard input cannot be read as what it should be.
    #[error("{what}: {reason}")]
    Input {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate, private key or CA for the connection cannot be used.
    #[error(transparent)]
    Tls(ClientTlsError),
    /// An API key cannot be made.
    #[error(transparent)]
    ApiKey(ApiKeyError),
    /// A file that an argument names cannot be read.
    #[error(transparent)]
    Unread(UnreadableFile),
    /// Reading or writing a file failed.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A configuration file has problems.
    #[error("the configuration has problems\n{0}")]
    Config(Problems),
    /// The development cluster cannot be made or run.
    #[error(transparent)]
    Dev(#[from] DevError),
    /// The load test cannot run.
    #[error(transparent)]
    Load(#[from] client::load::LoadError),
    /// Audit files are not as the node wrote them.
    #[error("the audit trail has {}; the output says where", faults(*count))]
    Tampered {
        /// How many faults it found.
        count: usize,
    },
    /// A request failed, and no credentials are set.
    #[error("no API key and no certificate is set: {error}")]
    Anonymous {
        /// The failure.
        #[source]
        error: Box<Error>,
    },
    /// A server refused the request, and what would permit it.
    #[error("{error}")]
    Denied {
        /// The refusal.
        #[source]
        error: Box<Error>,
        /// What is missing, and how an admin can add it.
        advice: String,
    },
    /// The command does not delete a key that was used in the last day, unless `--force` is given.
    #[error("key {name} is in use: somebody used it at {last_used}")]
    RecentlyUsed {
        /// The key's name.
        name: String,
        /// When somebody used it last, in RFC 3339.
        last_used: String,
    },
    /// The command cannot find out whether a key was used in the last day.
    #[error("cannot find out whether key {name} is in use: {error}")]
    UseUnknown {
        /// The key's name.
        name: String,
        /// Why it cannot.
        #[source]
        error: Box<Error>,
    },
    /// A change may have been made or not.
    #[error("it is unknown whether {what}: {error}\nLook before you run it again:\n  {look}")]
    OutcomeUnknown {
        /// The change, as a sentence: `the server has rotated my-key`.
        what: String,
        /// The command that shows whether it was made.
        look: String,
        /// Why it is unknown.
        #[source]
        error: Box<Error>,
    },
    /// The command cannot follow a log any further.
    #[error(
        "the connection to {lost} is lost, and events after that are not shown: {reason}\nThe command cannot follow another server: {error}"
    )]
    NotFollowed {
        /// The server that it followed last.
        lost: client::Endpoint,
        /// How that connection ended.
        reason: String,
        /// Why it cannot follow another server.
        #[source]
        error: client::Error,
    },
    /// One of several names failed, and the command did not try those after it.
    #[error("{name}: {error}{}", list_not_tried(not_tried))]
    Stopped {
        /// The one that failed.
        name: String,
        /// The names after it.
        not_tried: Vec<String>,
        /// Why it failed.
        #[source]
        error: Box<Error>,
    },
    /// Some changes were made, and then one failed.
    #[error("{done} of {total} are done, and then this failed: {error}")]
    Incomplete {
        /// How many were made.
        done: usize,
        /// How many changes there were to make.
        total: usize,
        /// Why the next one failed.
        #[source]
        error: Box<Error>,
    },
    /// A configuration, or a file that it names, has problems. The output has listed them.
    #[error("the configuration has problems, as listed above")]
    Faulty(Vec<Finding>),
    /// A dry run found something to do.
    #[error("the dry run found something to do")]
    Differs,
    /// The user answered no to a question.
    #[error("cancelled; nothing was changed")]
    Declined,
    /// How many assignments of a file were not made. The output has said which and why.
    #[error("{}; the output says why", not_assigned(*.0))]
    NotAssigned(usize),
    /// How many keys are not imported and proven. The output has said which and why.
    #[error("{}; the output says which and why", need_a_look(*.0))]
    NotMigrated(usize),
    /// Standard output or error cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[source] io::Error),
    /// The async runtime did not start.
    #[error("the command cannot start its async runtime: {0}")]
    Runtime(#[source] io::Error),
    /// The node cannot run, or ended with an error.
    #[error(transparent)]
    Node(node::RunError),
}

const EXIT_FAILED: u8 = 1;
/// Wrong usage, settings or input, or a node that needs somebody before it can start.
pub const EXIT_USAGE: u8 = 2;
const EXIT_UNAVAILABLE: u8 = 3;
const EXIT_NOT_PERMITTED: u8 = 4;
const EXIT_NOT_FOUND: u8 = 5;
const EXIT_DIFFERS: u8 = 6;

/// What to do if the command cannot find out whether a key is in use.
pub const FORCE_SKIPS_CHECK: &str = "--force deletes the key without this check, even if somebody uses it";
const FOLLOW_AGAIN: &str = "`keyraft cluster status` shows which nodes are up";
const FOLLOW_SEVERAL: &str = "with several servers in MINIO_KES_SERVER (or --server), the command goes on at the next one when \
                              it loses one";
const SET_CREDENTIALS: &str = "the server needs to know who you are: set MINIO_KES_API_KEY (or --api-key), or MINIO_KES_CERT_FILE \
                      and MINIO_KES_KEY_FILE (or --cert and --key)";

impl Error {
    /// The server's refusal, if the caller lacks a permission.
    pub fn refusal(&self) -> Option<&client::Error> {
        self.request().filter(|error| error.is_status(403))
    }

    /// Whether the command could not find out whether a key is in use.
    pub fn is_of_unknown_use(&self) -> bool {
        match self {
            Self::UseUnknown { .. } => true,
            Self::Stopped { error, .. } => error.is_of_unknown_use(),
            _ => false,
        }
    }

    /// The failed request, if that is the reason.
    pub fn request(&self) -> Option<&client::Error> {
        match self {
            Self::Client(error) | Self::Load(client::load::LoadError::Client(error)) => Some(error),
            Self::Incomplete { error, .. } | Self::UseUnknown { error, .. } | Self::Stopped { error, .. } => {
                error.request()
            }
            _ => None,
        }
    }

    /// Whether nobody reads the output any more, as when `keyraft key ls | head` closes it.
    pub(super) fn has_no_reader(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether the output has shown it to people already.
    pub(super) fn is_in_the_output(&self) -> bool {
        matches!(self, Self::Differs | Self::Faulty(_))
    }

    /// What to do now, if there is advice.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Client(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::NotFollowed { error: client::Error::NoServer(_), .. } => Some(FOLLOW_AGAIN.to_owned()),
            Self::NotFollowed { .. } => Some(format!("{FOLLOW_AGAIN}; {FOLLOW_SEVERAL}")),
            Self::RecentlyUsed { name, .. } => Some(format!(
                "without this key, nobody can decrypt what it has encrypted. --force deletes it all the same. Only if the server has \
                 a deletion window, `keyraft key restore {}` brings the key back, until that window ends",
                quoted(name)
            )),
            Self::Stopped { error, .. } => error.hint(),
            Self::Anonymous { error } if error.request().is_some_and(client::Error::may_want_a_certificate) => {
                Some(SET_CREDENTIALS.to_owned())
            }
            Self::Anonymous { error } => {
                Some(error.hint().map_or(SET_CREDENTIALS.to_owned(), |hint| format!("{SET_CREDENTIALS}\n{hint}")))
            }
            _ => self.fixed_hint().map(str::to_owned),
        }
    }

    fn fixed_hint(&self) -> Option<&str> {
        match self {
            Self::OldServer(_) => Some(
                "check the address in --verify, and your credentials for the old server in KEYRAFT_VERIFY_API_KEY or --verify-cert",
            ),
            Self::Dev(error) => error.hint(),
            Self::Denied { advice, .. } => Some(advice),
            Self::UseUnknown { .. } => Some(FORCE_SKIPS_CHECK),
            Self::Incomplete { .. } => {
                Some("run the same command again: it keeps what is done and goes on with the rest")
            }
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
            | Self::Node(node::RunError::Config(_) | node::RunError::Log(_)) => EXIT_USAGE,
            Self::Node(node::RunError::Node { error, .. }) if error.is_lasting() => EXIT_USAGE,
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

fn faults(count: usize) -> String {
    if count == 1 { "a fault".to_owned() } else { format!("{count} faults") }
}

fn list_not_tried(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("\nNot tried: {}", names.join(" ")) }
}

fn not_assigned(count: usize) -> String {
    match count {
        1 => "one assignment of the file was not made".to_owned(),
        count => format!("{count} assignments of the file were not made"),
    }
}

fn need_a_look(count: usize) -> String {
    if count == 1 { "one key needs a look".to_owned() } else { format!("{count} keys need a look") }
}
