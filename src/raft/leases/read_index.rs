//! What a leader answers to a ReadIndex.

use std::time::Duration;

use crate::store::Progress;

/// The leader's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) struct ReadIndex {
    /// The index that the node must have applied before it reads.
    pub index: u64,
    /// The index of the last revocation up to there; 0 before the first.
    pub last_revocation: u64,
    /// When the node sent the question: nanoseconds of its `CLOCK_BOOTTIME`.
    pub asked_at_ns: i64,
    /// The lease that runs from then on. It counts once the node has applied the last revocation.
    pub lease: Duration,
}

impl ReadIndex {
    /// The answer about an index of a leader that has got this far.
    pub(in crate::raft) fn at(index: u64, progress: &Progress, asked_at_ns: i64, lease: Duration) -> Self {
        Self { index, last_revocation: progress.last_revocation, asked_at_ns, lease }
    }
}
