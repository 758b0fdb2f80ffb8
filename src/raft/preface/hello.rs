//! The hello: what the node that makes a connection sends before anything else.

use bytes::Bytes;
use prost::Message;

use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire;
use crate::store::{Owner, StoreId};

/// What a connection is for: how both nodes prove themselves, and which calls the acceptor answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) enum Purpose {
    /// Both nodes hold the cluster key and were admitted.
    Member,
    /// Both nodes hold the bootstrap key of a cluster that is being made.
    Founder,
    /// The connector's key ring is sealed. It was admitted, and may only fetch wraps.
    Sealed,
}

/// Who connects, and what for. The proofs of both nodes cover its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) struct Hello {
    pub purpose: Purpose,
    pub node_id: NodeId,
    pub store_id: StoreId,
}

impl Hello {
    pub(super) fn new(purpose: Purpose, owner: Owner) -> Self {
        Self { purpose, node_id: owner.node_id, store_id: owner.store_id }
    }

    /// The content of its frame.
    pub(super) fn encode(&self) -> Vec<u8> {
        let purpose = match self.purpose {
            Purpose::Member => wire::Purpose::Member,
            Purpose::Founder => wire::Purpose::Founder,
            Purpose::Sealed => wire::Purpose::Sealed,
        };
        let store_id = Bytes::copy_from_slice(&self.store_id.0);
        wire::Hello { purpose: purpose.into(), node_id: self.node_id, store_id }.encode_to_vec()
    }

    /// `None` when the content is damaged or names a purpose that this version does not know.
    pub(super) fn decode(content: &[u8]) -> Option<Self> {
        let wire = wire::Hello::decode(content).ok()?;
        let purpose = match wire::Purpose::try_from(wire.purpose).ok()? {
            wire::Purpose::Unspecified => return None,
            wire::Purpose::Member => Purpose::Member,
            wire::Purpose::Founder => Purpose::Founder,
            wire::Purpose::Sealed => Purpose::Sealed,
        };
        let store_id = StoreId(wire.store_id.as_ref().try_into().ok()?);
        Some(Self { purpose, node_id: wire.node_id, store_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_decoded_as_it_was_encoded() {
        for purpose in [Purpose::Member, Purpose::Founder, Purpose::Sealed] {
            let hello = Hello::new(purpose, Owner { store_id: StoreId([5; 16]), node_id: 3 });
            assert_eq!(Hello::decode(&hello.encode()), Some(hello));
        }
        let unknown = |purpose| wire::Hello { purpose, node_id: 1, store_id: vec![1; 16].into() }.encode_to_vec();
        assert!(Hello::decode(&unknown(1)).is_some());
        assert!([0, 4, 5, -1].into_iter().all(|purpose| Hello::decode(&unknown(purpose)).is_none()));
        assert_eq!(Hello::decode(b"\xff"), None);
        assert_eq!(Hello::decode(b"\x08\x01"), None, "it lacks a store");
    }
}
