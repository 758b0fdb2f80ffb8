//! Keeps the open key ring in line with what this node has applied, and reports to the cluster what it has opened.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::cluster_keys::keeps_keys;
use super::ring::{self, SealError, encode};
use super::{Error, Kms};
use crate::blocking;
use crate::crypto::{Ring, RingWrap, RootKey};
use crate::state::{ClusterState, Operation, RingChange, RingNote, RingVersion, Seal, SealId};

/// The pause between two looks at whether the ring has changed. The node applies entries far more often than that.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause after something that the node could not do.
const RETRY: Duration = Duration::from_secs(10);
/// The pause before the node looks again, although the ring has not changed.
const AGAIN: Duration = Duration::from_secs(60);
/// How long one attempt to write may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// The ring that this node has dealt with, and what it reported.
struct Reported {
    ring: Vec<RingVersion>,
    active: u32,
    seals: Vec<Seal>,
    note: RingNote,
    /// When the node must look again, although nothing has changed.
    again: Instant,
}

impl Kms {
    /// Opens the ring again after each change, adds the wraps that the seal of this node lacks, and reports to the
    /// cluster what this node has opened once `cluster.id` holds it. Never ends.
    pub async fn follow_ring(&self) {
        let mut progress = self.cluster.progress();
        let mut reported: Option<Reported> = None;
        loop {
            let state = self.cluster.view().cluster();
            if let Some(state) = state.filter(|state| !reported.as_ref().is_some_and(|last| last.is_current(state))) {
                match self.follow_ring_once(&state).await {
                    Ok(new) => reported = new,
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
            }
            tokio::time::sleep(PAUSE).await;
            // This fails when the time is over, or consensus has ended and the node with it.
            drop(timeout(RETRY, progress.changed()).await);
        }
    }

    /// Returns `None` when the ring has changed meanwhile.
    async fn follow_ring_once(&self, state: &Arc<ClusterState>) -> Result<Option<Reported>, Error> {
        let root = self.read_root_key().await.inspect_err(|error| {
            tracing::warn!(
                %error,
                "this node cannot read its root key again, so it cannot say that it opens the key ring without the older \
                 ring versions: make the root key readable for the node as the seal in its configuration says"
            );
        });
        let root = root.ok();
        let ring = self.reopen_ring(root.as_ref())?;
        if let Some(missing) = root.as_ref().and_then(|root| missing_wraps(state, &ring, root)) {
            self.write_by_itself(Operation::Ring(missing), Instant::now() + ATTEMPT).await?;
            return Ok(None);
        }
        let note = self.ring_note(state, &ring, root.as_ref());
        if root.is_some() && note.seals.is_empty() {
            tracing::warn!(
                "the root key of this node belongs to no seal of the cluster, so the node could not open the key ring \
                 after a restart: give it a root key of the cluster, as the seal in its configuration says"
            );
        }
        while !self.cluster.has_noted_ring(&state.ring) {
            if self.ring_differs(state) {
                return Ok(None);
            }
            tokio::time::sleep(PAUSE).await;
        }
        if note_of(state, note.node) != Some(&note) {
            let change = Operation::Ring(RingChange::NoteOpened(note.clone()));
            self.write_by_itself(change, Instant::now() + ATTEMPT).await?;
        }
        let ClusterState { ring, active_ring_version: active, seals, .. } = ClusterState::clone(state);
        Ok(Some(Reported { ring, active, seals, note, again: Instant::now() + AGAIN }))
    }

    /// Opens the ring that this node has applied. It needs no root key for a version that is sealed under one that is
    /// open. If this fails, the node keeps the ring that it has.
    pub(super) fn reopen_ring(&self, root: Option<&RootKey>) -> Result<Arc<Ring>, Error> {
        // Two tasks must not put an older ring in the place of a newer one.
        let _alone = self.reopening.lock();
        let state = self.cluster.view().cluster().ok_or(Error::Stopping)?;
        let reopened = ring::reopen_ring(&state, &self.ring.load(), root).map_err(|error| {
            tracing::error!(
                %error,
                "this node cannot open the changed key ring, and keeps the one that it has: make the root key readable for \
                 the node as the seal in its configuration says"
            );
            Error::Stopping
        })?;
        let ring = Arc::new(reopened);
        self.ring.store(Arc::clone(&ring));
        Ok(ring)
    }

    /// Reads the root key. The caller drops it soon.
    pub(super) async fn read_root_key(&self) -> Result<RootKey, SealError> {
        let root = Arc::clone(&self.root);
        let read = blocking::spawn(move || root()).await;
        read.unwrap_or_else(|_| Err(SealError::NoRootKey("the node is stopping".to_owned())))
    }

    /// What this node can say of the ring. It leaves out a version under which a key of the cluster would be lost. Without a
    /// root key, it repeats what it has said of the same versions.
    fn ring_note(&self, state: &ClusterState, ring: &Ring, root: Option<&RootKey>) -> RingNote {
        let node = self.cluster.node_id();
        let usable = state.ring.iter().filter(|version| keeps_keys(state, ring, version));
        let versions: Vec<u32> =
            usable.map(|version| version.version).filter(|v| ring.versions().any(|o| o == *v)).collect();
        let seals = match root {
            Some(root) => seals_that_open(state, ring, &versions, root),
            None => {
                note_of(state, node).filter(|note| note.versions == versions).map_or_else(Vec::new, |n| n.seals.clone())
            }
        };
        RingNote { node, versions, seals }
    }

    /// Whether this node has applied another ring than this one.
    fn ring_differs(&self, state: &ClusterState) -> bool {
        self.cluster.view().cluster().is_some_and(|now| now.ring != state.ring)
    }
}

impl Reported {
    /// Whether the node has nothing to do about this state. The cluster ignores what it reports while it is not a member,
    /// and a root key may become readable. So the node looks again after a while.
    fn is_current(&self, state: &ClusterState) -> bool {
        let same = self.ring == state.ring && self.active == state.active_ring_version && self.seals == state.seals;
        let is_noted = note_of(state, self.note.node) == Some(&self.note) && !self.note.seals.is_empty();
        same && (is_noted || Instant::now() < self.again)
    }
}

fn note_of(state: &ClusterState, node: u64) -> Option<&RingNote> {
    state.ring_notes.iter().find(|note| note.node == node)
}

/// The seals whose wraps of all these versions this root key opens, in order.
fn seals_that_open(state: &ClusterState, ring: &Ring, versions: &[u32], root: &RootKey) -> Vec<SealId> {
    let opens_all = |seal: &&Seal| versions.iter().all(|version| opened_wrap(state, ring, root, seal.id, *version));
    let mut seals: Vec<_> = state.seals.iter().filter(opens_all).map(|seal| seal.id).collect();
    seals.sort_unstable();
    seals
}

/// The seals that have this root key: it opens a wrap of theirs.
pub(super) fn seals_of(state: &ClusterState, ring: &Ring, root: &RootKey) -> Vec<SealId> {
    let own = |seal: &&Seal| ring.versions().any(|version| opened_wrap(state, ring, root, seal.id, version));
    state.seals.iter().filter(own).map(|seal| seal.id).collect()
}

/// The wraps that a seal of this root key lacks, if there is such a seal: another node added a version.
fn missing_wraps(state: &ClusterState, ring: &Ring, root: &RootKey) -> Option<RingChange> {
    let own = seals_of(state, ring, root);
    let lacks = |seal: &Seal, version: &RingVersion| wrap_for(version, seal.id).is_none();
    let incomplete = |seal: &&Seal| own.contains(&seal.id) && state.ring.iter().any(|version| lacks(seal, version));
    let seal = state.seals.iter().find(incomplete)?;
    let missing = state.ring.iter().filter(|version| lacks(seal, version)).map(|version| version.version);
    let wrap = |version| Some((version, encode(&ring.wrap(version, root, seal.id.0, &state.id.0)?)));
    // A version that is not open here stays without a wrap, and no seal is complete then.
    Some(RingChange::AddSeal { seal: seal.clone(), wraps: missing.map(wrap).collect::<Option<_>>()? })
}

/// Whether this root key opens the wrap of this seal and version, and the wrap has the key that is open.
fn opened_wrap(state: &ClusterState, ring: &Ring, root: &RootKey, seal: SealId, version: u32) -> bool {
    let found = state.ring.iter().find(|found| found.version == version);
    found.and_then(|version| wrap_for(version, seal)).is_some_and(|wrap| ring.is_wrapped_in(&wrap, root, &state.id.0))
}

fn wrap_for(version: &RingVersion, seal: SealId) -> Option<RingWrap> {
    let wraps = version.wraps.iter().filter_map(|wrap| RingWrap::decode(version.version, wrap));
    wraps.into_iter().find(|wrap| wrap.seal == seal.0)
}
