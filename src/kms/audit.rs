//! The key that signs this node's audit trail, and the logs of the other nodes.

use futures::stream::BoxStream;

use super::Kms;
use crate::crypto::SigningKey;
use crate::policy::Permit;
use crate::policy::permitted::{ReadAuditLog, ReadErrorLog};
use crate::raft::{FollowLog, PeerLog};

/// The name of a node, and its log.
pub type NamedLog = (String, BoxStream<'static, PeerLog>);

impl Kms {
    /// The key that signs this node's audit trail. It comes from the key ring, so a sealed node does not have it.
    pub fn audit_key(&self) -> SigningKey {
        self.ring.load().audit_key(&self.cluster.store_id().0)
    }

    /// This node's name.
    pub fn name(&self) -> &str {
        &self.this_node.name
    }

    /// The audit trails of all other nodes, each with the name of its node.
    pub fn peer_audit_trails(&self, _: &Permit<'_, ReadAuditLog>, tail: usize, follow: bool) -> Vec<NamedLog> {
        self.cluster.peer_logs(FollowLog { errors: false, tail, follow })
    }

    /// The error logs of all other nodes, each with the name of its node.
    pub fn peer_error_logs(&self, _: &Permit<'_, ReadErrorLog>, tail: usize, follow: bool) -> Vec<NamedLog> {
        self.cluster.peer_logs(FollowLog { errors: true, tail, follow })
    }
}
