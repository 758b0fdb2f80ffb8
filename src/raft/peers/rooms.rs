//! Which peers lack room on their disks, as they said with their last heartbeats.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::raft::protocol::types::NodeId;

/// The peers that lack room.
#[derive(Default)]
pub(in crate::raft) struct Rooms(Mutex<BTreeSet<NodeId>>);

impl Rooms {
    /// Notes what a peer says about its disk.
    pub(in crate::raft) fn note(&self, peer: NodeId, has_room: bool) {
        let mut lacking = self.0.lock();
        if has_room {
            lacking.remove(&peer);
        } else {
            lacking.insert(peer);
        }
    }

    /// Whether a peer lacks room.
    pub(in crate::raft) fn lacks(&self, peer: NodeId) -> bool {
        self.0.lock().contains(&peer)
    }

    /// Whether all peers have room, as far as this node knows.
    pub(in crate::raft) fn all_have(&self) -> bool {
        self.0.lock().is_empty()
    }
}
