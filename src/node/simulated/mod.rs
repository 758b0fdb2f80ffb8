//! A node of a simulation (cargo feature `simulation`): all of a node but its API, its local socket, its audit trail and
//! the files that it watches.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::consensus::Consensus;
use super::error::NodeError;
use super::joining::{JoinError, Joining};
use super::parts::Parts;
use super::phase::{ListenerState, Phase, PhaseSender};
use super::serving;
use crate::config::Config;
use crate::kms::Kms;
use crate::raft::Cluster;
use crate::telemetry::ErrorLog;

/// What a node of a simulation serves with, once it has caught up.
#[derive(Clone)]
pub struct SimulatedNode {
    /// Its operations.
    pub kms: Arc<Kms>,
    /// Its part in the cluster.
    pub cluster: Arc<Cluster>,
}

/// Runs a node until it ends by itself. `serves` gets it once it has caught up.
///
/// # Errors
/// Why it ended.
pub async fn run_simulated(config: Config, serves: impl FnOnce(SimulatedNode)) -> Result<(), NodeError> {
    let (phases, phase) = PhaseSender::new();
    let parts = Arc::new(Parts::build(config, Arc::new(ErrorLog::default()), phase)?);
    // No request leaves a record, and the thread would run in real time.
    drop(parts.audit_writer.lock().take());
    let (consensus, config) = (Consensus::start()?, parts.config.load_full());
    let joining = Joining { parts: &parts, consensus: &consensus, phases: &phases };
    let mut tasks = JoinSet::new();
    let serving = async {
        let (cluster, opened) = match Box::pin(joining.join(&config)).await {
            Ok(joined) => joined,
            Err(JoinError::Node(error)) => return Err(error),
            Err(JoinError::Sealed(error)) => return joining.leave(&error).await,
        };
        let serving = serving::begin(&parts, Arc::clone(&cluster), opened, &mut tasks);
        serves(SimulatedNode { kms: Arc::clone(&serving.kms), cluster });
        phases.enter(Phase::Serving { serving, listener: ListenerState::Open });
        std::future::pending().await
    };
    tokio::select! {
        biased;
        reason = parts.failure.reported() => Err(NodeError::Failed(reason)),
        ended = serving => ended,
    }
}
