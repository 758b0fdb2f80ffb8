//! The start of a node up to the point where it may take part: its peer port, the keys of its cluster, its store.

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
use super::joining::document::{DocumentError, FirstCommandRefused, FoundingDocument};
use super::joining::founding::{FoundingTask, id_of};
use super::joining::local::{FirstStart, Founder, LocalFounder};
use super::joining::proving;
use super::joining::wraps;
use super::known_cluster::KnownCluster;
use super::log_follow::{LogSource, OwnLogs};
use super::peer_port::admission::Admission;
use super::peer_port::listener;
use super::peer_port::service::{PeerService, Running};
use super::peers::links::Links;
use super::preface::admission::{AdmittedNode, Role};
use super::preface::credential::Credential;
use super::preface::shown_seal::ShownSeal;
use super::watch::waits::Waits;
use crate::config::ClusterConfig;
use crate::crypto::ClusterKeys;
use crate::failpoint::{self, Failpoint};
use crate::socket;
use crate::state::ClusterState;
use crate::store::{
    ClusterFacts, Damage, DataFolder, FolderLock, FoundKeystore, FoundingStage, Keystore, LogStore, OpenError, Owner,
    Snapshots, Store, StoreId, StoreKeys,
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

/// Why the keys of a cluster do not open.
#[derive(Debug)]
pub enum NotOpened<E> {
    /// The root key is not the right one, or the wraps are damaged.
    Refused(E),
    /// The root key opens the ring, but something that the ring seals is damaged.
    Damaged(E),
}

/// Why a node cannot go on with the keys of its cluster.
#[derive(Debug)]
pub enum KeysError<E> {
    /// It must wait for its root key.
    Sealed(E),
    /// It cannot start.
    Start(StartError),
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
    pub(super) owner: Owner,
    /// What the keystore or a snapshot says about the cluster. Read when `cluster.id` does not say it.
    stored: Option<ClusterFacts>,
    /// Whether `stored` was looked for.
    looked: bool,
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
        let folder = on_disk(config, move |dir| DataFolder::open(dir, new_owner)).await?;
        let DataFolder { lock, file, owner, stored } = folder;
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
            wraps: Arc::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let address = config.listen;
        let bound = socket::listen(address).map_err(|error| StartError::Listen { address, error })?;
        let peers: Vec<_> = config.peers.iter().map(|peer| peer.peer_address.clone()).collect();
        let admission = Admission::new(config.connections, config.handshakes, &peers);
        tokio::spawn(Admission::keep_resolving(Arc::downgrade(&admission), peers));
        tokio::spawn(listener::serve(bound, admission, Arc::clone(&tls), handshakes, service, async {
            drop(stopped.await);
        }));
        let (config, looked) = (config.clone(), stored.is_some());
        Ok(Self { config, links, local, running, failure, waits, stop, lock, owner, stored, looked })
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

    /// Opens the keys of this node's cluster with `open`: those that `cluster.id` holds, or those in the keystore if
    /// `cluster.id` is damaged or has an older ring.
    ///
    /// # Errors
    /// The keys do not open, or the node cannot start.
    pub async fn open_keys<E>(
        &mut self,
        open: impl Fn(&ClusterState) -> Result<ClusterKeys, NotOpened<E>>,
    ) -> Result<KnownCluster, KeysError<E>> {
        let mut refused = None;
        while let Some(facts) = self.newest_in_file() {
            match open(&facts.cluster) {
                Ok(keys) if self.local.file.lock().verify(&keys.integrity) => return self.belongs_to(facts, keys),
                Ok(_) => {
                    tracing::error!("a slot of cluster.id was changed by somebody without the keys: it is not used");
                }
                Err(NotOpened::Damaged(error)) => {
                    self.local.file.lock().drop_newest();
                    refused = Some(error);
                }
                Err(NotOpened::Refused(error)) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        if let Some(facts) = self.newest_in_file()
            && let Some((facts, keys)) = self.fetch_keys(facts, &open).await
        {
            return self.belongs_to(facts, keys);
        }
        let stored = self.stored_facts().await;
        match stored.map(|facts| (open(&facts.cluster), facts)) {
            Some((Ok(keys), facts)) => self.belongs_to(facts, keys),
            Some((Err(NotOpened::Refused(error) | NotOpened::Damaged(error)), _)) => {
                Err(KeysError::Sealed(refused.unwrap_or(error)))
            }
            None => Err(refused.map_or_else(|| KeysError::Start(self.cluster_unknown()), KeysError::Sealed)),
        }
    }

    /// Opens the keys with the wraps that a member has now, and notes those.
    async fn fetch_keys<E>(
        &self,
        noted: ClusterFacts,
        open: impl Fn(&ClusterState) -> Result<ClusterKeys, NotOpened<E>>,
    ) -> Option<(ClusterFacts, ClusterKeys)> {
        for cluster in wraps::fetch(&self.links, &noted).await {
            let Ok(keys) = open(&cluster) else { continue };
            let facts = ClusterFacts { cluster, ..noted };
            let mut file = self.local.file.lock();
            // Everything else in the file counts only with a tag that holds.
            if !file.verify(&keys.integrity) {
                return None;
            }
            if let Err(error) = file.write(facts.clone(), &keys.integrity) {
                tracing::warn!(%error, "{}", cluster_file::CANNOT_WRITE);
            }
            tracing::info!("this node opened its key ring with wraps that it fetched from a member");
            return Some((facts, keys));
        }
        None
    }

    fn newest_in_file(&self) -> Option<ClusterFacts> {
        self.local.file.lock().facts().cloned()
    }

    /// What the keystore or a snapshot says about the cluster.
    async fn stored_facts(&mut self) -> Option<ClusterFacts> {
        if !self.looked {
            self.looked = true;
            match on_disk(&self.config, |dir| Ok(crate::store::stored_facts(dir)?)).await {
                Ok(found) => self.stored = found.filter(|facts| facts.owner == self.owner),
                Err(error) => {
                    tracing::warn!(%error, "the node cannot read in its keystore which cluster it belongs to");
                }
            }
        }
        self.stored.clone()
    }

    fn cluster_unknown(&self) -> StartError {
        StartError::Store { folder: self.config.data.clone(), error: OpenError::ClusterUnknown }
    }

    /// From now on this node belongs to this cluster, whose keys are open.
    fn belongs_to<E>(&self, mut facts: ClusterFacts, keys: ClusterKeys) -> Result<KnownCluster, KeysError<E>> {
        if facts.admission.is_empty() {
            let node = AdmittedNode::of(&facts.cluster, self.owner.node_id, self.local.own_key, self.owner.store_id);
            let admission = node.admit(Role::Voter, &keys.cluster_key);
            facts.admission = bytes::Bytes::copy_from_slice(&admission.signature);
        }
        self.write_if_lost(&facts, &keys);
        proving::show_cluster(&self.links, &facts);
        let founder = self.founder_of(&facts, &keys).map_err(KeysError::Start)?;
        match (&founder, facts.founding.as_ref().map(|founding| founding.stage)) {
            (Some(founder), Some(FoundingStage::Noted | FoundingStage::Stored)) => {
                self.local.set_noted(Arc::clone(founder));
            }
            _ => self.local.set_begun(),
        }
        Ok(KnownCluster { facts, keys, founder })
    }

    fn founder_of(&self, facts: &ClusterFacts, keys: &ClusterKeys) -> Result<Option<Arc<Founder>>, StartError> {
        let Some(founding) = &facts.founding else { return Ok(None) };
        let unreadable =
            |error: DocumentError| StartError::Document { folder: self.config.data.clone(), why: error.to_string() };
        let document = FoundingDocument::decode(founding.document.clone()).map_err(unreadable)?;
        Ok(Some(Arc::new(Founder { document, keys: keys.clone() })))
    }

    fn write_if_lost(&self, facts: &ClusterFacts, keys: &ClusterKeys) {
        let mut file = self.local.file.lock();
        if file.facts().is_some() {
            return;
        }
        match file.write(facts.clone(), &keys.integrity) {
            Ok(()) => tracing::info!("the node made cluster.id again from its keystore"),
            Err(error) => tracing::warn!(%error, "{}", cluster_file::CANNOT_WRITE),
        }
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
        let opened = on_disk(&self.config, move |dir| {
            if is_new { Store::create(dir, owner, &keys) } else { Store::open(dir, owner, &keys) }
        });
        let store = opened.await?;
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

/// Runs something on the data folder that may block.
async fn on_disk<T: Send + 'static>(
    config: &ClusterConfig,
    work: impl FnOnce(&std::path::Path) -> Result<T, OpenError> + Send + 'static,
) -> Result<T, StartError> {
    let dir = config.data.clone();
    let done =
        tokio::task::spawn_blocking(move || work(&dir).map_err(|error| StartError::Store { folder: dir, error }));
    done.await.map_err(io::Error::other)?
}
