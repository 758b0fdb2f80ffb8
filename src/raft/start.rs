//! Starts the peer listener, and consensus once the node may take part.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use openraft::SnapshotPolicy;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::adapter::log_storage::LogStorage;
use super::adapter::metrics::{Metrics, Raft};
use super::adapter::network::Network;
use super::adapter::pending::Pending;
use super::adapter::state_machine::StateMachine;
use super::cluster::Cluster;
use super::cluster_file::{self, ClusterFileKeeper};
use super::dispute::Dispute;
use super::failure::Failure;
use super::forwarding::leader::Leadership;
use super::forwarding::writes::WriteQueue;
use super::integrity::digest_check::DigestCheck;
use super::integrity::rebuild;
use super::joining::boot::{self, Beginning, BootError};
use super::joining::greeting::{Greeter, ShownSeal, peer_list_hash};
use super::leases::digest_exchange::DigestExchange;
use super::leases::fence::Fence;
use super::leases::grants::LeaseGrants;
use super::leases::held::HeldLease;
use super::leases::reads::Reads;
use super::log_follow::{LogSource, OwnLogs};
use super::peer_port::admission::Admission;
use super::peer_port::listener;
use super::peer_port::service::{PeerService, Running};
use super::peers::links::Links;
use super::protocol::membership::decode_stored;
use super::tasks;
use super::watch::probe;
use super::watch::waits::Waits;
use crate::config::{ClusterConfig, ConsistencyConfig};
use crate::socket;
use crate::store::{
    ClusterFacts, ClusterFile, ClusterFileError, Damage, FoundKeystore, Keystore, LogStore, OpenError, Owner,
    Snapshots, Store, StoreId,
};
use crate::tls::PeerTls;

/// Why a node cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("cluster.data: {}: {error}", folder.display())]
    Store {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        error: OpenError,
    },
    /// The file `cluster.id` in the data folder cannot be used.
    #[error("cluster.data: {}: {error}", folder.display())]
    ClusterFile {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        error: ClusterFileError,
    },
    /// A blank node must not take part.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The node cannot listen for its peers.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// openraft did not start.
    #[error("consensus cannot start: {0}")]
    Consensus(String),
}

/// A node that listens on its peer port and answers greetings. It refuses all other calls: it neither votes nor appends.
pub struct PeerListener {
    config: ClusterConfig,
    tls: Arc<PeerTls>,
    links: Arc<Links>,
    greeter: Arc<Greeter>,
    running: Arc<OnceLock<Running>>,
    failure: Failure,
    waits: Waits,
    stop: oneshot::Sender<()>,
    log: LogStore,
    snapshots: Snapshots,
    owner: Owner,
    /// `None` once the node is prepared.
    keystore: Option<FoundKeystore>,
    cluster_file: ClusterFile,
    /// What `cluster.id` and the keystore say about the cluster. Empty before the cluster's first command.
    facts: Vec<ClusterFacts>,
}

/// A node that may take part in consensus, with a whole keystore.
pub struct PreparedNode {
    listener: PeerListener,
    keystore: Keystore,
    beginning: Option<Beginning>,
}

impl PeerListener {
    /// Opens the store and begins to answer greetings. Peers see `seal`, and may follow the events
    /// of `logs`. What the node waits for goes to `waits`.
    ///
    /// # Errors
    /// The store cannot be opened, or the node cannot listen.
    pub async fn open(
        config: &ClusterConfig,
        tls: Arc<PeerTls>,
        new_store_id: StoreId,
        seal: ShownSeal,
        failure: Failure,
        logs: LogSource,
        waits: Waits,
    ) -> Result<Self, StartError> {
        let node_id = boot::id_of(&config.peers, &config.name);
        let dir = config.data.clone();
        let open = move || open_folder(&dir, Owner { store_id: new_store_id, node_id });
        let (store, cluster_file, facts) = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??;
        let blank = is_blank(&store.log)?;
        let addresses = config.peers.iter().map(|peer| (peer.name.clone(), peer.peer_address.clone()));
        let links = Arc::new(Links::new(store.owner, &config.name, Arc::clone(&tls), addresses.collect()));
        if let Some(facts) = facts.first() {
            links.own_preface().note_cluster(facts.cluster);
        }
        let greeter = Arc::new(Greeter {
            name: config.name.clone(),
            store_id: store.owner.store_id,
            blank,
            peer_list: peer_list_hash(&config.peers),
            seal,
        });
        let running = Arc::new(OnceLock::new());
        let service = PeerService {
            links: Arc::clone(&links),
            greeter: Arc::clone(&greeter),
            running: Arc::clone(&running),
            snapshots: store.snapshots.clone(),
            failure: failure.clone(),
            logs: OwnLogs::new(logs),
            refusals: Arc::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let address = config.listen;
        let bound = socket::listen(address).map_err(|error| StartError::Listen { address, error })?;
        let peers: Vec<_> = config.peers.iter().map(|peer| peer.peer_address.clone()).collect();
        let admission = Admission::new(config.connections, config.handshakes, &peers);
        tokio::spawn(Admission::keep_resolving(Arc::downgrade(&admission), peers));
        tokio::spawn(listener::serve(bound, admission, Arc::clone(&tls), service, async {
            drop(stopped.await);
        }));
        let Store { log, snapshots, owner, keystore } = store;
        Ok(Self {
            config: config.clone(),
            tls,
            links,
            greeter,
            running,
            failure,
            waits,
            stop,
            log,
            snapshots,
            owner,
            keystore: Some(keystore),
            cluster_file,
            facts,
        })
    }

    /// Whether this store has never belonged to a cluster.
    pub fn is_blank(&self) -> bool {
        self.greeter.blank
    }

    /// The id of this node's store.
    pub fn store_id(&self) -> StoreId {
        self.owner.store_id
    }

    /// What this node knows of its cluster: nothing if it has not applied the cluster's first command, and two values if
    /// `cluster.id` and the keystore differ. Either may be the older one.
    pub fn facts(&self) -> &[ClusterFacts] {
        &self.facts
    }

    /// Why the keystore was or must be rebuilt. `None` when it is whole.
    pub fn damage(&self) -> Option<&Damage> {
        match &self.keystore {
            None | Some(FoundKeystore::Whole(_)) => None,
            Some(FoundKeystore::Rebuilt { damage, .. } | FoundKeystore::NeedsPeer { damage }) => Some(damage),
        }
    }

    /// Waits until this node may take part, and gets its keystore from a peer if it cannot rebuild it alone.
    ///
    /// # Errors
    /// The node must not take part, or the disk failed.
    pub async fn prepare(mut self) -> Result<PreparedNode, StartError> {
        let beginning = self.find_beginning().await?;
        let keystore = self.whole_keystore().await?;
        if self.facts.is_empty() {
            self.facts.extend(cluster_file::applied_facts(&keystore, self.owner));
        }
        Ok(PreparedNode { listener: self, keystore, beginning })
    }

    /// How a blank node takes part. `None` when it has taken part before.
    async fn find_beginning(&self) -> Result<Option<Beginning>, StartError> {
        let state = self.log.state()?;
        if state.last.is_some() {
            return Ok(None);
        }
        let (own_key, has_voted) = (self.tls.identity(), state.vote.is_some());
        Ok(Some(boot::begin(&self.links, &self.greeter, &self.config.peers, own_key, has_voted, &self.waits).await?))
    }

    /// Starts openraft on the log and this keystore, with the members that this node knows.
    async fn consensus(
        &self,
        keystore: Keystore,
        pending: Pending,
        beginning: Option<Beginning>,
        dispute: Dispute,
    ) -> Result<Raft, StartError> {
        if let Some(Beginning::Join(members) | Beginning::Initialise(members)) = &beginning {
            self.links.set_members(members.clone());
        } else if let Some(stored) = decode_stored(keystore.membership()) {
            self.links.set_members(stored.nodes().map(|(id, member)| (*id, member.clone())).collect());
        }
        // openraft may purge the log up to the last applied entry. By then that entry must be durable in the keystore.
        let durable = keystore.checkpoint();
        tokio::task::spawn_blocking(move || durable.run()).await.map_err(io::Error::other)??;
        let state_machine = StateMachine::new(keystore, self.snapshots.clone(), pending);
        let (network, storage) = (Network::new(Arc::clone(&self.links), dispute), LogStorage::new(self.log.clone()));
        let raft = Raft::new(self.owner.node_id, raft_config(&self.config)?, network, storage, state_machine);
        let raft = raft.await.map_err(|error| StartError::Consensus(error.to_string()))?;
        // This makes the membership durable before a peer sees it. The peers join because of this membership.
        if let Some(Beginning::Initialise(members)) = beginning {
            raft.initialize(members).await.map_err(|error| StartError::Consensus(error.to_string()))?;
        }
        Ok(raft)
    }

    /// The keystore, rebuilt from a peer's snapshot if this node cannot rebuild it alone.
    async fn whole_keystore(&mut self) -> Result<Keystore, StartError> {
        match self.keystore.take() {
            Some(FoundKeystore::Whole(keystore) | FoundKeystore::Rebuilt { keystore, .. }) => Ok(keystore),
            Some(FoundKeystore::NeedsPeer { damage }) => {
                tracing::warn!(%damage, "this node cannot rebuild its keystore alone: asking the peers for a snapshot");
                let purged = self.log.state()?.purged.map_or(0, |id| id.index);
                let from = rebuild::Rebuild {
                    links: &self.links,
                    config: &self.config,
                    owner: self.owner,
                    waits: &self.waits,
                };
                Ok(from.ask_peers(&self.snapshots, purged).await)
            }
            None => Err(StartError::Consensus("a node is prepared once".to_owned())),
        }
    }
}

impl PreparedNode {
    /// What this node knows of its cluster now, as [`PeerListener::facts`].
    pub fn facts(&self) -> &[ClusterFacts] {
        self.listener.facts()
    }

    /// Takes part in consensus. A node that knows the key ring must have opened it before.
    ///
    /// # Errors
    /// The disk failed, or openraft did not start.
    pub async fn take_part(self, consistency: ConsistencyConfig) -> Result<Cluster, StartError> {
        let Self { listener, keystore, beginning } = self;
        let (links, config, failure) = (Arc::clone(&listener.links), &listener.config, listener.failure.clone());
        let (view, progress, checkpoint) = (Arc::clone(keystore.view()), keystore.progress(), keystore.checkpoint());
        links.belongs_to(Arc::clone(&view));
        let (digests, unconfirmed) = DigestExchange::new(&keystore);
        let (pending, dispute) = (Pending::default(), digests.dispute.clone());
        let raft = listener.consensus(keystore, pending.clone(), beginning, dispute.clone()).await?;
        let leadership = Arc::new(Leadership::new(raft.clone(), Arc::clone(&links)));
        let grants = Arc::new(LeaseGrants::new(Arc::clone(&leadership), progress.clone(), consistency.lease));
        let answering = Running {
            raft: raft.clone(),
            grants: Arc::clone(&grants),
            digests: Arc::clone(&digests),
            progress: progress.clone(),
            view: Arc::clone(&view),
        };
        // From now on the peer service answers all calls. A listener takes part once, so the cell is empty.
        drop(listener.running.set(answering));
        let cluster_file = Arc::new(ClusterFileKeeper::new(
            listener.cluster_file,
            listener.owner,
            Arc::clone(&view),
            Metrics::of(&raft),
        ));
        let reads = Reads::start(Arc::clone(&leadership), Arc::clone(&grants), Arc::clone(&digests));
        let lease = HeldLease::new(consistency, reads.clone(), progress.clone());
        let mut spawned = JoinSet::new();
        let check = DigestCheck {
            digests,
            leadership: Arc::clone(&leadership),
            checkpoint: checkpoint.clone(),
            failure: failure.clone(),
        };
        spawned.spawn(check.run(unconfirmed));
        spawned.spawn(tasks::follow_membership(Metrics::of(&raft), links, Arc::clone(&leadership)));
        spawned.spawn(tasks::watch_consensus(Metrics::of(&raft), failure.clone()));
        let (log, snapshots) = (listener.log.clone(), listener.snapshots.clone());
        spawned.spawn(tasks::snapshot_when_large(raft.clone(), log, snapshots, config.snapshot));
        let every = config.snapshot.checkpoint_every;
        spawned.spawn(tasks::checkpoint_regularly(checkpoint.clone(), every, failure.clone()));
        spawned.spawn(Arc::clone(&cluster_file).follow(progress.clone()));
        spawned.spawn(Arc::clone(&lease).keep(Arc::clone(&leadership)));
        spawned.spawn(probe::ask_peers(Arc::clone(&leadership)));
        spawned.spawn(probe::look(Arc::clone(&leadership), Arc::clone(&lease), listener.waits.clone()));
        Ok(Cluster {
            raft,
            writes: WriteQueue::start(Arc::clone(&leadership), Arc::clone(&view), pending),
            view,
            progress,
            fence: Fence::new(Arc::clone(&leadership), grants),
            leadership,
            reads,
            lease,
            dispute,
            log: listener.log,
            snapshots: listener.snapshots,
            checkpoint,
            cluster_file,
            failure,
            waits: listener.waits,
            tasks: parking_lot::Mutex::new(spawned),
            stop_listener: parking_lot::Mutex::new(Some(listener.stop)),
        })
    }
}

/// Opens the store, and reads `cluster.id` beside it. The caller may block.
fn open_folder(dir: &Path, new_owner: Owner) -> Result<(Store, ClusterFile, Vec<ClusterFacts>), StartError> {
    let folder = || dir.to_owned();
    let store = Store::open(dir, || new_owner).map_err(|error| StartError::Store { folder: folder(), error })?;
    let (file, facts) = cluster_file::open(dir, store.owner, &store.keystore)
        .map_err(|error| StartError::ClusterFile { folder: folder(), error })?;
    Ok((store, file, facts))
}

fn is_blank(log: &LogStore) -> io::Result<bool> {
    let state = log.state()?;
    Ok(state.vote.is_none() && state.last.is_none() && state.purged.is_none())
}

fn raft_config(config: &ClusterConfig) -> Result<Arc<openraft::Config>, StartError> {
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let raft = openraft::Config {
        cluster_name: "keyraft".to_owned(),
        heartbeat_interval: millis(config.timing.heartbeat),
        election_timeout_min: millis(config.timing.election_min),
        election_timeout_max: millis(config.timing.election_max),
        enable_pre_vote: Some(true),
        // A restarted leader must be elected again: entries that followers committed may not have reached its own disk.
        enable_leader_restore: Some(false),
        // `tasks` decides by bytes when to build one. A count of entries cut throughput by a factor of 2.5.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: config.snapshot.keep_entries,
        replication_lag_threshold: u64::MAX,
        install_snapshot_timeout: millis(config.snapshot.transfer_timeout),
        ..openraft::Config::default()
    };
    raft.validate().map(Arc::new).map_err(|error| StartError::Consensus(error.to_string()))
}
