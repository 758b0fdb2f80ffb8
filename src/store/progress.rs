//! How far this node has applied the log, for those who wait for it or watch it.

use super::LogId;
use crate::state::Digest;

/// How far this node has applied the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last entry applied.
    pub applied: Option<LogId>,
    /// The digest of the state after it.
    pub digest: Digest,
    /// The index of the last revocation: a deletion, a disabled version, or a changed policy or identity. At first 0.
    pub last_revocation: u64,
    /// How many commands this node could not read, or found invalid, since it started.
    pub malformed: u64,
}

impl Progress {
    /// The index of the last entry applied, or 0 before the first.
    pub fn index(&self) -> u64 {
        self.applied.map_or(0, |applied| applied.index)
    }

    /// Whether this node has applied everything up to `index`.
    pub fn reached(&self, index: u64) -> bool {
        self.applied.is_some_and(|applied| applied.index >= index)
    }
}
