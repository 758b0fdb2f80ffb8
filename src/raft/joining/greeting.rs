//! Greetings: with them, nodes that do not know each other yet find out whether they may begin a cluster together.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::config::PeerConfig;
use crate::raft::protocol::membership::membership_to_wire;
use crate::raft::protocol::types::{Member, Membership, NodeId};
use crate::raft::protocol::wire::GreetingReply;
use crate::store::StoreId;

/// What this node answers to a greeting.
pub(in crate::raft) struct Greeter {
    pub name: String,
    pub store_id: StoreId,
    /// Whether its store had never belonged to a cluster when the node started.
    pub blank: bool,
    pub peer_list: [u8; 32],
    pub seal: ShownSeal,
}

/// What this node shows its peers of its seal. All clones share it.
#[derive(Debug, Clone, Default)]
pub struct ShownSeal(Arc<Mutex<SealView>>);

#[derive(Debug, Default)]
struct SealView {
    /// The fingerprint of the root key, once the node has one.
    fingerprint: Option<[u8; 32]>,
    /// Why the node is sealed, while it is.
    sealed: Option<String>,
}

impl ShownSeal {
    /// From now on, peers see that this node has the root key with this fingerprint.
    pub fn set_root_key(&self, fingerprint: [u8; 32]) {
        *self.0.lock() = SealView { fingerprint: Some(fingerprint), sealed: None };
    }

    /// From now on, peers see that this node is sealed, and why.
    pub fn set_sealed(&self, why: String) {
        self.0.lock().sealed = Some(why);
    }

    /// Why this node is sealed, while it is.
    pub(in crate::raft) fn sealed(&self) -> Option<String> {
        self.0.lock().sealed.clone()
    }

    /// The fingerprint, or empty bytes while the node has no root key.
    pub(in crate::raft) fn fingerprint(&self) -> Bytes {
        self.0.lock().fingerprint.map_or_else(Bytes::new, |fingerprint| Bytes::copy_from_slice(&fingerprint))
    }
}

impl Greeter {
    /// The reply to a greeting. Once the node takes part, it is no longer blank.
    pub(in crate::raft) fn reply(&self, members: &BTreeMap<NodeId, Member>, running: bool) -> GreetingReply {
        let membership = Membership::new(vec![members.keys().copied().collect()], members.clone()).ok();
        GreetingReply {
            name: self.name.clone(),
            store_id: Bytes::copy_from_slice(&self.store_id.0),
            blank: self.blank && !running,
            peer_list: Bytes::copy_from_slice(&self.peer_list),
            root_key_fingerprint: self.seal.fingerprint(),
            sealed: self.seal.sealed().unwrap_or_default(),
            membership: membership.filter(|_| running).map(|membership| membership_to_wire(None, &membership)),
        }
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
