//! The owner of a store. The log and the keystore both note it, so that a node never uses those of another store.

use bytes::Bytes;
use prost::Message;

use super::wire;

/// 128 random bits that a node draws when it makes a store. After its disk was wiped, the same node has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub [u8; 16]);

/// The owner of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The store.
    pub store_id: StoreId,
    /// The node.
    pub node_id: u64,
}

impl Owner {
    pub(super) fn encode(self) -> Vec<u8> {
        wire::Owner::from(self).encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        Self::from_wire(&wire::Owner::decode(bytes).ok()?)
    }

    /// `None` when the store's id is damaged.
    pub(super) fn from_wire(wire: &wire::Owner) -> Option<Self> {
        Some(Self { store_id: StoreId(wire.store_id.as_ref().try_into().ok()?), node_id: wire.node_id })
    }
}

impl From<Owner> for wire::Owner {
    fn from(owner: Owner) -> Self {
        Self { store_id: Bytes::copy_from_slice(&owner.store_id.0), node_id: owner.node_id }
    }
}
