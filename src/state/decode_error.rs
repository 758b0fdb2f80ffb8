//! Why stored or received bytes cannot be read as a part of the replicated state.

use thiserror::Error;

/// Why bytes cannot be read as a command, or as the stored form of a cluster, a policy or an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// This field is missing, or has an impossible value.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The operation or the action is one that only a later version knows. The node must not skip such a command, because
    /// the others apply it.
    #[error("an operation that this version does not know")]
    UnknownOperation,
}
