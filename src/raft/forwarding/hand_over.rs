//! Hands leadership to another voter while this node runs on, because the other one can do more for the cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::Instant as _;
use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;

use super::leader::{Leader, Leadership};
use crate::raft::protocol::types::{NodeId, RaftLogId, TypeConfig};

/// The pause between two times that a node hands leadership over, whatever the reasons.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a voter may take to become leader, until this node tries the next one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Hands leadership over, at most once in a while.
pub(in crate::raft) struct HandOver {
    leadership: Arc<Leadership>,
    /// A voter must have answered a heartbeat sent within this time.
    heard_within: Duration,
    last: Mutex<Option<Instant>>,
}

/// Another voter, as the leader sees it.
#[derive(Debug, Clone, Copy)]
struct Voter {
    id: NodeId,
    /// The last entry that it made durable.
    acknowledged: Option<RaftLogId>,
    /// Whether it answered one of the last heartbeats.
    answers: bool,
}

impl HandOver {
    pub(in crate::raft) fn new(leadership: Arc<Leadership>, heartbeat: Duration) -> Self {
        Self { leadership, heard_within: heartbeat * 4, last: Mutex::default() }
    }

    /// Hands leadership to a voter that is `able`, and has made the entry `at_least` durable. Does nothing if this node does not lead, if
    /// it did this a moment ago, or if the other voters could not elect a leader without it.
    pub(in crate::raft) async fn run(&self, at_least: Option<RaftLogId>, able: impl Fn(NodeId) -> bool, why: &str) {
        let mut candidates = self.candidates(at_least);
        candidates.retain(|candidate| able(*candidate));
        if candidates.is_empty() || !self.is_time() {
            return;
        }
        for candidate in candidates {
            let name = self.leadership.name_of(candidate);
            tracing::warn!(to = name, why, "this node hands leadership over");
            let goes_on = self.leadership.begin_to_hand_over(candidate).await;
            if !goes_on || self.is_over().await {
                return;
            }
            // openraft does nothing else as leader until another node leads. So this node does not leave it at one attempt. The
            // other one may lead by now: this node hears of that once its vote for it is durable.
            tracing::warn!(
                to = name,
                "this node has not heard in time that the other one leads; while its own disk stalls, it cannot hear of that"
            );
        }
    }

    fn is_time(&self) -> bool {
        let mut last = self.last.lock();
        let is_time = last.is_none_or(|last| last.elapsed() >= PAUSE);
        if is_time {
            *last = Some(Instant::now());
        }
        is_time
    }

    /// Whether another node leads, or a new term has begun, within the patience.
    async fn is_over(&self) -> bool {
        let led = self.leadership.epoch();
        tokio::time::timeout(PATIENCE, self.leadership.changed_since(led)).await.is_ok()
    }

    fn candidates(&self, at_least: Option<RaftLogId>) -> Vec<NodeId> {
        if self.leadership.leader() != Leader::Here {
            return Vec::new();
        }
        let metrics = self.leadership.metrics();
        let metrics = metrics.now();
        let (Some(replication), Some(heartbeats)) = (&metrics.replication, &metrics.heartbeat) else {
            return Vec::new();
        };
        let voters: Vec<_> = metrics.membership_config.voter_ids().collect();
        // Such a node neither votes nor leads.
        let in_doubt = self.leadership.links().contacts().in_doubt();
        let others = voters.iter().filter(|id| **id != metrics.id).map(|id| Voter {
            id: *id,
            acknowledged: replication.get(id).copied().flatten(),
            answers: !in_doubt.contains(id)
                && heartbeats
                    .get(id)
                    .copied()
                    .flatten()
                    .is_some_and(|sent| is_recent(sent.into_inner(), self.heard_within)),
        });
        candidates(others.collect(), voters.len(), at_least)
    }
}

fn is_recent(sent: InstantOf<TypeConfig>, within: Duration) -> bool {
    sent.elapsed() <= within
}

/// The voters that can take over, the best one first. Empty unless the others are a quorum that answers: the votes of
/// this node may not come.
fn candidates(others: Vec<Voter>, voters: usize, at_least: Option<RaftLogId>) -> Vec<NodeId> {
    let answering: Vec<_> = others.into_iter().filter(|voter| voter.answers).collect();
    if answering.len() <= voters / 2 {
        return Vec::new();
    }
    let mut able: Vec<_> =
        answering.into_iter().filter(|voter| voter.acknowledged.is_some() && voter.acknowledged >= at_least).collect();
    able.sort_by_key(|voter| std::cmp::Reverse(voter.acknowledged));
    able.into_iter().map(|voter| voter.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::protocol::types::LeaderId;

    fn at(index: u64) -> Option<RaftLogId> {
        Some(RaftLogId::new(LeaderId { term: 1, node_id: 1 }, index))
    }

    fn voter(id: NodeId, acknowledged: u64, answers: bool) -> Voter {
        Voter { id, acknowledged: at(acknowledged), answers }
    }

    #[test]
    fn leadership_goes_to_those_that_have_the_entry_the_furthest_first() {
        let of = |two, three| candidates(vec![voter(2, two, true), voter(3, three, true)], 3, at(7));
        assert_eq!(of(7, 9), [3, 2]);
        assert_eq!(of(7, 6), [2]);
        assert!(of(6, 6).is_empty(), "their disks stall, too, or they are far behind");
    }

    #[test]
    fn leadership_stays_where_the_others_cannot_elect_a_leader_alone() {
        assert!(candidates(vec![voter(2, 9, true), voter(3, 9, false)], 3, at(7)).is_empty());
        assert!(candidates(vec![voter(2, 9, true)], 2, at(7)).is_empty(), "one of two needs the vote of the other");
        let five = vec![voter(2, 9, true), voter(3, 9, true), voter(4, 7, true), voter(5, 9, false)];
        assert_eq!(candidates(five, 5, at(9)), [2, 3]);
    }
}
