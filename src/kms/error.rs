//! Why an operation was not done.

use std::fmt;

use crate::raft::WriteError;

/// Why an operation was not done; one variant for each thing a caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// No key has this name, as the leader confirmed.
    KeyNotFound,
    /// A key has this name already.
    KeyExists,
    /// The key has no such version.
    VersionNotFound,
    /// A deleted key of this name can still be restored.
    KeyWaiting {
        /// Until when about, in Unix nanoseconds.
        until: i64,
    },
    /// No deleted key of this name can be restored.
    NothingWaiting,
    /// This version of the key is disabled.
    VersionDisabled,
    /// The newest version cannot be disabled.
    VersionNewest,
    /// The key has as many versions as a key may have.
    TooManyVersions,
    /// The ciphertext was not made by this key in this context, or was changed.
    NotAuthentic,
    /// The key was imported without an HMAC key.
    NoHmac,
    /// The sealed record of this one key does not open, here and on a peer alike.
    KeyUnopenable,
    /// No policy has this name.
    PolicyNotFound,
    /// A policy has this name already.
    PolicyExists,
    /// The policy is not the one that was to be replaced.
    PolicyChanged,
    /// The policy is larger than a policy may be.
    PolicyTooLarge,
    /// No identity is known by this text.
    IdentityNotFound,
    /// The identity is known already.
    IdentityExists,
    /// The identity is an admin, which no policy binds.
    IdentityIsAdmin,
    /// Without this admin there would be none.
    LastAdmin,
    /// This admin is named by this node's configuration file, and only there.
    AdminOfFile,
    /// The rules at the moment of the write no longer permit it.
    Denied,
    /// No leader answered before the deadline, and nothing was written.
    NoLeader,
    /// The write was sent but no answer came before the deadline: it may or may not take effect.
    OutcomeUnknown,
    /// The write took effect, but before the deadline not every node was known to hold to it.
    NotEverywhere,
    /// The node is stopping, or must not serve now.
    Stopping,
}

impl Error {
    /// Whether it says that what was to be taken away does not exist.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::KeyNotFound | Self::NothingWaiting | Self::PolicyNotFound | Self::IdentityNotFound)
    }

    /// The same, told to somebody who asked for a key and named no version of it: one without versions does not exist.
    pub(super) fn of_whole_key(self) -> Self {
        if self == Self::VersionNotFound { Self::KeyNotFound } else { self }
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NoLeader => Self::NoLeader,
            WriteError::OutcomeUnknown => Self::OutcomeUnknown,
            WriteError::NotEverywhere => Self::NotEverywhere,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyNotFound => "key does not exist",
            Self::KeyExists => "key already exists",
            Self::VersionNotFound => "key version does not exist",
            Self::KeyWaiting { .. } => "a deleted key of this name can still be restored",
            Self::NothingWaiting => "no deleted key of this name can be restored",
            Self::VersionDisabled => "key version is disabled",
            Self::VersionNewest => "the newest version of a key cannot be disabled",
            Self::TooManyVersions => "the key has too many versions",
            Self::NotAuthentic => "ciphertext is not authentic",
            Self::NoHmac => "key does not support HMAC",
            Self::KeyUnopenable => "key cannot be opened",
            Self::PolicyNotFound => "policy does not exist",
            Self::IdentityNotFound => "identity does not exist",
            Self::PolicyExists => "policy already exists",
            Self::PolicyChanged => "the policy was changed meanwhile",
            Self::PolicyTooLarge => "the policy is too large",
            Self::IdentityExists => "identity already exists",
            Self::IdentityIsAdmin => "the identity is an admin",
            Self::LastAdmin => "it is the last admin",
            Self::AdminOfFile => "it is the admin of the configuration file",
            Self::Denied => "insufficient permissions",
            Self::NoLeader => "no leader answered in time, and nothing was written",
            Self::OutcomeUnknown => "no answer came in time; the write may or may not take effect",
            Self::NotEverywhere => "the change is made, but not every node is known to hold to it",
            Self::Stopping => "the node does not serve now",
        })
    }
}

impl std::error::Error for Error {}
