//! Whose store this is: the note that log and keystore both carry, so that neither is mistaken for another's.

use bytes::Bytes;
use prost::Message;

use super::wire;

/// 128 random bits made with a store: a disk that was wiped has another id, whatever its node is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

/// Whose store this is.
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
