//! The composition root: it builds every part of a node, runs it, and stops it.

mod check;
#[cfg_attr(feature = "simulation", path = "simulated/consensus.rs")]
mod consensus;
mod error;
mod exposed_files;
mod generation;
mod joining;
mod lifecycle;
mod local_status;
mod log_source;
mod open_files;
mod parts;
mod peer_tls;
mod phase;
mod protect;
mod run;
mod seal;
mod serving;
#[cfg(feature = "simulation")]
mod simulated;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use check::{Checked, check};
pub use error::NodeError;
pub use exposed_files::{ExposedFile, Exposure, exposed_files};
pub use run::{RunError, run};
#[cfg(feature = "simulation")]
pub use simulated::{SimulatedNode, run_simulated};

use crate::config::Config;
use crate::http::Api;
use crate::kms::Kms;
use crate::raft::Cluster;
use crate::telemetry::ErrorLog;
use consensus::Consensus;
use lifecycle::Lifecycle;
use parts::Parts;
use phase::{Phase, PhaseSender};

/// A running node.
pub struct Node {
    address: SocketAddr,
    parts: Arc<Parts>,
    consensus: Arc<Consensus>,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), NodeError>>,
}

impl Node {
    /// Starts a node in this process. It serves as soon as it can, and [`Node::serving`] waits for that.
    ///
    /// # Errors
    /// The node cannot run as configured.
    #[expect(clippy::unused_async, reason = "the caller must be in a runtime, on which the node's tasks then run")]
    pub async fn start(config: Config) -> Result<Self, NodeError> {
        Self::start_with(config, Arc::new(ErrorLog::default()))
    }

    /// Starts a node whose process has a log already.
    ///
    /// # Errors
    /// As for [`Node::start`].
    pub fn start_with(config: Config, errors: Arc<ErrorLog>) -> Result<Self, NodeError> {
        let consensus = Arc::new(Consensus::start()?);
        let address = config.address;
        let (phases, phase) = PhaseSender::new();
        let parts = Arc::new(Parts::build(config, errors, phase)?);
        let stop = CancellationToken::new();
        let lifecycle = Lifecycle::new(Arc::clone(&parts), Arc::clone(&consensus), stop.clone(), phases);
        let ended = tokio::spawn(lifecycle.run());
        Ok(Self { address, parts, consensus, stop, ended })
    }

    /// Returns the address of the API.
    pub fn api_address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the API, once the node has begun to serve.
    pub fn api(&self) -> Option<Arc<Api>> {
        self.parts.phase.borrow().api().cloned()
    }

    /// Returns the operations on keys and on the key ring, once the node has an open ring.
    pub fn kms(&self) -> Option<Arc<Kms>> {
        self.parts.phase.borrow().serving().map(|serving| Arc::clone(&serving.kms))
    }

    /// Returns this node's part in the cluster, once it takes part in consensus.
    pub fn cluster(&self) -> Option<Arc<Cluster>> {
        self.parts.phase.borrow().cluster().cloned()
    }

    /// Waits until the node serves, or has ended.
    pub async fn serving(&self) {
        // This fails when the node has ended, because that drops the sender.
        drop(self.parts.phase.clone().wait_for(Phase::is_open).await);
    }

    /// Takes over the settings of a configuration that can change while the node runs. Returns those that need a
    /// restart.
    pub fn reconfigure(&self, config: Config) -> Vec<&'static str> {
        self.parts.reconfigure(config)
    }

    /// Makes a sealed node try its seal at once. An unsealed node does nothing.
    pub fn try_seal(&self) {
        self.parts.seal_asked.notify_one();
    }

    /// Waits until the node ends by itself.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn ended(&mut self) -> Result<(), NodeError> {
        match (&mut self.ended).await {
            Ok(ended) => ended,
            Err(panic) => Err(NodeError::Panicked(panic.to_string())),
        }
    }

    /// Closes the listeners, finishes the requests in flight, hands over leadership, and ends.
    ///
    /// # Errors
    /// What went wrong on the way. The node has ended even so.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        self.stop.cancel();
        let ended = self.ended().await;
        self.consensus.end().await;
        ended
    }

    /// Ends the node as a crash would: it finishes nothing and hands over nothing. Afterwards its files can be opened
    /// again.
    pub async fn kill(mut self) {
        let cluster = self.parts.phase.borrow().cluster().cloned();
        if !self.ended.is_finished() {
            self.ended.abort();
            // It ends with the error that it was aborted.
            drop((&mut self.ended).await);
        }
        if let Some(cluster) = cluster {
            cluster.kill().await;
        }
        self.consensus.end().await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.ended.abort();
    }
}
