//! What this node says about itself at the beginning of a connection, and how it judges the other node.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwap;

use super::budget::StrangerBudget;
use super::content::{ConnectionSide, NodeVersion, Preface};
use super::credential::{CannotProve, Credential};
use super::hello::{Hello, Purpose};
use super::proof::{Proving, SignedPreface};
use super::refusal::{PrefaceRefusal, refusal_of};
use super::shown_seal::ShownSeal;
use crate::clock;
use crate::policy::Identity;
use crate::state::{ClusterId, ClusterState};
use crate::store::{Noting, Owner, StartId, StoreId, View};

/// What this node says about itself at the beginning of each connection.
pub(in crate::raft) struct OwnPreface {
    owner: Owner,
    /// This node's name (`cluster.name`).
    name: String,
    seal: ShownSeal,
    credential: ArcSwap<Credential>,
    view: OnceLock<Arc<View>>,
    strangers: StrangerBudget,
}

/// This node's end of one connection. What it proves and demands stays as it was when the connection began.
pub(super) struct OwnEnd<'a> {
    own: &'a OwnPreface,
    side: ConnectionSide,
    purpose: Purpose,
    proving: Proving,
    credential: Arc<Credential>,
    /// The start that this node names.
    start: Option<StartId>,
}

/// Why this node has no end of a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoEnd {
    #[error(transparent)]
    CannotProve(#[from] CannotProve),
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl OwnPreface {
    /// The preface of a node that is starting, with what it shows of its seal.
    pub(in crate::raft) fn new(owner: Owner, name: &str, seal: ShownSeal) -> Self {
        Self {
            owner,
            name: name.to_owned(),
            seal,
            credential: ArcSwap::from_pointee(Credential::Closed(None)),
            view: OnceLock::new(),
            strangers: StrangerBudget::default(),
        }
    }

    /// From now on new connections use this credential.
    pub(in crate::raft) fn set_credential(&self, credential: Credential) {
        if matches!(credential, Credential::Member(_)) {
            self.seal.forget_bootstrap();
        }
        self.credential.store(Arc::new(credential));
    }

    /// This node learned that every founder has noted the founding document. From now on it takes no connections of
    /// founders.
    pub(in crate::raft) fn cluster_has_begun(&self) {
        if let Credential::Noted(member) = &*self.credential.load_full() {
            self.set_credential(Credential::Member(member.clone()));
        }
    }

    /// From now on the preface says which level this state has, once it has one.
    pub(in crate::raft) fn belongs_to(&self, view: Arc<View>) {
        // A node takes part once, so the cell is empty.
        drop(self.view.set(view));
    }

    /// The preface of a founder with this bootstrap key.
    #[cfg(test)]
    pub(in crate::raft) fn of_founder(owner: Owner, name: &str, key: &crate::crypto::BootstrapKey) -> Self {
        let seal = ShownSeal::default();
        seal.set_open(Some(key.clone()));
        let own = Self::new(owner, name, seal);
        own.set_credential(Credential::Founder);
        own
    }

    /// The starts that the connections of this node name.
    #[cfg(test)]
    pub(super) fn starts_of_member(&self) -> Option<Arc<super::node_starts::NodeStarts>> {
        self.credential.load().starts(Purpose::Member).cloned()
    }

    /// This node's name (`cluster.name`).
    pub(in crate::raft) fn name(&self) -> &str {
        &self.name
    }

    /// The id of this node's cluster. `None` while neither `cluster.id` nor what the node has applied says it.
    pub(in crate::raft) fn cluster(&self) -> Option<ClusterId> {
        self.state().map(|state| state.id).or_else(|| self.credential.load().known().map(|known| known.id))
    }

    fn state(&self) -> Option<Arc<ClusterState>> {
        self.view.get()?.cluster()
    }

    /// What this node sends first on a connection that it made.
    pub(super) fn hello(&self, purpose: Purpose) -> Hello {
        Hello::new(purpose, self.owner)
    }

    /// This node's end of a connection. The start that it names to the other node is durable then.
    ///
    /// # Errors
    /// It cannot prove itself for this purpose, or the disk failed.
    pub(super) async fn end(&self, side: ConnectionSide, purpose: Purpose) -> Result<OwnEnd<'_>, NoEnd> {
        let credential = self.credential.load_full();
        let proving = credential.proving(purpose, side, &self.seal)?;
        let start = match credential.starts(purpose) {
            Some(starts) => Some(starts.speak().await?),
            None => None,
        };
        Ok(OwnEnd { own: self, side, purpose, proving, credential, start })
    }
}

impl OwnEnd<'_> {
    /// Whether this node may prove itself to a node that is not a member as far as it knows. A free hello must not make it
    /// sign as often as somebody likes.
    pub(super) fn affords_stranger(&self) -> bool {
        match self.proving {
            Proving::Bootstrap(_) => true,
            Proving::Cluster(_) | Proving::AcceptorAlone(_, _) => self.own.strangers.take(Instant::now()),
        }
    }

    /// What this node says to the node with this store.
    pub(super) fn preface(&self, other: StoreId) -> Preface {
        let (known, starts) = (self.credential.known(), self.credential.starts(self.purpose));
        let founds = self.purpose == Purpose::Founder;
        let known = known.filter(|_| !founds);
        Preface {
            side: self.side,
            node_id: self.own.owner.node_id,
            name: self.own.name.clone(),
            store_id: self.own.owner.store_id,
            cluster: self.own.cluster().filter(|_| !founds),
            incarnation: known.map(|known| known.incarnation),
            start: self.start,
            noted_start: starts.and_then(|starts| starts.noted_of(other)),
            version: NodeVersion::own(),
            active_level: self.own.state().map(|state| state.level),
            admission: known.and_then(|known| known.admission.clone()),
        }
    }

    /// Adds the proof to a preface. It covers this transcript, which `transcript` makes from the bytes of the preface.
    pub(super) fn sign(&self, preface: &Preface, transcript: impl FnOnce(&[u8]) -> Vec<u8>) -> SignedPreface {
        let preface = preface.encode();
        let proof = self.proving.prove(self.side, &transcript(&preface));
        SignedPreface { preface: preface.into(), proof }
    }

    /// Whether the other node proved itself over this transcript.
    pub(super) fn is_proof(&self, transcript: &[u8], proof: &[u8]) -> bool {
        self.proving.proves(self.side.other(), transcript, proof)
    }

    /// Why this node, which said `own`, refuses the other one. That node has this TLS key.
    pub(super) fn refusal_of(
        &self,
        own: &Preface,
        theirs: &Preface,
        key: Identity,
        is_proven: bool,
    ) -> Option<PrefaceRefusal> {
        let founds = self.purpose == Purpose::Founder;
        refusal_of(own, theirs).or_else(|| {
            if !is_proven {
                return Some(PrefaceRefusal::not_proven(own, theirs, founds));
            }
            // Only what is proven counts from here on.
            let known = self.credential.known().filter(|_| !founds);
            if known.is_some_and(|known| !known.admitted(theirs, key)) {
                return Some(PrefaceRefusal::not_admitted(own, theirs));
            }
            let starts = self.credential.starts(self.purpose)?;
            let Some(_) = theirs.start else {
                return Some(PrefaceRefusal::malformed(&own.name, "a preface without a start"));
            };
            let noted = theirs.noted_start.filter(|noted| starts.is_copy(noted.start))?;
            Some(PrefaceRefusal::own_copy(own, theirs, noted))
        })
    }

    /// Notes the start of the other node durably. This node said `own` to it before.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) async fn note(&self, own: &Preface, theirs: &Preface) -> io::Result<Noting> {
        let (Some(starts), Some(start)) = (self.credential.starts(self.purpose), theirs.start) else {
            return Ok(Noting::Known);
        };
        let now = clock::unix_ns() / 1_000_000_000;
        let said = own.noted_start.map(|noted| noted.start);
        starts.note(theirs.store_id, start, said, u64::try_from(now).unwrap_or(0)).await
    }

    /// Ends this node, whose data folder is a copy.
    pub(super) fn report_copy(&self, reason: &str) {
        if let Some(starts) = self.credential.starts(self.purpose) {
            starts.report_copy(reason);
        }
    }
}
