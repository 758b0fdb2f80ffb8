//! Why an operation failed.

use thiserror::Error as ThisError;

use crate::raft::WriteError;

/// Why an operation failed, with one variant for each thing that a caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum Error {
    /// No key has this name. The leader has confirmed that.
    #[error("no key has this name")]
    KeyNotFound,
    /// A key has this name already.
    #[error("a key has this name already")]
    KeyExists,
    /// The key has no such version.
    #[error("the key has no such version")]
    VersionNotFound,
    /// A deleted key of this name can still be restored.
    #[error("a deleted key of this name can still be restored")]
    KeyWaiting {
        /// About until when, in Unix nanoseconds.
        until: i64,
    },
    /// No deleted key of this name can be restored.
    #[error("no deleted key of this name can be restored")]
    NothingWaiting,
    /// This version of the key is disabled.
    #[error("key version is disabled")]
    VersionDisabled,
    /// The newest version cannot be disabled.
    #[error("the newest version of a key cannot be disabled")]
    VersionNewest,
    /// The key has as many versions as a key may have.
    #[error("the key has too many versions")]
    TooManyVersions,
    /// Another key or context made the ciphertext, or somebody changed it.
    #[error("ciphertext is not authentic")]
    NotAuthentic,
    /// The key was imported without an HMAC key.
    #[error("key does not support HMAC")]
    NoHmac,
    /// The sealed record of this key does not open, and a peer has the same record or did not answer.
    #[error("key cannot be opened")]
    KeyUnopenable,
    /// No policy has this name.
    #[error("no policy has this name")]
    PolicyNotFound,
    /// A policy has this name already.
    #[error("a policy has this name already")]
    PolicyExists,
    /// The policy is not the one that the client wanted to replace.
    #[error("somebody changed the policy meanwhile")]
    PolicyChanged,
    /// The policy is larger than a policy may be.
    #[error("the policy is too large")]
    PolicyTooLarge,
    /// The cluster does not know this identity.
    #[error("the server does not know this identity")]
    IdentityNotFound,
    /// The cluster knows this identity already.
    #[error("the identity has a role already")]
    IdentityExists,
    /// The identity is an admin, and an admin cannot have a policy.
    #[error("the identity is an admin")]
    IdentityIsAdmin,
    /// This is the last admin, and the cluster must keep one.
    #[error("the identity is the last admin")]
    LastAdmin,
    /// Only this node's configuration file names this admin.
    #[error("the identity is the admin of the configuration file")]
    AdminOfFile,
    /// The rules at the moment of the write did not permit it.
    #[error("insufficient permissions")]
    Denied,
    /// No leader answered before the deadline, and the node wrote nothing.
    #[error("no leader answered in time, and nothing was written")]
    NoLeader,
    /// The disks of most nodes lack room for the write, and the node wrote nothing.
    #[error("the disks of most nodes lack room, and nothing was written")]
    NoRoom,
    /// The node sent the write, but got no answer before the deadline. The write may or may not take effect.
    #[error("no answer came in time; the write may or may not take effect")]
    OutcomeUnknown,
    /// The write took effect, but not every node had confirmed it by the deadline.
    #[error("the change is made, but some nodes did not confirm it in time")]
    NotEverywhere,
    /// A newer version decided on the write, with an outcome of this number. This version does not know what it means.
    #[error("the write was done by a newer version, with outcome {0}, which this version does not know")]
    UnknownOutcome(u16),
    /// The node is stopping, or must not serve now.
    #[error("the node does not serve now")]
    Stopping,
}

impl Error {
    /// Whether it says that the thing to remove does not exist.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::KeyNotFound | Self::NothingWaiting | Self::PolicyNotFound | Self::IdentityNotFound)
    }

    /// The error for a client that named no version: a key whose version is missing does not exist.
    pub(super) fn of_whole_key(self) -> Self {
        if self == Self::VersionNotFound { Self::KeyNotFound } else { self }
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NoLeader => Self::NoLeader,
            WriteError::NoRoom => Self::NoRoom,
            WriteError::OutcomeUnknown => Self::OutcomeUnknown,
            WriteError::NotEverywhere => Self::NotEverywhere,
        }
    }
}
