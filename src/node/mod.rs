//! The composition root: it builds every part of a node, runs it, and stops it.

mod check;
mod error;
mod exposed_files;
mod lifecycle;
mod local_state;
mod local_status;
mod log_source;
mod open_files;
mod parts;
mod protect;
mod run;
mod seal;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use check::{Checked, check};
pub use error::NodeError;
pub use exposed_files::{ExposedFile, Exposure, exposed_files};
pub use run::{RunError, run};

use crate::config::Config;
use crate::http::Api;
use crate::telemetry::ErrorLog;
use lifecycle::Lifecycle;
use parts::Parts;

/// How long consensus may take to close its files.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A running node.
pub struct Node {
    address: SocketAddr,
    parts: Arc<Parts>,
    /// Consensus has a runtime of its own, so that requests cannot delay its heartbeats.
    consensus: Consensus,
    stop: CancellationToken,
    serving: watch::Receiver<bool>,
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
        let consensus = Consensus::start()?;
        let address = config.address;
        let parts = Arc::new(Parts::build(config, errors)?);
        let stop = CancellationToken::new();
        let (serves, serving) = watch::channel(false);
        let lifecycle = Lifecycle::new(Arc::clone(&parts), consensus.handle(), stop.clone(), serves);
        let ended = tokio::spawn(lifecycle.run());
        Ok(Self { address, parts, consensus, stop, serving, ended })
    }

    /// Returns the address of the API.
    pub fn api_address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the API, once the node has begun to serve.
    pub fn api(&self) -> Option<Arc<Api>> {
        self.parts.api.load_full()
    }

    /// Waits until the node serves, or has ended.
    pub async fn serving(&self) {
        // This fails when the node has ended, because that drops the sender.
        drop(self.serving.clone().wait_for(|serves| *serves).await);
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
        self.shut_down_consensus().await;
        ended
    }

    /// Ends the node as a crash would: it finishes nothing and hands over nothing. Afterwards its files can be opened
    /// again.
    pub async fn kill(mut self) {
        self.ended.abort();
        self.parts.kill().await;
        self.shut_down_consensus().await;
    }

    async fn shut_down_consensus(&mut self) {
        if let Some(consensus) = self.consensus.0.take() {
            // This fails only when the runtime of this node ends, and then its tasks have ended too.
            drop(tokio::task::spawn_blocking(move || consensus.shutdown_timeout(SHUTDOWN_TIMEOUT)).await);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.ended.abort();
    }
}

/// The runtime of consensus. `None` once it has ended.
///
/// Tokio panics when a task of one runtime drops another runtime. So every way out must go through this type, even an
/// error while the node is being built.
struct Consensus(Option<Runtime>);

impl Consensus {
    fn start() -> Result<Self, NodeError> {
        // One thread: its tasks hand each other work all the time, and waking another thread costs more than the work.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("consensus")
            .enable_all()
            .build()
            .map_err(NodeError::Io)?;
        Ok(Self(Some(runtime)))
    }

    fn handle(&self) -> Handle {
        self.0.as_ref().expect("the runtime ends with the node").handle().clone()
    }
}

impl Drop for Consensus {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
