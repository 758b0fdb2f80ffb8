//! What signs this node's audit trail, and what the other nodes tell of theirs.

use futures::stream::BoxStream;

use super::Kms;
use crate::crypto::SigningKey;
use crate::policy::Permit;
use crate::raft::{FollowLog, PeerLog};

impl Kms {
    /// The key that signs this node's audit trail, from the key ring; none while the node is sealed.
    pub fn audit_key(&self) -> Option<SigningKey> {
        let ring = self.ring.load();
        ring.as_ref().map(|ring| ring.audit_key(&self.cluster.store_id().0))
    }

    /// This node's name.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// The logs of all other nodes, each with its name, for a client that may read this node's.
    pub fn peer_logs(&self, _: &Permit<'_>, asked: FollowLog) -> Vec<(String, BoxStream<'static, PeerLog>)> {
        self.cluster.peer_logs(asked)
    }
}
