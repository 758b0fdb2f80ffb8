//! Why a command failed, what the user can do about it, and the exit code that says so to a script.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Style};

use super::dev;
use crate::client;
use crate::config::Problems;
use crate::node;
use crate::tls::{ApiKeyError, ClientTlsError, TlsError};

/// Why a command failed.
#[derive(Debug)]
pub enum Error {
    /// The request was refused or brought no answer.
    Client(client::Error),
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
    /// A file cannot be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A configuration file has problems.
    Config(Problems),
    /// The development cluster cannot be made or run.
    Dev(dev::Error),
    /// The load test could not be run.
    Load(client::load::Error),
    /// Audit files are not as the node wrote them.
    Tampered {
        /// How many faults.
        count: usize,
    },
    /// The output went away.
    Output(io::Error),
    /// The runtime did not start.
    Runtime(io::Error),
    /// The node cannot run, or has ended.
    Node(node::RunError),
}

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_UNAVAILABLE: u8 = 3;
const EXIT_NOT_PERMITTED: u8 = 4;
const EXIT_NOT_FOUND: u8 = 5;

const RED: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();

impl Error {
    /// Says on standard error what happened and what to do, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        // `keyraft key ls | head` ends like this; there is no one left to tell.
        if !matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            anstream::eprintln!("{RED}Error:{RED:#} {self}");
            if let Some(hint) = self.hint() {
                anstream::eprintln!("{DIM}{hint}{DIM:#}");
            }
        }
        ExitCode::from(self.code())
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Client(error) => error.hint(),
            Self::Dev(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::Tls(ClientTlsError::Files(TlsError::NoSystemRoots)) => {
                Some("set KEYRAFT_CA to the CA that signed the server's certificate")
            }
            _ => None,
        }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Client(error) | Self::Load(client::load::Error::Client(error)) => client_code(error),
            Self::Setting { .. } | Self::Input { .. } | Self::Tls(_) | Self::Config(_) => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }
}

fn client_code(error: &client::Error) -> u8 {
    match error {
        client::Error::Status { code: 403, .. } => EXIT_NOT_PERMITTED,
        client::Error::Status { code: 404, .. } => EXIT_NOT_FOUND,
        client::Error::Status { code: 503, .. }
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
            Self::Setting { name, reason } => write!(f, "{name}: {reason}"),
            Self::Input { what, reason } => write!(f, "{what}: {reason}"),
            Self::Tls(error) => error.fmt(f),
            Self::ApiKey(error) => error.fmt(f),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Config(problems) => write!(f, "the configuration has problems\n{problems}"),
            Self::Dev(error) => error.fmt(f),
            Self::Load(error) => error.fmt(f),
            Self::Tampered { count: 1 } => f.write_str("the audit trail has a fault"),
            Self::Tampered { count } => write!(f, "the audit trail has {count} faults"),
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

impl From<dev::Error> for Error {
    fn from(error: dev::Error) -> Self {
        Self::Dev(error)
    }
}

impl From<client::load::Error> for Error {
    fn from(error: client::load::Error) -> Self {
        Self::Load(error)
    }
}
