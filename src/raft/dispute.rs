//! Whether this node's state is disputed: it differs from another node's, and too few nodes answer to say which is right.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whether the state of this node is disputed. The digest check decides that. All clones share it.
///
/// A disputed node answers no client and sends no snapshot. It goes on voting and replicating, because the log is the
/// same on all nodes.
#[derive(Debug, Clone, Default)]
pub(in crate::raft) struct Dispute(Arc<Disputes>);

#[derive(Debug, Default)]
struct Disputes {
    is_open: AtomicBool,
    opened: AtomicU64,
}

impl Dispute {
    pub(in crate::raft) fn is_open(&self) -> bool {
        self.0.is_open.load(Ordering::Acquire)
    }

    /// Opens or closes the dispute. Returns whether that changes it.
    pub(in crate::raft) fn set(&self, open: bool) -> bool {
        let changed = self.0.is_open.swap(open, Ordering::AcqRel) != open;
        if changed && open {
            self.0.opened.fetch_add(1, Ordering::Relaxed);
        }
        changed
    }

    /// How many disputes have been opened since this node started.
    pub(in crate::raft) fn count(&self) -> u64 {
        self.0.opened.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dispute_is_counted_once_however_often_it_is_confirmed() {
        let dispute = Dispute::default();
        let changed: Vec<bool> = [false, true, true, false, true].map(|open| dispute.clone().set(open)).into();
        assert_eq!(changed, [false, true, false, true, true]);
        assert_eq!((dispute.count(), dispute.is_open()), (2, true));
    }
}
