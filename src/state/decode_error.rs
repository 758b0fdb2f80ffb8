//! Why stored or received bytes cannot be read as a part of the replicated state.

use thiserror::Error;

/// The field because of which bytes cannot be read as a command, or as the stored form of a cluster, a policy or an
/// assignment: it is missing, or has an impossible value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed {0}")]
pub struct DecodeError(pub &'static str);
