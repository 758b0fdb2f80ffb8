//! Joining: a node opens its key ring, takes part in consensus, and catches up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::consensus::Consensus;
use super::error::NodeError;
use super::log_source;
use super::parts::Parts;
use super::phase::{Phase, PhaseSender};
use super::seal::{self, Pauses};
use crate::config::Config;
use crate::crypto::{BootstrapKey, Ring, RootKey, random};
use crate::kms::{
    OpenedRing, SealError, first_command, open_cluster, reopen_ring, wait_until_caught_up, wait_until_initialised,
};
use crate::raft::{
    Cluster, FirstStart, KeysError, KnownCluster, NotOpened, PeerListener, ShownSeal, StartError, StoredNode,
};
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
    /// Opens the keys of its cluster, takes part in consensus, and catches up. A node that has never belonged to a cluster
    /// takes part in the first start of one.
    pub(super) async fn join(&self, config: &Config) -> Result<(Arc<Cluster>, OpenedRing), JoinError> {
        let shown = ShownSeal::default();
        let mut listener = self.listen(config, shown.clone()).await?;
        let known = if listener.is_blank() {
            self.wait_for_root_key(&shown).await;
            let found = self.consensus.run(async move {
                let known = listener.found().await;
                (listener, known)
            });
            let (back, known) = self.reading_again(&shown, found).await?;
            listener = back;
            known?
        } else {
            self.unseal(&shown, &mut listener).await?
        };
        let (ring, state) = (known.ring().clone(), known.cluster().clone());
        let stored = self.consensus.run(listener.open_store(known)).await??;
        let rebuilding = self.rebuilds(&stored);
        let prepared = self.consensus.run(stored.prepare()).await??;
        let cluster = Arc::new(self.consensus.run(prepared.take_part(config.consistency)).await??);
        self.phases.enter(Phase::Joining { cluster: Arc::clone(&cluster), rebuilding });
        let opened = self.catch_up(&cluster, ring, &state).await?;
        Ok((cluster, opened))
    }

    /// Locks the data folder and opens the peer port. Until the node takes part, that port only answers other founders.
    async fn listen(&self, config: &Config, shown: ShownSeal) -> Result<PeerListener, NodeError> {
        let (cluster, tls) = (config.cluster.clone(), Arc::clone(&self.parts.peer_tls));
        let (failure, waits) = (self.parts.failure.clone(), self.parts.waits.clone());
        let (store_id, logs) = (StoreId(random::bytes()), log_source::source(self.parts));
        let (first, handshakes) = (self.first_start(), Handle::current());
        let opened = async move {
            PeerListener::open(&cluster, tls, handshakes, store_id, shown, first, failure, logs, waits).await
        };
        Ok(self.consensus.run(opened).await??)
    }

    /// What the first start of a cluster needs from this node. It reads the root key each time, so that the node does not
    /// keep it.
    fn first_start(&self) -> FirstStart {
        let (making, opening) = (Arc::downgrade(self.parts), Arc::downgrade(self.parts));
        let stopping = || "the node is stopping".to_owned();
        let root_key = |config: &Config| seal::root_key(&config.seal).map_err(|error| error.to_string());
        FirstStart {
            first_command: Box::new(move |level| {
                let config = making.upgrade().ok_or_else(stopping)?.config.load_full();
                Ok(first_command(level, &root_key(&config)?, &config.policies, config.admin))
            }),
            open: Box::new(move |cluster| {
                let config = opening.upgrade().ok_or_else(stopping)?.config.load_full();
                open_cluster(cluster, &root_key(&config)?).map_err(|error| error.to_string())
            }),
        }
    }

    /// Waits for the first start of the cluster. Meanwhile the node looks again and again whether it can read its root key,
    /// and at once on SIGHUP, because a new cluster begins once all nodes hold the same one.
    async fn reading_again<T>(
        &self,
        shown: &ShownSeal,
        waiting: impl Future<Output = Result<T, NodeError>>,
    ) -> Result<T, NodeError> {
        let mut waiting = pin!(waiting);
        let mut pauses = Pauses::new();
        loop {
            tokio::select! {
                done = &mut waiting => return done,
                () = pauses.wait(&self.parts.seal_asked) => match self.root_key().and_then(|root| self.bootstrap_key(&root)) {
                    Ok(key) => shown.set_open(Some(key)),
                    Err(error) => {
                        let reason = seal::reason(&self.parts.config.load().seal, &error);
                        tracing::warn!(reason, "this node cannot read its root key again");
                        shown.set_sealed(error.to_string());
                    }
                },
            }
        }
    }

    /// Waits until the node can read a root key. Until then it is sealed.
    async fn wait_for_root_key(&self, shown: &ShownSeal) {
        let mut pauses = Pauses::new();
        loop {
            match self.root_key().and_then(|root| self.bootstrap_key(&root)) {
                Ok(key) => return self.unsealed(shown, Some(key)),
                Err(error) => {
                    shown.set_sealed(error.to_string());
                    self.seal(&error, None);
                }
            }
            pauses.wait(&self.parts.seal_asked).await;
        }
    }

    /// Waits until there is a root key that opens the keys of this node's cluster. Until then the node is sealed. It tries
    /// again after each pause, and at once on SIGHUP.
    async fn unseal(&self, shown: &ShownSeal, listener: &mut PeerListener) -> Result<KnownCluster, StartError> {
        let mut pauses = Pauses::new();
        loop {
            match self.try_to_unseal(listener).await {
                Ok((known, key)) => {
                    self.unsealed(shown, key);
                    return Ok(known);
                }
                Err(KeysError::Start(error)) => return Err(error),
                Err(KeysError::Sealed(error)) => {
                    shown.set_sealed(error.to_string());
                    self.seal(&error, listener.facts());
                }
            }
            pauses.wait(&self.parts.seal_asked).await;
        }
    }

    /// Opens the keys of the cluster with the root key as the seal has it now. Until the cluster has begun, the node needs
    /// the bootstrap key, too.
    async fn try_to_unseal(
        &self,
        listener: &mut PeerListener,
    ) -> Result<(KnownCluster, Option<BootstrapKey>), KeysError<SealError>> {
        let root = self.root_key().map_err(KeysError::Sealed)?;
        let known = listener.open_keys(|cluster| opens(cluster, &root)).await?;
        let key = (!known.has_begun()).then(|| self.bootstrap_key(&root)).transpose().map_err(KeysError::Sealed)?;
        Ok((known, key))
    }

    fn bootstrap_key(&self, root: &RootKey) -> Result<BootstrapKey, SealError> {
        seal::bootstrap_key(self.parts.config.load().cluster.bootstrap_key.as_deref(), root)
    }

    fn unsealed(&self, shown: &ShownSeal, key: Option<BootstrapKey>) {
        shown.set_open(key);
        self.phases.enter(Phase::Starting { rebuilding: false });
        self.parts.waits.set_step(None);
    }

    /// Whether the node rebuilds its keystore. If so, it says why.
    fn rebuilds(&self, stored: &StoredNode) -> bool {
        if let Some(damage) = stored.damage() {
            tracing::error!(%damage, "the keystore is damaged; the node rebuilds it from a snapshot and the log");
            self.phases.enter(Phase::Starting { rebuilding: true });
        }
        stored.damage().is_some()
    }

    fn root_key(&self) -> Result<RootKey, SealError> {
        seal::root_key(&self.parts.config.load().seal)
    }

    /// Enters the phase of a sealed node. A part in consensus that the last phase held is dropped with it.
    fn seal(&self, error: &SealError, facts: Option<ClusterFacts>) {
        let reason = seal::reason(&self.parts.config.load().seal, error);
        self.phases.enter(Phase::Sealed { reason, facts: facts.map(Box::new) });
        let what = match error {
            SealError::NoBootstrapKey(_) => "the bootstrap key of the new cluster",
            _ => "the root key of the cluster",
        };
        self.parts.waits.set_step(Some(format!("{what}: {error}")));
    }

    /// Waits for the cluster's first command and for everything that the cluster has committed. Then it opens the key ring
    /// again if that has changed since the node opened the one in `known`.
    async fn catch_up(&self, cluster: &Cluster, ring: Ring, known: &ClusterState) -> Result<OpenedRing, JoinError> {
        let waits = &self.parts.waits;
        waits.set_step(Some("the cluster's first command, which the leader writes".to_owned()));
        let mut state = wait_until_initialised(cluster).await;
        waits.set_step(Some("entries that the cluster has committed and this node has yet to apply".to_owned()));
        wait_until_caught_up(cluster).await;
        state = cluster.view().cluster().unwrap_or(state);
        if (&state.ring, state.active_ring_version) == (&known.ring, known.active_ring_version) {
            return Ok(OpenedRing { cluster_id: state.id, ring });
        }
        // A version that was added meanwhile opens under one that is open. So this seldom needs the root key, which the
        // node may not be able to read any more.
        let ring = reopen_ring(&state, &ring, None)
            .or_else(|_| self.root_key().and_then(|root| reopen_ring(&state, &ring, Some(&root))))
            .map_err(JoinError::Sealed)?;
        Ok(OpenedRing { cluster_id: state.id, ring })
    }

    /// Closes what a start has opened, after the file system refused the node its data folder. The node then joins again.
    pub(super) async fn give_back(&self, error: &NodeError) -> Result<(), NodeError> {
        tracing::error!(
            %error,
            "this node cannot use its data folder now: it has changed nothing there, and tries again by itself"
        );
        self.parts.waits.set_step(Some(format!("its data folder, which it cannot use now: {error}")));
        self.phases.enter(Phase::Starting { rebuilding: false });
        self.consensus.restart().await
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

/// Opens the keys of a cluster. If the ring opens and what it seals does not, the facts are damaged.
fn opens(cluster: &ClusterState, root: &RootKey) -> Result<crate::crypto::ClusterKeys, NotOpened<SealError>> {
    open_cluster(cluster, root).map_err(|error| match error {
        SealError::Secret(_) => NotOpened::Damaged(error),
        _ => NotOpened::Refused(error),
    })
}
