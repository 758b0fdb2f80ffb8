//! Opening the keys of a node's cluster at its start: with `cluster.id`, with wraps from a member, or with the keystore.

use std::sync::Arc;

use super::cluster_file;
use super::joining::document::{DocumentError, FoundingDocument};
use super::joining::local::Founder;
use super::joining::proving;
use super::joining::wraps;
use super::known_cluster::KnownCluster;
use super::preface::admission::{AdmittedNode, Role};
use super::start::{PeerListener, StartError, on_disk};
use crate::crypto::ClusterKeys;
use crate::state::ClusterState;
use crate::store::{ClusterFacts, FoundingStage, OpenError};

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

impl PeerListener {
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
}
