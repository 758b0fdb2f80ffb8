//! Whether this node's state is disputed: it differs from another node's, and too few nodes answer to say which is right.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the state of this node is disputed. The digest check decides that. All clones share it.
///
/// A disputed node answers no client and sends no snapshot. It goes on voting and replicating, because the log is the
/// same on all nodes.
#[derive(Debug, Clone, Default)]
pub(in crate::raft) struct Dispute(Arc<AtomicBool>);

impl Dispute {
    pub(in crate::raft) fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Opens or closes the dispute. Returns whether that changes it.
    pub(in crate::raft) fn set(&self, open: bool) -> bool {
        self.0.swap(open, Ordering::AcqRel) != open
    }
}
