//! What this node shows its peers of its seal, and the bootstrap key that the seal yields.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::crypto::BootstrapKey;

/// What peers see of this node's seal. All clones share it.
#[derive(Debug, Clone, Default)]
pub struct ShownSeal(Arc<Mutex<SealView>>);

#[derive(Debug, Default)]
struct SealView {
    /// Why the node is sealed, while it is.
    sealed: Option<String>,
    /// `None` before the node has had a root key, and once its cluster has begun.
    bootstrap: Option<BootstrapKey>,
}

impl ShownSeal {
    /// From now on, peers see that this node is not sealed. While its cluster has not begun, founders must hold this
    /// bootstrap key.
    pub fn set_open(&self, bootstrap: Option<BootstrapKey>) {
        *self.0.lock() = SealView { sealed: None, bootstrap };
    }

    /// From now on, peers see that this node is sealed, and why.
    pub fn set_sealed(&self, why: String) {
        self.0.lock().sealed = Some(why);
    }

    /// Why this node is sealed, while it is.
    pub(in crate::raft) fn sealed(&self) -> Option<String> {
        self.0.lock().sealed.clone()
    }

    /// The bootstrap key.
    pub(super) fn bootstrap(&self) -> Option<BootstrapKey> {
        self.0.lock().bootstrap.clone()
    }

    /// Forgets the bootstrap key, because the cluster has begun.
    pub(in crate::raft) fn forget_bootstrap(&self) {
        self.0.lock().bootstrap = None;
    }
}
