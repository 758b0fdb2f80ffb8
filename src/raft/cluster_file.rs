//! Keeps the file `cluster.id` in line with what this node has applied.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::adapter::metrics::Metrics;
use super::protocol::membership::encode_membership;
use crate::blocking;
use crate::crypto::IntegrityKeys;
use crate::failpoint::{self, Failpoint};
use crate::state::{ClusterState, RingVersion};
use crate::store::{ClusterFacts, ClusterFile, LogStore, Owner, Progress, View};

/// The shortest pause between two looks at whether something changed. The node applies far more often than that.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause after the file could not be written.
const RETRY: Duration = Duration::from_secs(5);

/// What the log says when the file cannot be written.
pub(super) const CANNOT_WRITE: &str =
    "this node cannot write cluster.id: it tries again, and its next start reads the keystore instead";

/// Writes the cluster's facts and its members to `cluster.id` whenever they change.
pub(super) struct ClusterFileKeeper {
    pub file: Arc<Mutex<ClusterFile>>,
    pub integrity: IntegrityKeys,
    pub owner: Owner,
    pub admission: Bytes,
    pub log: LogStore,
    pub view: Arc<View>,
    pub metrics: Metrics,
}

impl ClusterFileKeeper {
    /// Writes the file after each change, apart from the task that applies entries. Returns when consensus ends.
    pub(super) async fn follow(self: Arc<Self>, mut progress: watch::Receiver<Progress>) {
        loop {
            if !self.is_current() {
                let keeper = Arc::clone(&self);
                match blocking::spawn(move || keeper.write_if_changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "{CANNOT_WRITE}");
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                    // The runtime is ending.
                    Err(_) => return,
                }
            }
            tokio::time::sleep(PAUSE).await;
            if progress.changed().await.is_err() {
                return;
            }
        }
    }

    /// Writes the file if it lacks something that this node has applied. The caller may block.
    ///
    /// # Errors
    /// The file system refused.
    pub(super) fn write_if_changed(&self) -> io::Result<()> {
        let Some(facts) = self.facts() else { return Ok(()) };
        let mut file = self.file.lock();
        if file.facts() == Some(&facts) {
            return Ok(());
        }
        let ends_founding = file.facts().is_some_and(|noted| noted.founding.is_some());
        if ends_founding {
            failpoint::reached(Failpoint::FirstCommandApplied);
            // The founding document goes now. What replaces it is in the log, which openraft applies before it is durable.
            self.log.wait_until_durable()?;
        }
        file.write(facts, &self.integrity)?;
        if ends_founding {
            failpoint::reached(Failpoint::DocumentDropped);
        }
        Ok(())
    }

    /// Whether the file durably holds this key ring.
    pub(super) fn has_ring(&self, ring: &[RingVersion]) -> bool {
        self.file.lock().facts().is_some_and(|facts| facts.cluster.ring == ring)
    }

    fn is_current(&self) -> bool {
        let facts = self.facts();
        facts.is_none() || self.file.lock().facts() == facts.as_ref()
    }

    /// `None` before the cluster's first command.
    fn facts(&self) -> Option<ClusterFacts> {
        let cluster = self.view.cluster()?;
        let membership = Arc::clone(&self.metrics.now().membership_config);
        let membership = encode_membership(membership.log_id().as_ref(), membership.membership());
        Some(ClusterFacts {
            owner: self.owner,
            // Replicated time moves on, and no start needs it.
            cluster: ClusterState { time_ns: 0, ..ClusterState::clone(&cluster) },
            membership: membership.into(),
            admission: self.admission.clone(),
            founding: None,
        })
    }
}
