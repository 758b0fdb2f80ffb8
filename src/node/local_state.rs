//! The state of a node, and why it does not serve.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::kms::{Kms, NodeState, StateCell};

/// What the local socket shows of the node's state.
#[derive(Default)]
pub(super) struct LocalState {
    pub state: Arc<StateCell>,
    /// Why the node does not serve, for the operator who must act.
    pub reason: ArcSwapOption<String>,
    pub kms: ArcSwapOption<Kms>,
}

impl LocalState {
    /// Sets the state and, if the node does not serve, the reason. Logs each change once.
    pub(super) fn set(&self, state: NodeState, reason: Option<String>) {
        let before = self.state.now();
        self.state.set(state);
        let known = self.reason.swap(reason.clone().map(Arc::new));
        if before == state && known.as_deref() == reason.as_ref() {
            return;
        }
        let (before, now) = (before.name(), state.name());
        match (state, &reason) {
            // An operator must act.
            (NodeState::Sealed | NodeState::Unaudited, Some(reason)) => {
                tracing::error!(before, state = now, reason, "the node does not serve");
            }
            (_, Some(reason)) => tracing::warn!(before, state = now, reason, "the node does not serve"),
            (_, None) => tracing::info!(before, state = now, "the node's state changed"),
        }
    }
}
