//! What this node shows its peers of its seal.

use std::sync::Arc;

use parking_lot::Mutex;

/// Why this node is sealed, while it is. All clones share it.
#[derive(Debug, Clone, Default)]
pub struct ShownSeal(Arc<Mutex<Option<String>>>);

impl ShownSeal {
    /// From now on, peers see that this node is not sealed.
    pub fn set_open(&self) {
        *self.0.lock() = None;
    }

    /// From now on, peers see that this node is sealed, and why.
    pub fn set_sealed(&self, why: String) {
        *self.0.lock() = Some(why);
    }

    /// Why this node is sealed, while it is.
    pub(in crate::raft) fn sealed(&self) -> Option<String> {
        self.0.lock().clone()
    }
}
