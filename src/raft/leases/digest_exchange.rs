//! Compares the digests that other nodes send with this node's own. Each ReadIndex brings one in both directions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::raft::dispute::Dispute;
use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire;
use crate::state::Digest;
use crate::store::{DigestRing, Keystore, Progress, StateDigest};

/// A member's digest that this node could not confirm: it differs, or this node has yet to apply that index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) struct UnconfirmedDigest {
    pub from: NodeId,
    pub digest: StateDigest,
}

/// This node's digests, and where those go that it cannot confirm.
#[derive(Debug)]
pub(in crate::raft) struct DigestExchange {
    own: Arc<DigestRing>,
    progress: watch::Receiver<Progress>,
    to_check: mpsc::Sender<UnconfirmedDigest>,
    /// Whether one of them differs and nothing says which one is right.
    pub dispute: Dispute,
}

impl DigestExchange {
    /// The exchange, and the digests for the digest check.
    pub(in crate::raft) fn new(keystore: &Keystore) -> (Arc<Self>, mpsc::Receiver<UnconfirmedDigest>) {
        let (to_check, unconfirmed) = mpsc::channel(1);
        let (own, progress) = (keystore.digests(), keystore.progress());
        (Arc::new(Self { own, progress, to_check, dispute: Dispute::default() }), unconfirmed)
    }

    /// This node's digest after the entry at `index`, once it has applied that. `None` if it does not within `patience`, or
    /// no longer keeps the digest.
    pub(in crate::raft) async fn at(&self, index: u64, patience: Duration) -> Option<StateDigest> {
        let mut progress = self.progress.clone();
        drop(tokio::time::timeout(patience, progress.wait_for(|progress| progress.reached(index))).await);
        self.own.at(index)
    }

    /// This node's newest digest. `None` before the first entry.
    pub(in crate::raft) fn newest(&self) -> Option<StateDigest> {
        self.own.newest()
    }

    /// Compares a member's digest with this node's own, and hands it to the digest check unless they are equal.
    pub(in crate::raft) fn compare(&self, from: NodeId, digest: StateDigest) {
        let own = self.own.at(digest.index);
        let too_old = own.is_none() && self.own.newest().is_some_and(|newest| newest.index >= digest.index);
        let other_key = own.is_some_and(|own| own.key_version != digest.key_version);
        if own == Some(digest) || too_old || other_key {
            return;
        }
        // The channel is full while the check asks the other nodes. The next ReadIndex brings a digest, too.
        let _ = self.to_check.try_send(UnconfirmedDigest { from, digest });
    }

    /// The digest with which this node answers that of a member: the one of the same index, or else the newest one.
    pub(in crate::raft) fn answer(&self, theirs: Option<StateDigest>) -> Option<StateDigest> {
        theirs.and_then(|theirs| self.own.at(theirs.index)).or_else(|| self.newest())
    }
}

/// A digest as a message has it.
pub(in crate::raft) fn to_wire(digest: StateDigest) -> wire::StateDigest {
    let StateDigest { index, digest, key_version } = digest;
    wire::StateDigest { index, digest: Bytes::copy_from_slice(&digest.to_bytes()), key_version }
}

/// The digest in a message. `None` if it is malformed.
pub(in crate::raft) fn from_wire(message: &wire::StateDigest) -> Option<StateDigest> {
    let digest = Digest::from_bytes(message.digest.as_ref().try_into().ok()?);
    Some(StateDigest { index: message.index, digest, key_version: message.key_version })
}
