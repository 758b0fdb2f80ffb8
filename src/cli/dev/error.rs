//! Errors of `keyraft dev`.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::config::Problems;
use crate::tls::AuthorityError;

/// Why a development cluster cannot be made or run.
#[derive(Debug)]
pub enum DevError {
    /// A file or folder cannot be made, read or written.
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The KES configuration file cannot be read.
    Unread {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds something else than a development cluster.
    NotOurs(PathBuf),
    /// The folder has a cluster that was made with other options.
    Differs {
        /// The folder.
        dir: PathBuf,
        /// The option that differs.
        what: &'static str,
        /// Its value in the folder.
        there: String,
        /// Its value in the arguments.
        asked: String,
    },
    /// The path is too long for the nodes' local sockets.
    TooDeep(PathBuf),
    /// The KES configuration file has problems.
    Borrowed(Problems),
    /// A certificate or key cannot be made.
    Certificate(String),
    /// Other programs listen on these ports.
    PortsTaken(Vec<u16>),
    /// A node's process cannot be started.
    Spawn(io::Error),
    /// A node ended before it served.
    EndedEarly {
        /// Its name.
        node: String,
        /// How it ended.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// These nodes did not serve in time; each with its state.
    NotServing(Vec<(String, String)>),
    /// The user interrupted the start.
    Interrupted,
    /// Every node has ended by itself.
    AllEnded,
}

impl DevError {
    /// What to do next, if there is advice.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotOurs(_) => Some("choose another --dir"),
            Self::Differs { .. } => Some("leave that option out, or choose another --dir"),
            Self::TooDeep(_) => Some("choose a shorter --dir, such as one under /tmp"),
            Self::PortsTaken(_) => {
                Some("if `keyraft dev` is running already, use that cluster; otherwise choose another --port and --dir")
            }
            Self::NotServing(_) | Self::AllEnded => Some("each node's keyraft.log says why"),
            _ => None,
        }
    }
}

impl fmt::Display for DevError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } | Self::Unread { path, source } => write!(f, "{}: {source}", path.display()),
            Self::NotOurs(dir) => write!(f, "{} exists, and `keyraft dev` did not make it", dir.display()),
            Self::Differs { dir, what, there, asked } => {
                write!(
                    f,
                    "the cluster in {} was made with {what} {there}, not {asked}; nothing was changed",
                    dir.display()
                )
            }
            Self::TooDeep(dir) => write!(f, "the path {} is too long for the nodes' local sockets", dir.display()),
            Self::Borrowed(problems) => write!(f, "the configuration has problems\n{problems}"),
            Self::Certificate(reason) => f.write_str(reason),
            Self::PortsTaken(ports) => write!(f, "other programs listen on 127.0.0.1, {}", list(ports)),
            Self::Spawn(error) => write!(f, "cannot start a node: {error}"),
            Self::EndedEarly { node, status, log } => write!(f, "{node} ended ({status}) before it served\n{log}"),
            Self::NotServing(nodes) => {
                let states: Vec<_> = nodes.iter().map(|(node, state)| format!("{node} is {state}")).collect();
                write!(f, "the cluster did not come up in time: {}", states.join(", "))
            }
            Self::Interrupted => f.write_str("interrupted before the nodes were up"),
            Self::AllEnded => f.write_str("every node has ended"),
        }
    }
}

fn list(ports: &[u16]) -> String {
    let numbers: Vec<_> = ports.iter().map(u16::to_string).collect();
    format!("port{} {}", if ports.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

impl std::error::Error for DevError {}

impl From<AuthorityError> for DevError {
    fn from(error: AuthorityError) -> Self {
        Self::Certificate(error.to_string())
    }
}
