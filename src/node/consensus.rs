//! The runtime of consensus, which can be ended and started again within the process.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::error::NodeError;
use crate::blocking;

/// How long consensus may take to close its files.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The runtime of consensus. It is apart from the one of requests, so that requests cannot delay its heartbeats. `None`
/// once it has ended.
///
/// Tokio panics when a task of one runtime drops another runtime. So every way out must go through this type, even an
/// error while the node is being built.
pub(super) struct Consensus(Mutex<Option<Runtime>>);

impl Consensus {
    /// Starts the runtime.
    pub fn start() -> Result<Self, NodeError> {
        Ok(Self(Mutex::new(Some(runtime()?))))
    }

    /// Runs this to its end on the runtime of consensus, also if the caller stops waiting.
    ///
    /// # Errors
    /// It panicked, or the runtime has ended.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, NodeError> {
        let spawned = self.0.lock().as_ref().map(|runtime| runtime.spawn(work));
        let spawned = spawned.ok_or_else(|| NodeError::Panicked("the runtime of consensus has ended".to_owned()))?;
        spawned.await.map_err(|panic| NodeError::Panicked(panic.to_string()))
    }

    /// Ends every task of consensus. Afterwards its files and its port are free.
    pub async fn end(&self) {
        let runtime = self.0.lock().take();
        if let Some(runtime) = runtime {
            // This fails only when the runtime of this node ends, and then its tasks have ended too.
            drop(blocking::spawn(move || runtime.shutdown_timeout(SHUTDOWN_TIMEOUT)).await);
        }
    }

    /// Ends every task of consensus, so that new ones can start.
    ///
    /// # Errors
    /// The system refused a new thread.
    pub async fn restart(&self) -> Result<(), NodeError> {
        self.end().await;
        let runtime = runtime()?;
        *self.0.lock() = Some(runtime);
        Ok(())
    }
}

impl Drop for Consensus {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.get_mut().take() {
            runtime.shutdown_background();
        }
    }
}

fn runtime() -> Result<Runtime, NodeError> {
    // One thread: its tasks hand each other work all the time, and waking another thread costs more than the work.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("consensus")
        .enable_all()
        .build()
        .map_err(NodeError::Io)
}
