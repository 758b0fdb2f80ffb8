//! Why a node cannot run, or has ended.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::file::{UnreadableFile, UnreadableReason};
use crate::raft::{StartError, StopReason};
use crate::store::may_pass;
use crate::tls::{PeerKeyError, SettingError, TlsError};

/// Why a node cannot run, or has ended.
#[derive(Debug, Error)]
pub enum NodeError {
    /// A setting names a certificate, key or CA that cannot be used.
    #[error(transparent)]
    Tls(#[from] SettingError),
    /// The node cannot make its key for peers.
    #[error(transparent)]
    PeerKey(PeerKeyError),
    /// A setting names another file or folder that cannot be used.
    #[error("{setting}: {}", unusable(path, error))]
    File {
        /// The setting.
        setting: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it cannot be used.
        #[source]
        error: io::Error,
    },
    /// A setting names an address that the node cannot listen on.
    #[error("{setting}: cannot listen on {address}: {error}{}", address_advice(error.kind()))]
    Listen {
        /// The setting.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// It cannot take part in its cluster.
    #[error(transparent)]
    Start(StartError),
    /// The system refused something else.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An invariant broke, the disk failed, or the data folder is not what the node wrote: going on could lose or leak a
    /// key.
    #[error("{0}")]
    Failed(StopReason),
    /// The node cannot write its audit trail any more.
    #[error("the node cannot write its audit trail: {0}")]
    Audit(#[source] io::Error),
    /// A part of the node panicked.
    #[error("a part of the node panicked: {0}")]
    Panicked(String),
}

impl NodeError {
    /// Whether the configuration names something that the node cannot use.
    pub fn is_of_files(&self) -> bool {
        match self {
            // Nobody has to correct the configuration when a disk is full or fails. A service manager should try again.
            Self::Tls(SettingError { error: TlsError::UnreadablePeerKey(UnreadableFile { why, .. }), .. }) => {
                !matches!(why, UnreadableReason::Io(error) if passes_by_itself(error))
            }
            Self::Tls(_) => true,
            Self::File { error, .. } => !passes_by_itself(error),
            _ => false,
        }
    }

    /// Whether the file system refused the node its data folder, and a later attempt may succeed.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Start(error) if error.may_pass())
    }

    /// Whether a restart alone does not help: somebody must act first.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Start(error) => error.is_lasting(),
            Self::Failed(reason) => reason.is_lasting,
            _ => self.is_of_files(),
        }
    }

    /// Whether the error is about one setting of the configuration file.
    pub fn is_of_a_setting(&self) -> bool {
        self.is_of_files()
            || matches!(self, Self::Listen { .. } | Self::Start(StartError::Store { .. } | StartError::Document { .. }))
    }
}

impl From<StartError> for NodeError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Listen { address, error } => Self::Listen { setting: "cluster.listen", address, error },
            other => Self::Start(other),
        }
    }
}

/// Whether a disk failed, or is full, and nobody has to change a setting or a permission.
fn passes_by_itself(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::PermissionDenied && may_pass(error)
}

/// Makes the error of a node that cannot listen for clients on this address.
pub(super) fn in_address(address: SocketAddr) -> impl FnOnce(io::Error) -> NodeError {
    move |error| NodeError::Listen { setting: "address", address, error }
}

/// Says which file or folder the node cannot use, why, and what to do about it.
pub(super) fn unusable(path: &Path, error: &io::Error) -> String {
    format!("cannot use {}: {error}{}", path.display(), file_advice(error.kind()))
}

/// Says what to do about a file or folder that the node cannot use.
fn file_advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => "; give the user of this process access to it",
        io::ErrorKind::NotFound => "; make the folder above it, or correct the setting",
        io::ErrorKind::NotADirectory => "; name a folder",
        io::ErrorKind::IsADirectory => "; name a file",
        io::ErrorKind::ReadOnlyFilesystem => "; mount it writable, or name another place",
        _ => "",
    }
}

/// Says what to do about an address that the node cannot listen on.
fn address_advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "; stop the process that listens there, or choose another port",
        io::ErrorKind::AddrNotAvailable => "; name an address of this machine",
        io::ErrorKind::PermissionDenied => "; a port below 1024 needs the capability CAP_NET_BIND_SERVICE",
        _ => "",
    }
}
