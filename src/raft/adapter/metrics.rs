//! openraft on this node: its handle, and its metrics as they are and as they change.

use std::ops::Deref;

use openraft::RaftMetrics;
use openraft::async_runtime::WatchReceiver;
use openraft::type_config::alias::WatchReceiverOf;

use super::state_machine::StateMachine;
use crate::raft::protocol::types::TypeConfig;

/// Consensus on this node.
pub(in crate::raft) type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// The metrics of openraft, which stay up to date.
#[derive(Clone)]
pub(in crate::raft) struct Metrics(WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>);

impl Metrics {
    pub(in crate::raft) fn of(raft: &Raft) -> Self {
        Self(raft.metrics())
    }

    /// The metrics as they are now. The caller must not hold them for long: openraft waits to update them.
    pub(in crate::raft) fn now(&self) -> impl Deref<Target = RaftMetrics<TypeConfig>> + '_ {
        self.0.borrow_watched()
    }

    /// Waits for the next change. Returns false once consensus has ended.
    pub(in crate::raft) async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }

    /// Waits until the condition holds. Returns false if consensus ends first.
    pub(in crate::raft) async fn wait_for(&mut self, holds: impl Fn(&RaftMetrics<TypeConfig>) -> bool) -> bool {
        loop {
            if holds(&self.now()) {
                return true;
            }
            if !self.changed().await {
                return false;
            }
        }
    }
}
