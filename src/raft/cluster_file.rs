//! Keeps the file `cluster.id` in line with what this node has applied.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::adapter::metrics::Metrics;
use super::protocol::membership::encode_membership;
use crate::state::{ClusterState, RingVersion};
use crate::store::{ClusterFacts, ClusterFile, ClusterFileError, FoundKeystore, Keystore, Owner, Progress, View};

/// The shortest pause between two looks at whether something changed. The node applies far more often than that.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause after the file could not be written.
const RETRY: Duration = Duration::from_secs(5);

/// What the log says when the file cannot be written.
pub(super) const CANNOT_WRITE: &str =
    "this node cannot write cluster.id: it tries again, and its next start reads the keystore instead";

/// Writes the cluster's id, its wrapped key ring and its members to `cluster.id` whenever they change.
pub(super) struct ClusterFileKeeper {
    file: Mutex<ClusterFile>,
    owner: Owner,
    view: Arc<View>,
    metrics: Metrics,
}

impl ClusterFileKeeper {
    pub(super) fn new(file: ClusterFile, owner: Owner, view: Arc<View>, metrics: Metrics) -> Self {
        Self { file: Mutex::new(file), owner, view, metrics }
    }

    /// Writes the file after each change, apart from the task that applies entries. Returns when consensus ends.
    pub(super) async fn follow(self: Arc<Self>, mut progress: watch::Receiver<Progress>) {
        loop {
            if !self.is_current() {
                let keeper = Arc::clone(&self);
                match tokio::task::spawn_blocking(move || keeper.write_if_changed()).await {
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
        file.write(facts)
    }

    /// Whether the file durably holds this key ring.
    pub(super) fn has_ring(&self, ring: &[RingVersion]) -> bool {
        self.file.lock().facts().is_some_and(|facts| facts.ring == ring)
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
        Some(facts_of(&cluster, self.owner, membership.into()))
    }
}

/// Reads `cluster.id`, and returns what it and the keystore say about the cluster: nothing, one value, or two if they
/// differ. After a crash either may be the older one.
///
/// # Errors
/// The file system refused to read the file, a newer version wrote it, or it comes from another data folder.
pub(super) fn open(
    dir: &Path,
    owner: Owner,
    keystore: &FoundKeystore,
) -> Result<(ClusterFile, Vec<ClusterFacts>), ClusterFileError> {
    let mut file = ClusterFile::open(dir)?;
    if file.damaged_slots() > 0 {
        let usable = file.facts().is_some();
        tracing::warn!(usable, "cluster.id is damaged; if it is not usable, the node makes it again from its keystore");
    }
    let applied = match keystore {
        FoundKeystore::Whole(keystore) | FoundKeystore::Rebuilt { keystore, .. } => applied_facts(keystore, owner),
        FoundKeystore::NeedsPeer { .. } => None,
    };
    if let Some(facts) = file.facts().cloned() {
        let known = applied.as_ref().map(|applied| applied.cluster);
        if facts.owner != owner || known.is_some_and(|known| known != facts.cluster) {
            return Err(ClusterFileError::Foreign { file: (facts.owner, Some(facts.cluster)), folder: (owner, known) });
        }
        let applied = applied.filter(|applied| *applied != facts);
        return Ok((file, [facts].into_iter().chain(applied).collect()));
    }
    if let Some(facts) = &applied {
        match file.write(facts.clone()) {
            Ok(()) => tracing::info!("the node made cluster.id again from its keystore"),
            Err(error) => tracing::warn!(%error, "{CANNOT_WRITE}"),
        }
    }
    Ok((file, applied.into_iter().collect()))
}

/// What this keystore says about the cluster. `None` before the cluster's first command.
pub(super) fn applied_facts(keystore: &Keystore, owner: Owner) -> Option<ClusterFacts> {
    Some(facts_of(&*keystore.view().cluster()?, owner, keystore.membership().clone()))
}

/// What `cluster.id` says about this cluster.
fn facts_of(cluster: &ClusterState, owner: Owner, membership: Bytes) -> ClusterFacts {
    ClusterFacts {
        level: cluster.level,
        cluster: cluster.id,
        owner,
        active_ring_version: cluster.active_ring_version,
        ring: cluster.ring.clone(),
        membership,
    }
}
