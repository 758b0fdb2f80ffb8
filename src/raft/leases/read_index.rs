//! What a leader answers to a ReadIndex.

use std::time::Duration;

use crate::state::Digest;
use crate::store::Progress;

/// The digest of the leader's state at an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::raft) struct LeaderDigest {
    pub index: u64,
    pub digest: Digest,
}

/// What the leader answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) struct ReadIndex {
    /// What must be applied before the read.
    pub index: u64,
    /// The index of the last revocation at or before it; 0 when there was none.
    pub last_revocation: u64,
    /// The newest digest that the leader keeps.
    pub leader_digest: Option<LeaderDigest>,
    /// When the question was sent, on `CLOCK_BOOTTIME`, in nanoseconds.
    pub asked_at_ns: i64,
    /// The lease that runs from then on, once the last revocation is applied.
    pub lease: Duration,
}

impl ReadIndex {
    /// What a leader that is this far answers about an index.
    pub(in crate::raft) fn at(index: u64, progress: &Progress, asked_at_ns: i64, lease: Duration) -> Self {
        let newest = progress.marks.last();
        let leader_digest = newest.map(|(index, digest)| LeaderDigest { index: *index, digest: *digest });
        Self { index, last_revocation: progress.last_revocation, leader_digest, asked_at_ns, lease }
    }
}
