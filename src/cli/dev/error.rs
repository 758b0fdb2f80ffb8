//! Why a development cluster cannot be made or run.

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
        /// Which.
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
    /// The folder holds something else.
    NotOurs(PathBuf),
    /// The folder holds a cluster of another shape than was asked for.
    Differs {
        /// The folder.
        dir: PathBuf,
        /// What differs.
        what: &'static str,
        /// What is there.
        there: String,
        /// What was asked for.
        asked: String,
    },
    /// The path is too long for the nodes' local sockets.
    TooDeep(PathBuf),
    /// The KES configuration file has problems.
    Borrowed(Problems),
    /// A certificate or key cannot be made.
    Certificate(String),
    /// Ports that other programs listen on.
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
    /// Nodes that did not serve in time, each with its state.
    NotServing(Vec<(String, String)>),
    /// The user interrupted the start.
    Interrupted,
    /// Every node has ended by itself.
    AllEnded,
}

impl DevError {
    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotOurs(_) => Some("choose another --dir"),
            Self::Differs { .. } => Some("leave that option out, choose another --dir, or delete the folder"),
            Self::TooDeep(_) => Some("choose a shorter --dir, such as one under /tmp"),
            Self::PortsTaken(_) => {
                Some("is `keyraft dev` running already? Otherwise choose another --port, with another --dir")
            }
            Self::NotServing(_) => Some("each node's keyraft.log says why"),
            _ => None,
        }
    }
}

impl fmt::Display for DevError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } | Self::Unread { path, source } => write!(f, "{}: {source}", path.display()),
            Self::NotOurs(dir) => write!(f, "{} is there, and no cluster that `keyraft dev` made", dir.display()),
            Self::Differs { dir, what, there, asked } => {
                write!(f, "the cluster in {} has {what} {there}, not {asked}; nothing was changed", dir.display())
            }
            Self::TooDeep(dir) => write!(f, "{} is too long a path for the nodes' local sockets", dir.display()),
            Self::Borrowed(problems) => write!(f, "the configuration has problems\n{problems}"),
            Self::Certificate(reason) => f.write_str(reason),
            Self::PortsTaken(ports) => write!(f, "other programs listen on 127.0.0.1, {}", list(ports)),
            Self::Spawn(error) => write!(f, "no node could be started: {error}"),
            Self::EndedEarly { node, status, log } => write!(f, "{node} ended ({status}) before it served\n{log}"),
            Self::NotServing(nodes) => {
                let states: Vec<_> = nodes.iter().map(|(node, state)| format!("{node} is {state}")).collect();
                write!(f, "the cluster did not come up in time: {}", states.join(", "))
            }
            Self::Interrupted => f.write_str("interrupted before the nodes were up"),
            Self::AllEnded => f.write_str("no node is left"),
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
