//! Errors of `keyraft dev`.

use std::io;
use std::path::PathBuf;

use crate::config::Problems;
use crate::tls::{ApiKeyError, AuthorityError};

/// Why a development cluster cannot be made or run.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A file or folder cannot be made, read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The KES configuration file cannot be read.
    #[error("{}: {source}", path.display())]
    Unread {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds something else than a development cluster.
    #[error("{} exists, and `keyraft dev` did not make it", .0.display())]
    NotOurs(PathBuf),
    /// The folder has a cluster that was made with other options.
    #[error("the cluster in {} was made with {option} {actual}, not {wanted}; nothing was changed", dir.display())]
    Differs {
        /// The folder.
        dir: PathBuf,
        /// The option that differs.
        option: &'static str,
        /// Its value in the folder.
        actual: String,
        /// Its value in the arguments.
        wanted: String,
    },
    /// The path is too long for the nodes' local sockets.
    #[error("the path {} is too long for the nodes' local sockets", .0.display())]
    TooDeep(PathBuf),
    /// The KES configuration file has problems.
    #[error("the configuration has problems\n{0}")]
    Borrowed(Problems),
    /// A certificate cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// An API key cannot be made.
    #[error(transparent)]
    ApiKey(#[from] ApiKeyError),
    /// Other programs listen on these ports.
    #[error("other programs listen on 127.0.0.1, {}", list(.0))]
    PortsTaken(Vec<u16>),
    /// A node's process cannot be started.
    #[error("cannot start a node: {0}")]
    Spawn(#[source] io::Error),
    /// A node ended before it served.
    #[error("{node} ended ({status}) before it served. The last lines of its log:\n{log}")]
    EndedEarly {
        /// Its name.
        node: String,
        /// How it ended.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// These nodes did not serve in time; each with its state.
    #[error("the cluster did not come up in time: {}", states(.0))]
    NotServing(Vec<(String, String)>),
    /// The user interrupted the start.
    #[error("interrupted before the nodes were up")]
    Interrupted,
    /// Every node has ended by itself.
    #[error("every node has ended")]
    AllEnded,
}

impl DevError {
    /// What to do next, if there is advice.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotOurs(_) => Some("choose another --dir"),
            Self::Differs { .. } => Some("leave that option out, or choose another --dir"),
            Self::TooDeep(_) => Some("choose a shorter --dir, such as one under /tmp"),
            Self::PortsTaken(_) => Some(
                "if another `keyraft dev` uses these ports, use its cluster; otherwise choose another --port and --dir",
            ),
            Self::NotServing(_) | Self::AllEnded => Some("each node's keyraft.log says why"),
            _ => None,
        }
    }
}

fn list(ports: &[u16]) -> String {
    let numbers: Vec<_> = ports.iter().map(u16::to_string).collect();
    format!("port{} {}", if ports.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

fn states(nodes: &[(String, String)]) -> String {
    nodes.iter().map(|(node, state)| format!("{node} is {state}")).collect::<Vec<_>>().join(", ")
}
