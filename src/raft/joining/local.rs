//! This node as a founder: how far it has come in the first start of its cluster, and what it notes in `cluster.id`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::document::{BEGIN_AGAIN, DocumentError, FirstCommandRefused, FoundingDocument, dry_run};
use crate::blocking;
use crate::config::PeerConfig;
use crate::crypto::ClusterKeys;
use crate::failpoint::{self, Failpoint};
use crate::policy::Identity;
use crate::raft::preface::shown_seal::ShownSeal;
use crate::raft::protocol::types::{Member, NodeId};
use crate::raft::protocol::wire::{FounderAnswer, FounderStage};
use crate::state::{ClusterState, EncodedCommand};
use crate::store::{ClusterFile, FoundingStage, Owner};

/// Opens the keys of a cluster, or says why they do not open.
pub type OpenCluster = Box<dyn Fn(&ClusterState) -> Result<ClusterKeys, String> + Send + Sync>;

/// What a first start needs from the layers above, which have the root key and the configuration's policies.
pub struct FirstStart {
    /// Makes the cluster's first command at a level.
    pub first_command: Box<dyn Fn(u32) -> Result<EncodedCommand, String> + Send + Sync>,
    /// Opens the keys of a cluster with the root key.
    pub open: OpenCluster,
}

/// How far this node has come.
#[derive(Clone)]
pub(in crate::raft) enum Stage {
    /// It has a cluster whose keys are not open, or has no root key yet.
    NotReady,
    /// It has a root key and has never belonged to a cluster.
    Blank,
    /// It has noted this document.
    Noted(Arc<Founder>),
    /// Its cluster has begun.
    Begun,
}

/// A founding document that this node has noted, and the open keys of its cluster.
pub(in crate::raft) struct Founder {
    pub document: FoundingDocument,
    pub keys: ClusterKeys,
}

/// Why this node does not note a document that another node hands over.
#[derive(Debug, thiserror::Error)]
pub(in crate::raft) enum NotNoted {
    #[error("it is not ready: it is starting")]
    NotReady,
    #[error("{0}")]
    Sealed(String),
    #[error("it belongs to a cluster that has begun")]
    Begun,
    #[error("it has noted the founding document of another first start: {BEGIN_AGAIN}")]
    OtherDocument,
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("it cannot write cluster.id: {0}")]
    Io(#[from] io::Error),
}

/// Why the first node of `cluster.peers` cannot make the founding document.
#[derive(Debug, thiserror::Error)]
pub(in crate::raft) enum NotFounded {
    #[error(transparent)]
    Refused(#[from] FirstCommandRefused),
    #[error("{0}")]
    Sealed(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// This node as a founder. The peer service and the node's own start share it.
pub(in crate::raft) struct LocalFounder {
    pub owner: Owner,
    /// The key of this node's certificate.
    pub own_key: Identity,
    pub peers: Vec<PeerConfig>,
    pub seal: ShownSeal,
    pub first_start: FirstStart,
    pub file: Arc<Mutex<ClusterFile>>,
    stage: watch::Sender<Stage>,
}

impl LocalFounder {
    pub(in crate::raft) fn new(
        owner: Owner,
        own_key: Identity,
        peers: Vec<PeerConfig>,
        seal: ShownSeal,
        first_start: FirstStart,
        file: Arc<Mutex<ClusterFile>>,
    ) -> Self {
        Self { owner, own_key, peers, seal, first_start, file, stage: watch::Sender::new(Stage::NotReady) }
    }

    /// How far this node has come, now and later.
    pub(in crate::raft) fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// The node has a root key, and has never belonged to a cluster.
    pub(in crate::raft) fn set_blank(&self) {
        self.stage.send_replace(Stage::Blank);
    }

    /// The node has opened the keys of the cluster that it belongs to.
    pub(in crate::raft) fn set_begun(&self) {
        self.stage.send_replace(Stage::Begun);
    }

    /// The node had noted this document before it started, and has opened its keys now.
    pub(in crate::raft) fn set_noted(&self, founder: Arc<Founder>) {
        self.stage.send_replace(Stage::Noted(founder));
    }

    /// What this node answers to another founder.
    pub(in crate::raft) fn answer(&self) -> FounderAnswer {
        let sealed = self.seal.sealed().unwrap_or_default();
        let stage = match &*self.stage.borrow() {
            Stage::NotReady => FounderStage::Unspecified,
            Stage::Blank if !sealed.is_empty() => FounderStage::Unspecified,
            Stage::Blank => FounderStage::Blank,
            Stage::Noted(_) => FounderStage::Noted,
            Stage::Begun => FounderStage::Begun,
        };
        let peer_list = Bytes::copy_from_slice(&peer_list_hash(&self.peers));
        FounderAnswer { stage: stage.into(), peer_list, sealed }
    }

    /// What `cluster.id` says about this node's cluster, if the keys of that are open.
    pub(in crate::raft) fn open_cluster(&self) -> Option<ClusterState> {
        let is_open = matches!(&*self.stage.borrow(), Stage::Noted(_) | Stage::Begun);
        self.file.lock().facts().filter(|_| is_open).map(|facts| facts.cluster.clone())
    }

    /// Makes the founding document with these members and notes it. The caller may block.
    ///
    /// # Errors
    /// The cluster would refuse its first command, the root key cannot be read, or the disk failed.
    pub(in crate::raft) fn found(&self, level: u32, members: BTreeMap<NodeId, Member>) -> Result<(), NotFounded> {
        failpoint::reached(Failpoint::Founding);
        let first_command = (self.first_start.first_command)(level).map_err(NotFounded::Sealed)?;
        let cluster = dry_run(&first_command)?;
        let keys = (self.first_start.open)(&cluster).map_err(NotFounded::Sealed)?;
        let document = FoundingDocument::make(first_command, cluster, members, &keys);
        Ok(self.note(document, keys)?)
    }

    /// Notes a founding document that the node with the key `from` hands over, unless this node has noted another one. The caller may
    /// block.
    ///
    /// # Errors
    /// Why this node does not note it.
    pub(in crate::raft) fn take(&self, bytes: Bytes, from: Identity) -> Result<(), NotNoted> {
        if self.has_noted(&bytes)? {
            return Ok(());
        }
        failpoint::reached(Failpoint::DocumentReceived);
        let document = FoundingDocument::decode(bytes.clone())?;
        document.check(self.owner, self.own_key, from, &self.peers)?;
        let keys = (self.first_start.open)(&document.cluster).map_err(DocumentError::OtherRootKey)?;
        self.note(document, keys)?;
        if self.has_noted(&bytes)? { Ok(()) } else { Err(NotNoted::NotReady) }
    }

    /// Whether this node has noted this document.
    fn has_noted(&self, bytes: &Bytes) -> Result<bool, NotNoted> {
        match &*self.stage.borrow() {
            Stage::NotReady => Err(self.seal.sealed().map_or(NotNoted::NotReady, NotNoted::Sealed)),
            Stage::Blank => Ok(false),
            Stage::Noted(founder) if founder.document.bytes == *bytes => Ok(true),
            Stage::Noted(_) => Err(NotNoted::OtherDocument),
            Stage::Begun => Err(NotNoted::Begun),
        }
    }

    /// Makes the document durable, and only then enters the stage.
    fn note(&self, document: FoundingDocument, keys: ClusterKeys) -> io::Result<()> {
        let mut file = self.file.lock();
        // Another call may have noted a document meanwhile. The first one counts.
        if file.facts().is_none() {
            file.write(document.facts(self.owner, FoundingStage::Noted), &keys.integrity)?;
            failpoint::reached(Failpoint::DocumentNoted);
            self.stage.send_replace(Stage::Noted(Arc::new(Founder { document, keys })));
        }
        Ok(())
    }

    /// Notes the document again with other members, for a founder that alone holds it. Its command and its keys stay, because
    /// the store has been made with these keys.
    ///
    /// # Errors
    /// The disk failed.
    pub(in crate::raft) async fn note_again(
        &self,
        founder: &Founder,
        members: BTreeMap<NodeId, Member>,
    ) -> io::Result<Arc<Founder>> {
        let (document, keys) = (&founder.document, founder.keys.clone());
        let (command, cluster) = (document.first_command.clone(), document.cluster.clone());
        let document = FoundingDocument::make(command, cluster, members, &keys);
        let founder = Arc::new(Founder { document, keys });
        self.note_stage(&founder, FoundingStage::Stored).await?;
        self.set_noted(Arc::clone(&founder));
        Ok(founder)
    }

    /// Notes durably that this founder has come this far.
    ///
    /// # Errors
    /// The disk failed.
    pub(in crate::raft) async fn note_stage(&self, founder: &Founder, stage: FoundingStage) -> io::Result<()> {
        let (file, facts) = (Arc::clone(&self.file), founder.document.facts(self.owner, stage));
        let integrity = founder.keys.integrity.clone();
        let written = blocking::spawn(move || file.lock().write(facts, &integrity)).await;
        written.map_err(io::Error::other)?
    }
}

/// A hash of the configured peers in their order. Blank nodes begin a cluster only if they have the same list.
pub(in crate::raft) fn peer_list_hash(peers: &[PeerConfig]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in peers.iter().flat_map(|peer| [&peer.name, &peer.peer_address, &peer.api_address]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
