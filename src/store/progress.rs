//! How far a keystore is, for those who wait for it or watch it.

use std::sync::Arc;

use super::LogId;
use crate::state::Digest;

/// How far a keystore is, for those who wait for it or watch it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last entry applied and written.
    pub applied: Option<LogId>,
    /// The digest there.
    pub digest: Digest,
    /// The index of the last revocation (a deletion, a changed policy or identity); 0 when there was none.
    pub last_revocation: u64,
    /// The newest digests at multiples of 1,024: index and digest.
    pub marks: Arc<[(u64, Digest)]>,
}

impl Progress {
    /// The index of the last entry applied; 0 before the first.
    pub fn index(&self) -> u64 {
        self.applied.map_or(0, |applied| applied.index)
    }

    /// Whether everything up to `index` is applied.
    pub fn reached(&self, index: u64) -> bool {
        self.applied.is_some_and(|applied| applied.index >= index)
    }
}
