//! The admission of a node: the cluster's signature over which node it is.

use crate::crypto::{ClusterKey, ClusterPublicKey, SignatureUse};
use crate::policy::Identity;
use crate::raft::protocol::types::NodeId;
use crate::state::ClusterId;
use crate::state::{ClusterState, IncarnationId};
use crate::store::StoreId;

/// What a node is in its cluster. An admission names it, so that the role of one node never serves another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) enum Role {
    Voter,
}

/// The node that an admission is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) struct AdmittedNode {
    pub cluster: ClusterId,
    pub incarnation: IncarnationId,
    pub id: NodeId,
    pub key: Identity,
    pub store_id: StoreId,
    pub role: Role,
}

impl AdmittedNode {
    /// A voter of this cluster.
    pub(in crate::raft) fn voter(cluster: &ClusterState, id: NodeId, key: Identity, store_id: StoreId) -> Self {
        Self { cluster: cluster.id, incarnation: cluster.incarnation, id, key, store_id, role: Role::Voter }
    }

    /// The admission of this node. It is the same each time.
    pub(in crate::raft) fn admit(&self, key: &ClusterKey) -> [u8; 64] {
        key.sign(SignatureUse::Admission, &self.transcript())
    }

    /// Whether this is the admission of this node.
    pub(in crate::raft) fn is_admitted(&self, admission: &[u8], key: ClusterPublicKey) -> bool {
        let admission = <&[u8; 64]>::try_from(admission);
        admission.is_ok_and(|admission| key.verifies(SignatureUse::Admission, &self.transcript(), admission))
    }

    /// Each item follows its length, so that no two nodes have the same transcript.
    fn transcript(&self) -> Vec<u8> {
        let (id, role) = (self.id.to_be_bytes(), self.role.number().to_be_bytes());
        let items: [&[u8]; 6] =
            [&self.cluster.0, &self.incarnation.0, &id, self.key.as_bytes(), &self.store_id.0, &role];
        let mut transcript = Vec::with_capacity(256);
        for item in items {
            transcript.extend((item.len() as u64).to_be_bytes());
            transcript.extend(item);
        }
        transcript
    }
}

impl Role {
    /// Its number in the transcript of an admission.
    fn number(self) -> u32 {
        match self {
            Self::Voter => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admission_is_for_one_node_alone() {
        let key = ClusterKey::generate();
        let node = AdmittedNode {
            cluster: ClusterId([1; 16]),
            incarnation: IncarnationId([2; 16]),
            id: 3,
            key: Identity::from_bytes([4; 32]),
            store_id: StoreId([5; 16]),
            role: Role::Voter,
        };
        let admission = node.admit(&key);
        assert!(node.is_admitted(&admission, key.public()));
        assert!(!node.is_admitted(&admission, ClusterKey::generate().public()));
        assert!(!node.is_admitted(&admission[..63], key.public()) && !node.is_admitted(b"", key.public()));
        for other in [
            AdmittedNode { cluster: ClusterId([9; 16]), ..node },
            AdmittedNode { incarnation: IncarnationId([9; 16]), ..node },
            AdmittedNode { id: 9, ..node },
            AdmittedNode { key: Identity::from_bytes([9; 32]), ..node },
            AdmittedNode { store_id: StoreId([9; 16]), ..node },
        ] {
            assert!(!other.is_admitted(&admission, key.public()), "{other:?}");
        }
    }
}
