//! The phase of a node's life, with everything that exists only in that phase.

use std::sync::Arc;

use tokio::sync::watch;

use crate::http::Api;
use crate::kms::{Kms, NodeState};
use crate::raft::Cluster;
use crate::store::ClusterFacts;

/// The phase of a node's life. Each holds what exists in it, and nothing else in the node holds that.
#[derive(Clone)]
pub(super) enum Phase {
    /// It opens its data folder, or waits until it may take part in consensus.
    Starting {
        /// Whether its keystore was damaged, and is rebuilt.
        rebuilding: bool,
    },
    /// It lacks the root key that opens its key ring, and takes no part in consensus.
    Sealed {
        /// Why, and what to do.
        reason: String,
        /// What it knows of its cluster.
        facts: Option<Box<ClusterFacts>>,
    },
    /// It takes part in consensus and catches up. Its key ring is open, or the cluster does not have one yet.
    Joining {
        cluster: Arc<Cluster>,
        /// Whether its keystore was damaged, and was rebuilt.
        rebuilding: bool,
    },
    /// It has caught up, with an open key ring.
    Serving { serving: Serving, listener: ListenerState },
    /// It finishes open requests and leaves consensus.
    Draining {
        cluster: Arc<Cluster>,
        /// `None` if the node was joining.
        serving: Option<Serving>,
    },
    /// It has ended.
    Ended,
}

/// What exists once a node has caught up with an open key ring.
#[derive(Clone)]
pub(super) struct Serving {
    pub cluster: Arc<Cluster>,
    pub kms: Arc<Kms>,
    pub api: Arc<Api>,
}

/// Whether the public listener of a node with an open key ring is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListenerState {
    /// The node makes the keys of its configuration file, or waits for its first lease.
    NotYet,
    Open,
    /// The node lost what it needs to serve.
    Closed(Closed),
}

/// Why a node that has caught up does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// It has been without a leader for too long.
    NoLeader,
    /// It has yet to apply a revocation.
    Behind,
    /// It cannot write audit records, and must.
    Unaudited,
    /// Its state differs from another node's, and too few nodes answer to say which one is right.
    Disputed,
}

impl Phase {
    /// The phase as the status shows it.
    pub fn state(&self) -> NodeState {
        match self {
            Self::Starting { rebuilding: true } | Self::Joining { rebuilding: true, .. } => NodeState::Rebuilding,
            Self::Starting { rebuilding: false } | Self::Joining { rebuilding: false, .. } => NodeState::Starting,
            Self::Sealed { .. } => NodeState::Sealed,
            Self::Serving { listener, .. } => match listener {
                ListenerState::NotYet => NodeState::Starting,
                ListenerState::Open => NodeState::Serving,
                ListenerState::Closed(Closed::NoLeader | Closed::Behind) => NodeState::Offline,
                ListenerState::Closed(Closed::Unaudited) => NodeState::Unaudited,
                ListenerState::Closed(Closed::Disputed) => NodeState::Disputed,
            },
            Self::Draining { .. } | Self::Ended => NodeState::Draining,
        }
    }

    /// Why the node does not serve, for the operator who must act.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Sealed { reason, .. } => Some(reason),
            _ => self.closed().map(Closed::reason),
        }
    }

    /// This node's part in consensus.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        match self {
            Self::Joining { cluster, .. } | Self::Draining { cluster, .. } => Some(cluster),
            Self::Serving { serving, .. } => Some(&serving.cluster),
            Self::Starting { .. } | Self::Sealed { .. } | Self::Ended => None,
        }
    }

    /// What exists once the node has caught up with an open key ring.
    pub fn serving(&self) -> Option<&Serving> {
        match self {
            Self::Serving { serving, .. } => Some(serving),
            Self::Draining { serving, .. } => serving.as_ref(),
            _ => None,
        }
    }

    /// The API, once the node has begun to serve.
    pub fn api(&self) -> Option<&Arc<Api>> {
        match self {
            Self::Serving { listener: ListenerState::NotYet, .. } => None,
            _ => self.serving().map(|serving| &serving.api),
        }
    }

    /// Why a node that has caught up does not serve.
    pub fn closed(&self) -> Option<Closed> {
        match self {
            Self::Serving { listener: ListenerState::Closed(closed), .. } => Some(*closed),
            _ => None,
        }
    }

    /// Whether clients can connect.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Serving { listener: ListenerState::Open, .. })
    }
}

impl Closed {
    fn reason(self) -> &'static str {
        match self {
            Self::NoLeader => "no leader has answered for longer than consistency.offline",
            Self::Behind => "the node has yet to apply a revocation that the leader reported",
            Self::Unaudited => "audit.required: no sink takes records; the log says why",
            Self::Disputed => {
                "the state of this node differs from another node's, and too few nodes answer to say which one is right: \
                 start the nodes that are down. If none is left to start, keep the data folders (cluster.data) of all nodes \
                 as they are. The log names the nodes that differ"
            }
        }
    }
}

/// The one place that changes the phase. Dropping it ends the node's last phase.
pub(super) struct PhaseSender(watch::Sender<Phase>);

impl PhaseSender {
    /// A node that starts, and what follows its phase.
    pub fn new() -> (Self, watch::Receiver<Phase>) {
        let (sender, receiver) = watch::channel(Phase::Starting { rebuilding: false });
        (Self(sender), receiver)
    }

    /// The phase now.
    pub fn now(&self) -> Phase {
        self.0.borrow().clone()
    }

    /// Enters a phase, and logs it if the state or the reason changes.
    pub fn enter(&self, phase: Phase) {
        let (state, reason) = (phase.state(), phase.reason().map(ToOwned::to_owned));
        let before = self.0.send_replace(phase);
        if before.state() == state && before.reason() == reason.as_deref() {
            return;
        }
        let (before, now) = (before.state().name(), state.name());
        match (state, reason) {
            // An operator must act.
            (NodeState::Sealed | NodeState::Unaudited | NodeState::Disputed, Some(reason)) => {
                tracing::error!(before, state = now, reason, "the node does not serve");
            }
            (_, Some(reason)) => tracing::warn!(before, state = now, reason, "the node does not serve"),
            (_, None) => tracing::info!(before, state = now, "the node's state changed"),
        }
    }

    /// Enters the phase of a node that ends, if it takes part in consensus.
    pub fn begin_draining(&self) {
        let phase = self.now();
        if let Some(cluster) = phase.cluster().cloned() {
            self.enter(Phase::Draining { cluster, serving: phase.serving().cloned() });
        }
    }
}

impl Drop for PhaseSender {
    fn drop(&mut self) {
        // Others may hold a receiver for longer. The files of the last phase must close.
        self.0.send_replace(Phase::Ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(reason: &str) -> Phase {
        Phase::Sealed { reason: reason.to_owned(), facts: None }
    }

    #[test]
    fn readers_see_each_phase_and_its_end() {
        let (sender, receiver) = PhaseSender::new();
        let shown = || (receiver.borrow().state(), receiver.borrow().reason().map(ToOwned::to_owned));
        assert_eq!(shown(), (NodeState::Starting, None));
        sender.enter(sealed("no root key"));
        assert_eq!(shown(), (NodeState::Sealed, Some("no root key".to_owned())));
        sender.enter(Phase::Starting { rebuilding: true });
        assert_eq!(shown(), (NodeState::Rebuilding, None));
        drop(sender);
        assert_eq!(shown(), (NodeState::Draining, None));
        assert!(matches!(*receiver.borrow(), Phase::Ended));
    }

    #[test]
    fn a_node_outside_consensus_holds_no_part_of_it() {
        for phase in [Phase::Starting { rebuilding: false }, sealed("x"), Phase::Ended] {
            assert!(phase.cluster().is_none() && phase.serving().is_none() && phase.api().is_none());
            assert!(!phase.is_open());
        }
    }
}
