//! Why stored or received bytes cannot be read as a part of the replicated state.

use thiserror::Error;

/// Why bytes cannot be read as a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// This field is missing, or has an impossible value.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A later version of this program knows the operation or the action. The command must not be skipped.
    #[error("an operation that this version does not know")]
    UnknownOperation,
}
