//! Digest marks that differ: which of the nodes is alone with its state, and what it does then.
//!
//! Two nodes at the same index have the same digest, or one of them has broken an invariant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::mpsc;

use crate::raft::failure::Failure;
use crate::raft::forwarding::leader::Leadership;
use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire::MarkRequest;
use crate::state::Digest;
use crate::store::{Checkpoint, Progress};

/// How long a member may take to tell its digest.
const ANSWER: Duration = Duration::from_secs(1);

/// A mark at which this node's state is not the leader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) struct Disagreement {
    index: u64,
    own: Digest,
    leaders: Digest,
}

/// This node's digest at an index, while it is kept.
pub(in crate::raft) fn mark_at(progress: &Progress, index: u64) -> Option<Digest> {
    progress.marks.iter().find(|(marked, _)| *marked == index).map(|(_, digest)| *digest)
}

/// What is wrong between this node's marks and the leader's newest; none when they agree, or this node has not got as
/// far.
pub(in crate::raft) fn disagreement(progress: &Progress, leaders: Option<(u64, Digest)>) -> Option<Disagreement> {
    let (index, leaders) = leaders?;
    let own = mark_at(progress, index).filter(|own| *own != leaders)?;
    Some(Disagreement { index, own, leaders })
}

/// Finds out who is alone. If it is this node, its keystore is marked as damaged and the node stops; if it is the
/// leader, somebody must stop that one. Ends with whoever finds disagreements.
pub(in crate::raft) async fn settle(
    mut found: mpsc::Receiver<Disagreement>,
    leadership: Arc<Leadership>,
    checkpoint: Checkpoint,
    failure: Failure,
) {
    let mut told = 0;
    while let Some(disagreement) = found.recv().await {
        let Disagreement { index, own, leaders } = disagreement;
        let others = marks_of_others(&leadership, index).await;
        if !leader_is_alone(own, leaders, &others) {
            return distrust(
                &checkpoint,
                &failure,
                &format!(
                    "invariant broken: at index {index} the digest of this node's state is {own}, the leader's \
                     {leaders}, and the others tell {others:?}: this node is alone"
                ),
            );
        }
        if told != index {
            told = index;
            tracing::error!(
                index, %own, %leaders, ?others,
                "the leader's state differs from that of every other node that answers: stop the leader and move the \
                 folder 'keystore' out of its data folder, but leave 'log' and 'snapshots' there; it rebuilds the \
                 keystore at its next start"
            );
        }
    }
}

/// Marks the keystore as damaged, so that the next start makes it anew, and stops the node.
pub(in crate::raft) fn distrust(checkpoint: &Checkpoint, failure: &Failure, reason: &str) {
    if let Err(error) = checkpoint.distrust() {
        tracing::error!(%error, "the keystore cannot be marked as damaged");
    }
    failure.report(&format!("{reason}; the keystore is rebuilt at the next start"));
}

/// The digests that the other members tell of an index. Whoever does not answer in time, or no longer keeps that mark,
/// is not among them.
async fn marks_of_others(leadership: &Leadership, index: u64) -> BTreeMap<NodeId, Digest> {
    let asked = leadership.other_members().into_iter().map(async |id| {
        let mut client = leadership.client(id)?;
        let reply = tokio::time::timeout(ANSWER, client.fetch_mark(MarkRequest { index })).await.ok()?.ok()?;
        let digest = reply.into_inner().digest?.as_ref().try_into().ok()?;
        Some((id, Digest::from_bytes(digest)))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Whether more members hold this node's digest than the leader's. With two nodes, or a third that is silent, the
/// leader is believed.
fn leader_is_alone(own: Digest, leaders: Digest, others: &BTreeMap<NodeId, Digest>) -> bool {
    let holding = |digest| others.values().filter(|other| **other == digest).count();
    // This node holds its own; the leader, whether it answers now or not, holds its.
    holding(own) + 1 > holding(leaders).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_alone_only_when_another_node_says_so() {
        let [own, leaders, third] = [1, 2, 3].map(|byte| Digest::from_bytes([byte; 32]));
        let table = [
            (vec![], false),
            (vec![leaders], false),
            (vec![leaders, leaders], false),
            (vec![leaders, third], false),
            (vec![leaders, own], true),
            (vec![own], true),
            (vec![leaders, leaders, own, third], false),
            (vec![leaders, leaders, own, own], true),
        ];
        for (digests, expected) in table {
            let others: BTreeMap<_, _> = (2..).zip(digests.clone()).collect();
            assert_eq!(leader_is_alone(own, leaders, &others), expected, "{digests:?}");
        }
    }
}
