//! The owner of a store. The log and the keystore both note it, so that a node never uses those of another store.

use bytes::Bytes;
use prost::Message;

use super::wire;

/// 128 random bits that a node draws when it makes a store. After its disk was wiped, the same node has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
        wire::Owner { store_id: Bytes::copy_from_slice(&self.store_id.0), node_id: self.node_id }.encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let wire = wire::Owner::decode(bytes).ok()?;
        Some(Self { store_id: StoreId(wire.store_id.as_ref().try_into().ok()?), node_id: wire.node_id })
    }
}
