//! Joining: a node opens its key ring, takes part in consensus, and catches up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::consensus::Consensus;
use super::error::NodeError;
use super::log_source;
use super::parts::Parts;
use super::phase::{Phase, PhaseSender};
use super::seal::{self, Pauses};
use crate::config::Config;
use crate::crypto::{RootKey, random};
use crate::kms::{Bootstrap, OpenedRing, SealError, open_ring, wait_until_caught_up};
use crate::raft::{Cluster, PeerListener, PreparedNode, ShownSeal};
use crate::state::ClusterState;
use crate::store::{ClusterFacts, StoreId};

/// The pause before a node joins again although it could not write `cluster.id`.
const UNWRITTEN_PAUSE: Duration = Duration::from_secs(5);

/// Why a node could not join.
pub(super) enum JoinError {
    /// It cannot run.
    Node(NodeError),
    /// It takes part, but its root key does not open the key ring that the cluster has now.
    Sealed(SealError),
}

impl<E: Into<NodeError>> From<E> for JoinError {
    fn from(error: E) -> Self {
        Self::Node(error.into())
    }
}

/// A node that joins its cluster.
pub(super) struct Joining<'a> {
    pub parts: &'a Arc<Parts>,
    pub consensus: &'a Consensus,
    pub phases: &'a PhaseSender,
}

impl Joining<'_> {
    /// Opens the key ring, takes part in consensus, and catches up. A node that knows the wraps of its ring takes part
    /// only with an open ring. A node that does not know them, because it is new, only needs a root key.
    pub(super) async fn join(&self, config: &Config) -> Result<(Arc<Cluster>, OpenedRing), JoinError> {
        let shown = ShownSeal::default();
        let listener = self.listen(config, shown.clone()).await?;
        let rebuilding = listener.damage().is_some();
        if let Some(damage) = listener.damage() {
            tracing::error!(%damage, "the keystore is damaged; the node rebuilds it from a snapshot and the log");
            self.phases.enter(Phase::Starting { rebuilding });
        }
        let knew_ring = !listener.facts().is_empty();
        let mut root = self.unseal(&shown, listener.facts(), rebuilding).await;
        let prepared = self.prepare(listener, &shown, &mut root).await?;
        let knows_ring = !prepared.facts().is_empty();
        if !knew_ring && knows_ring {
            // The keystore came from a peer.
            root = self.unseal(&shown, prepared.facts(), rebuilding).await;
        }
        let cluster = Arc::new(self.consensus.run(prepared.take_part(config.consistency)).await??);
        self.phases.enter(Phase::Joining { cluster: Arc::clone(&cluster), rebuilding });
        let opened = self.catch_up(&cluster, root, knows_ring).await?;
        Ok((cluster, opened))
    }

    /// Opens the data folder and the peer port. Until the node takes part, that port only answers greetings.
    async fn listen(&self, config: &Config, shown: ShownSeal) -> Result<PeerListener, NodeError> {
        let (cluster, tls) = (config.cluster.clone(), Arc::clone(&self.parts.peer_tls));
        let (failure, waits) = (self.parts.failure.clone(), self.parts.waits.clone());
        let (store_id, logs) = (StoreId(random::bytes()), log_source::source(self.parts));
        let opened = async move { PeerListener::open(&cluster, tls, store_id, shown, failure, logs, waits).await };
        Ok(self.consensus.run(opened).await??)
    }

    /// Waits until the node may take part. Meanwhile, a node that does not know the key ring reads its root key again and
    /// again, and at once on SIGHUP: a new cluster begins once all nodes hold the same one.
    async fn prepare(
        &self,
        listener: PeerListener,
        shown: &ShownSeal,
        root: &mut RootKey,
    ) -> Result<PreparedNode, NodeError> {
        let knows_ring = !listener.facts().is_empty();
        let mut preparing = pin!(self.consensus.run(listener.prepare()));
        let mut pauses = Pauses::new();
        loop {
            tokio::select! {
                prepared = &mut preparing => return Ok(prepared??),
                () = pauses.wait(&self.parts.seal_asked), if !knows_ring => self.read_again(shown, root),
            }
        }
    }

    /// Takes another root key, if there is one now. A root key that cannot be read does not replace one that could.
    fn read_again(&self, shown: &ShownSeal, root: &mut RootKey) {
        match self.root_key() {
            Ok(read) if read.fingerprint() == root.fingerprint() => {}
            Ok(other) => {
                tracing::info!("this node took another root key, because the seal has changed");
                shown.set_root_key(other.fingerprint());
                *root = other;
            }
            Err(error) => {
                let reason = seal::reason(&self.parts.config.load().seal, &error);
                tracing::warn!(reason, "this node cannot read its root key again, and keeps the one that it has");
            }
        }
    }

    /// Waits until there is a root key that opens the ring of these facts, or any root key if the node does not know the
    /// ring. Until then the node is sealed. It tries again after each pause, and at once on SIGHUP.
    async fn unseal(&self, shown: &ShownSeal, facts: &[ClusterFacts], rebuilding: bool) -> RootKey {
        let mut pauses = Pauses::new();
        loop {
            match self.root_key().and_then(|root| opens(facts, root)) {
                Ok(root) => {
                    shown.set_root_key(root.fingerprint());
                    self.phases.enter(Phase::Starting { rebuilding });
                    self.parts.waits.set_step(None);
                    return root;
                }
                Err(error) => {
                    shown.set_sealed(error.to_string());
                    self.seal(&error, facts.first().cloned());
                }
            }
            pauses.wait(&self.parts.seal_asked).await;
        }
    }

    fn root_key(&self) -> Result<RootKey, SealError> {
        seal::root_key(&self.parts.config.load().seal)
    }

    /// Enters the phase of a sealed node. A part in consensus that the last phase held is dropped with it.
    fn seal(&self, error: &SealError, facts: Option<ClusterFacts>) {
        let reason = seal::reason(&self.parts.config.load().seal, error);
        self.phases.enter(Phase::Sealed { reason, facts });
        self.parts.waits.set_step(Some(format!("the root key of the cluster: {error}")));
    }

    /// Waits for the cluster's first command and for everything that the cluster has committed. Then it opens the key ring,
    /// which may have changed since the node opened the one that it knew. A node that did not know any also opens the
    /// first one that it learns, because it may have another root key than the cluster.
    async fn catch_up(&self, cluster: &Cluster, root: RootKey, knew_ring: bool) -> Result<OpenedRing, JoinError> {
        let open = |state: &ClusterState| {
            open_ring(state.id, &state.ring, state.active_ring_version, &root).map_err(JoinError::Sealed)
        };
        let (config, waits) = (self.parts.config.load_full(), &self.parts.waits);
        waits.set_step(Some("the cluster's first command, which the leader writes".to_owned()));
        let bootstrap = Bootstrap { cluster, root: &root, policies: &config.policies, file_admin: config.admin };
        let mut state = bootstrap.wait_until_initialised().await?;
        if !knew_ring {
            open(&state)?;
        }
        waits.set_step(Some("entries that the cluster has committed and this node has yet to apply".to_owned()));
        wait_until_caught_up(cluster).await;
        state = cluster.view().cluster().unwrap_or(state);
        let ring = open(&state)?;
        Ok(OpenedRing { cluster_id: state.id, ring })
    }

    /// Leaves consensus, because the root key does not open the key ring that the cluster has now. The node then joins
    /// again, which first waits for the right root key.
    pub(super) async fn leave(&self, error: &SealError) -> Result<(), NodeError> {
        tracing::error!(%error, "this node leaves consensus: it cannot open the key ring that the cluster has now");
        let phase = self.phases.now();
        self.seal(error, None);
        if let Some(cluster) = phase.cluster()
            && let Err(error) = cluster.leave().await
        {
            // The ring in that file may open although the newer one does not. Without a pause the node would join and
            // leave all the time.
            tracing::warn!(%error, "this node cannot write cluster.id, and joins again after a pause");
            tokio::time::sleep(UNWRITTEN_PAUSE).await;
        }
        drop(phase);
        self.consensus.restart().await
    }
}

/// Returns the root key if it opens the ring of one of these facts. Without facts, it may be any root key: the node learns
/// the ring once it has caught up.
fn opens(facts: &[ClusterFacts], root: RootKey) -> Result<RootKey, SealError> {
    let mut refused = None;
    for ClusterFacts { cluster, ring, active_ring_version, .. } in facts {
        match open_ring(*cluster, ring, *active_ring_version, &root) {
            Ok(_) => return Ok(root),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(root), Err)
}
