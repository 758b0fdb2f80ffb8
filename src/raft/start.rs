//! The start of a node up to the point where it may take part: its data folder, its peer port, and its store.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::cluster_file;
use super::failure::Failure;
use super::integrity::rebuild;
use super::joining::document::FirstCommandRefused;
use super::joining::founding::{FoundingTask, id_of};
use super::joining::local::{FirstStart, LocalFounder};
use super::joining::proving;
use super::known_cluster::KnownCluster;
use super::log_follow::{LogSource, OwnLogs};
use super::peer_port::admission::Admission;
use super::peer_port::listener;
use super::peer_port::service::{PeerService, Running};
use super::peers::links::Links;
use super::preface::credential::Credential;
use super::preface::shown_seal::ShownSeal;
use super::protocol::membership::decode_stored;
use super::protocol::types::NodeId;
use super::watch::waits::Waits;
use crate::blocking;
use crate::config::ClusterConfig;
use crate::disk::DiskRoom;
use crate::failpoint::{self, Failpoint};
use crate::socket;
use crate::state::ClusterState;
use crate::store::{
    ClusterFacts, ClusterFileError, Damage, DataFolder, FolderLock, FoundKeystore, FoundingStage, Keystore, LogStore,
    OnLoss, OpenError, Owner, Snapshots, Store, StoreId, StoreKeys, may_pass,
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
    /// The cluster would refuse the first command that this node made.
    #[error(transparent)]
    FirstCommand(#[from] FirstCommandRefused),
    /// The founding document that this node noted cannot be read.
    #[error("cluster.data: {}: cluster.id: {why}", folder.display())]
    Document {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        why: String,
    },
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

impl StartError {
    /// Whether a restart alone does not help: somebody must act first.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Store { error, .. } => error.is_lasting(),
            Self::FirstCommand(_) | Self::Document { .. } => true,
            Self::Listen { .. } | Self::Io(_) | Self::Consensus(_) => false,
        }
    }

    /// Whether the file system refused the node its data folder, and a later start may succeed. Nothing there has changed.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Store {
                error: OpenError::Io(error) | OpenError::ClusterFile(ClusterFileError::Io(error)), ..
            }
            | Self::Io(error) => may_pass(error),
            _ => false,
        }
    }
}

/// A node that listens on its peer port. It neither votes nor appends.
pub struct PeerListener {
    pub(super) config: ClusterConfig,
    pub(super) links: Arc<Links>,
    pub(super) local: Arc<LocalFounder>,
    pub(super) running: Arc<OnceLock<Running>>,
    pub(super) failure: Failure,
    pub(super) waits: Waits,
    pub(super) stop: oneshot::Sender<()>,
    pub(super) lock: FolderLock,
    pub(super) room: Arc<DiskRoom>,
    pub(super) owner: Owner,
    /// What the keystore or a snapshot says about the cluster. Read when `cluster.id` does not say it.
    pub(super) stored: Option<ClusterFacts>,
    /// Whether `stored` was looked for.
    pub(super) looked: bool,
}

/// A node that has opened its store. Its keystore may be damaged.
pub struct StoredNode {
    listener: PeerListener,
    cluster: KnownCluster,
    store: Store,
}

/// A node that may take part in consensus, with a whole keystore.
pub struct PreparedNode {
    pub(super) listener: PeerListener,
    pub(super) cluster: KnownCluster,
    pub(super) log: LogStore,
    pub(super) snapshots: Snapshots,
    pub(super) keystore: Keystore,
}

impl PeerListener {
    /// Locks the data folder, reads `cluster.id`, and opens the peer port, whose handshakes run on `handshakes`. Peers see
    /// `seal`, and may follow the events of `logs`. What the node waits for goes to `waits`.
    ///
    /// # Errors
    /// The data folder cannot be used, or the node cannot listen.
    #[expect(clippy::too_many_arguments, reason = "each is another part of the node")]
    pub async fn open(
        config: &ClusterConfig,
        tls: Arc<PeerTls>,
        handshakes: Handle,
        new_store_id: StoreId,
        seal: ShownSeal,
        first_start: FirstStart,
        failure: Failure,
        logs: LogSource,
        waits: Waits,
    ) -> Result<Self, StartError> {
        let new_owner = Owner { store_id: new_store_id, node_id: id_of(&config.peers, &config.name) };
        let storage = config.storage;
        let opened = on_disk(config, move |dir| {
            let folder = DataFolder::open(dir, new_owner)?;
            Ok((folder, DiskRoom::open(dir, storage)?))
        });
        let (DataFolder { lock, file, owner, stored }, room) = opened.await?;
        let room = Arc::new(room);
        let addresses = config.peers.iter().map(|peer| (peer.name.clone(), peer.peer_address.clone()));
        let links = Arc::new(Links::new(owner, &config.name, Arc::clone(&tls), addresses.collect(), seal.clone()));
        if let Some(facts) = file.facts().or(stored.as_ref()) {
            proving::show_cluster(&links, facts);
        }
        let (own_key, peers, file) = (tls.identity(), config.peers.clone(), Arc::new(Mutex::new(file)));
        let local = Arc::new(LocalFounder::new(owner, own_key, peers, seal, first_start, file));
        let running = Arc::new(OnceLock::new());
        let service = PeerService {
            links: Arc::clone(&links),
            local: Arc::clone(&local),
            running: Arc::clone(&running),
            failure: failure.clone(),
            logs: OwnLogs::new(logs),
            refusals: Arc::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let address = config.listen;
        let bound = socket::peer::listen(address).map_err(|error| StartError::Listen { address, error })?;
        let peers: Vec<_> = config.peers.iter().map(|peer| peer.peer_address.clone()).collect();
        let admission = Admission::new(config.connections, config.handshakes, &peers);
        tokio::spawn(Admission::keep_resolving(Arc::downgrade(&admission), peers));
        tokio::spawn(listener::serve(bound, admission, Arc::clone(&tls), handshakes, service, async {
            drop(stopped.await);
        }));
        let (config, looked) = (config.clone(), stored.is_some());
        Ok(Self { config, links, local, running, failure, waits, stop, lock, room, owner, stored, looked })
    }

    /// Whether this node has never belonged to a cluster.
    pub fn is_blank(&self) -> bool {
        self.facts().is_none()
    }

    /// The id of this node's store.
    pub fn store_id(&self) -> StoreId {
        self.owner.store_id
    }

    /// What this node knows of its cluster. Nobody has checked it before the keys in it are open.
    pub fn facts(&self) -> Option<ClusterFacts> {
        self.local.file.lock().facts().or(self.stored.as_ref()).cloned()
    }

    /// Takes part in the first start of a cluster, and returns once this node has noted the founding document. The node
    /// must have a root key.
    ///
    /// # Errors
    /// The cluster would refuse the first command that this node made.
    pub async fn found(&self) -> Result<KnownCluster, StartError> {
        self.links.own_preface().set_credential(Credential::Founder);
        self.local.set_blank();
        let founder = self.founding().note_document().await?;
        let facts = founder.document.facts(self.owner, FoundingStage::Noted);
        self.links.set_members(founder.document.members.clone());
        Ok(KnownCluster { facts, keys: founder.keys.clone(), founder: Some(founder) })
    }

    /// Opens the store, and waits until the cluster has begun.
    ///
    /// # Errors
    /// The store cannot be opened, or the disk failed.
    pub async fn open_store(self, mut cluster: KnownCluster) -> Result<StoredNode, StartError> {
        let keys = StoreKeys {
            cluster: cluster.facts.cluster.id,
            incarnation: cluster.facts.cluster.incarnation,
            integrity: cluster.keys.integrity.clone(),
        };
        let stage = cluster.facts.founding.as_ref().map(|founding| founding.stage);
        let (owner, is_new) = (self.owner, stage == Some(FoundingStage::Noted));
        let on_loss = on_loss(&cluster.facts, owner.node_id);
        let opened = on_disk(&self.config, move |dir| {
            if is_new { Store::create(dir, owner, &keys) } else { Store::open(dir, owner, &keys, on_loss) }
        });
        let store = opened.await?;
        self.write_if_lost(&cluster, &store);
        let record = store.log.record().clone();
        proving::begin_start(&self.links, &cluster.facts, &cluster.keys, record, &self.failure).await?;
        if let Some(founder) = &mut cluster.founder {
            if is_new {
                failpoint::reached(Failpoint::StoreMade);
                self.local.note_stage(founder, FoundingStage::Stored).await?;
                failpoint::reached(Failpoint::StoreNoted);
            }
            if stage < Some(FoundingStage::Begun) {
                *founder = self.founding().begin(Arc::clone(founder)).await?;
            }
        }
        Ok(StoredNode { listener: self, cluster, store })
    }

    /// Makes a lost `cluster.id` again from the keystore, whose tag holds. Without such a keystore, this waits until the node
    /// takes part: what it has read of its cluster may be forged, and must not get a tag.
    fn write_if_lost(&self, known: &KnownCluster, store: &Store) {
        let mut file = self.local.file.lock();
        let (FoundKeystore::Whole(keystore) | FoundKeystore::Rebuilt { keystore, .. }, None) =
            (&store.keystore, file.facts())
        else {
            return;
        };
        let Some(cluster) = keystore.view().cluster() else { return };
        let facts = ClusterFacts {
            cluster: ClusterState { time_ns: 0, ..ClusterState::clone(&cluster) },
            membership: keystore.membership().clone(),
            ..known.facts.clone()
        };
        match file.write(facts, &known.keys.integrity) {
            Ok(()) => tracing::info!("the node made cluster.id again from its keystore"),
            Err(error) => tracing::warn!(%error, "{}", cluster_file::CANNOT_WRITE),
        }
    }

    fn founding(&self) -> FoundingTask<'_> {
        FoundingTask { links: &self.links, local: &self.local, waits: &self.waits }
    }
}

impl StoredNode {
    /// Why the keystore was or must be rebuilt. `None` when it is whole.
    pub fn damage(&self) -> Option<&Damage> {
        match &self.store.keystore {
            FoundKeystore::Whole(_) => None,
            FoundKeystore::Rebuilt { damage, .. } | FoundKeystore::NeedsPeer { damage } => Some(damage),
        }
    }

    /// Gets the keystore from a peer if this node cannot rebuild it alone.
    ///
    /// # Errors
    /// The disk failed.
    pub async fn prepare(self) -> Result<PreparedNode, StartError> {
        let Self { listener, cluster, store: Store { log, snapshots, keystore, .. } } = self;
        let keystore = match keystore {
            FoundKeystore::Whole(keystore) | FoundKeystore::Rebuilt { keystore, .. } => keystore,
            FoundKeystore::NeedsPeer { damage } => {
                tracing::warn!(%damage, "this node cannot rebuild its keystore alone: asking the peers for a snapshot");
                let purged = log.state()?.purged.map_or(0, |id| id.index);
                let PeerListener { links, config, owner, waits, .. } = &listener;
                let from = rebuild::Rebuild { links, log: &log, dir: &config.data, owner: *owner, waits };
                from.ask_peers(&snapshots, purged).await
            }
        };
        Ok(PreparedNode { listener, cluster, log, snapshots, keystore })
    }
}

/// Only another voter can give a node back what its log lost.
fn on_loss(facts: &ClusterFacts, own: NodeId) -> OnLoss {
    let members = decode_stored(&facts.membership).unwrap_or_default();
    let has_others = members.voter_ids().any(|id| id != own);
    if has_others { OnLoss::Doubt } else { OnLoss::Refuse }
}

/// Runs something on the data folder that may block.
pub(super) async fn on_disk<T: Send + 'static>(
    config: &ClusterConfig,
    work: impl FnOnce(&std::path::Path) -> Result<T, OpenError> + Send + 'static,
) -> Result<T, StartError> {
    let dir = config.data.clone();
    let done = blocking::spawn(move || work(&dir).map_err(|error| StartError::Store { folder: dir, error }));
    done.await.map_err(io::Error::other)?
}
