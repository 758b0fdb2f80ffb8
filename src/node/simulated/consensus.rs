//! Consensus in a simulation: it runs on the one runtime that the node has.

use crate::node::error::NodeError;

/// Stands for the runtime of consensus. It ends with the node.
pub(super) struct Consensus;

impl Consensus {
    /// Returns it.
    #[expect(clippy::unnecessary_wraps, reason = "a real runtime may not start")]
    pub fn start() -> Result<Self, NodeError> {
        Ok(Self)
    }

    /// Runs this to its end, also if the caller stops waiting.
    ///
    /// # Errors
    /// It panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, NodeError> {
        tokio::spawn(work).await.map_err(|panic| NodeError::Panicked(panic.to_string()))
    }

    /// The simulation ends the node with all its tasks.
    #[expect(clippy::unused_async, reason = "a real runtime takes its time")]
    pub async fn end(&self) {}

    /// Ends the node: in a simulation, its tasks end with it only.
    ///
    /// # Errors
    /// Always.
    #[expect(clippy::unused_async, reason = "a real runtime takes its time")]
    pub async fn restart(&self) -> Result<(), NodeError> {
        Err(NodeError::Panicked("the simulation must start this node anew".to_owned()))
    }
}
