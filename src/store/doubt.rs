//! The doubt of a node whose log lost entries that it may have acknowledged.

use super::log_types::LogId;

/// What a node knows no more. It neither votes nor leads until it has caught up with a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// The position up to which the log was flushed before it lost entries, if the node had noted one.
    pub flushed: Option<LogId>,
}

/// What a node does if its log lacks entries that it may have acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLoss {
    /// It does not start: no other node has what it lost.
    Refuse,
    /// It goes on in doubt.
    Doubt,
}
