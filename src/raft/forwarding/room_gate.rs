//! Whether the disks of a quorum have room, so that a leader may propose what needs room.

use std::sync::Arc;
use std::time::Duration;

use openraft::Instant as _;

use super::leader::{Leader, Leadership};
use crate::disk::DiskRoom;
use crate::raft::protocol::types::{NodeId, RaftLogId};

/// Knows which voters have room.
pub(in crate::raft) struct RoomGate {
    leadership: Arc<Leadership>,
    room: Arc<DiskRoom>,
    /// A voter must have answered a heartbeat sent within this time.
    heard_within: Duration,
}

/// A voter, as the leader sees it.
#[derive(Debug, Clone, Copy)]
struct Voter {
    has_room: bool,
    /// Whether it answered one of the last heartbeats. The leader itself does.
    answers: bool,
}

impl RoomGate {
    pub(in crate::raft) fn new(leadership: Arc<Leadership>, room: Arc<DiskRoom>, heartbeat: Duration) -> Self {
        Self { leadership, room, heard_within: heartbeat * 4 }
    }

    /// Whether this node may propose what needs room. If it does not lead, openraft refuses everything.
    pub(in crate::raft) fn is_open(&self) -> bool {
        if self.leadership.leader() != Leader::Here {
            return true;
        }
        if !self.room.lacks_room() && self.leadership.links().contacts().rooms().all_have() {
            return true;
        }
        is_open(&self.voters())
    }

    /// Whether a voter has room, as far as this node knows.
    pub(in crate::raft) fn has_room(&self, voter: NodeId) -> bool {
        if voter == self.leadership.own_id() {
            return !self.room.lacks_room();
        }
        !self.leadership.links().contacts().rooms().lacks(voter)
    }

    /// The last entry that this node knows to be committed.
    pub(in crate::raft) fn last_committed(&self) -> Option<RaftLogId> {
        self.leadership.metrics().now().local_committed
    }

    fn voters(&self) -> Vec<Voter> {
        let metrics = self.leadership.metrics();
        let metrics = metrics.now();
        let heard = |id: &NodeId| metrics.heartbeat.as_ref()?.get(id).copied().flatten();
        let answers = |id: &NodeId| heard(id).is_some_and(|sent| sent.into_inner().elapsed() <= self.heard_within);
        let voters = metrics.membership_config.voter_ids();
        voters.map(|id| Voter { has_room: self.has_room(id), answers: id == metrics.id || answers(&id) }).collect()
    }
}

/// Closed if a voter lacks room, and those that answer and have room are fewer than a quorum. If all have room, the leader waits
/// for a quorum as without this.
fn is_open(voters: &[Voter]) -> bool {
    let able = voters.iter().filter(|voter| voter.has_room && voter.answers).count();
    voters.iter().all(|voter| voter.has_room) || able > voters.len() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Voter = Voter { has_room: true, answers: true };
    const FULL: Voter = Voter { has_room: false, answers: true };
    const AWAY: Voter = Voter { has_room: true, answers: false };

    #[test]
    fn a_quorum_that_answers_must_have_room() {
        assert!(is_open(&[ROOM, ROOM, FULL]) && !is_open(&[ROOM, FULL, FULL]) && !is_open(&[FULL]));
        assert!(is_open(&[FULL, ROOM, ROOM, ROOM, FULL]) && !is_open(&[ROOM, ROOM, FULL, FULL, FULL]));
    }

    #[test]
    fn a_voter_that_does_not_answer_counts_only_if_another_one_lacks_room() {
        assert!(!is_open(&[ROOM, FULL, AWAY]));
        assert!(is_open(&[ROOM, AWAY, AWAY]), "the write waits for a quorum, as without this");
    }
}
