//! The admission of a node: the cluster's signature over which node it is.

use bytes::Bytes;

use crate::crypto::{ClusterKey, ClusterPublicKey, SignatureUse};
use crate::policy::Identity;
use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire;
use crate::state::{ClusterId, ClusterState, IncarnationId};
use crate::store::StoreId;

/// What a node is in its cluster. An admission names it, so that the role of one node never serves another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) enum Role {
    Voter = 1,
    Learner = 2,
    Witness = 3,
}

/// With this a node shows that the cluster admitted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::raft) struct Admission {
    pub role: Role,
    pub signature: [u8; 64],
}

/// The node that an admission is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) struct AdmittedNode {
    pub cluster: ClusterId,
    pub incarnation: IncarnationId,
    pub id: NodeId,
    /// The key with which it connects.
    pub key: Identity,
    pub store_id: StoreId,
}

impl AdmittedNode {
    /// A node of this cluster.
    pub(in crate::raft) fn of(cluster: &ClusterState, id: NodeId, key: Identity, store_id: StoreId) -> Self {
        Self { cluster: cluster.id, incarnation: cluster.incarnation, id, key, store_id }
    }

    /// Admits this node. Its admission is the same each time.
    pub(in crate::raft) fn admit(&self, role: Role, key: &ClusterKey) -> Admission {
        Admission { role, signature: key.sign(SignatureUse::Admission, &self.transcript(role)) }
    }

    /// Whether this is the admission of this node.
    pub(in crate::raft) fn is_admitted(&self, admission: &Admission, key: ClusterPublicKey) -> bool {
        key.verifies(SignatureUse::Admission, &self.transcript(admission.role), &admission.signature)
    }

    /// Each item follows its length, so that no two nodes have the same transcript.
    fn transcript(&self, role: Role) -> Vec<u8> {
        let (id, role) = (self.id.to_be_bytes(), (role as u32).to_be_bytes());
        list(&[&self.cluster.0, &self.incarnation.0, &id, self.key.as_bytes(), &self.store_id.0, &role])
    }
}

impl Admission {
    /// The admission of a voter with this signature. `None` when something else has this length.
    pub(in crate::raft) fn of_voter(signature: &[u8]) -> Option<Self> {
        Some(Self { role: Role::Voter, signature: signature.try_into().ok()? })
    }

    pub(super) fn to_wire(&self) -> wire::Admission {
        wire::Admission { role: self.role as u32, signature: Bytes::copy_from_slice(&self.signature) }
    }

    /// `None` when it is damaged or names a role that this version does not know.
    pub(super) fn of_wire(wire: &wire::Admission) -> Option<Self> {
        let role = [Role::Voter, Role::Learner, Role::Witness].into_iter().find(|role| *role as u32 == wire.role)?;
        Some(Self { role, signature: wire.signature.as_ref().try_into().ok()? })
    }
}

/// These items, each after its length.
pub(super) fn list(items: &[&[u8]]) -> Vec<u8> {
    let mut listed = Vec::with_capacity(items.iter().map(|item| 8 + item.len()).sum());
    for item in items {
        listed.extend((item.len() as u64).to_be_bytes());
        listed.extend(*item);
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admission_is_for_one_node_and_one_role_alone() {
        let key = ClusterKey::generate();
        let node = AdmittedNode {
            cluster: ClusterId([1; 16]),
            incarnation: IncarnationId([2; 16]),
            id: 3,
            key: Identity::from_bytes([4; 32]),
            store_id: StoreId([5; 16]),
        };
        let admission = node.admit(Role::Voter, &key);
        assert_eq!(admission, node.admit(Role::Voter, &key));
        assert!(node.is_admitted(&admission, key.public()));
        assert!(!node.is_admitted(&admission, ClusterKey::generate().public()));
        for role in [Role::Learner, Role::Witness] {
            assert!(!node.is_admitted(&Admission { role, ..admission.clone() }, key.public()));
        }
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
