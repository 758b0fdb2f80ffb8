//! The digest check: finds out which node is alone when the digests of two nodes differ, and stops that one.
//!
//! Two nodes at the same index have the same digest, or one of them has broken an invariant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{mpsc, watch};

use crate::raft::failure::Failure;
use crate::raft::forwarding::leader::Leadership;
use crate::raft::leases::read_index::LeaderDigest;
use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire::DigestRequest;
use crate::state::Digest;
use crate::store::{KeystoreCheckpoint, Progress};

/// How long a member may take to answer with its digest.
const ANSWER: Duration = Duration::from_secs(1);

/// Two digests at one index that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Disagreement {
    index: u64,
    own: Digest,
    leaders: Digest,
}

/// The digest of this node's state at an index. `None` when the node does not keep one for that index.
pub(in crate::raft) fn digest_at(progress: &Progress, index: u64) -> Option<Digest> {
    progress.digests.iter().find(|(marked, _)| *marked == index).map(|(_, digest)| *digest)
}

/// Compares each digest of the leader with this node's. If they differ and this node is alone with its digest, it marks
/// its keystore as damaged and stops. If the leader is alone, the log says that a person must stop the leader.
pub(in crate::raft) async fn check(
    mut leader_digests: mpsc::Receiver<LeaderDigest>,
    progress: watch::Receiver<Progress>,
    leadership: Arc<Leadership>,
    checkpoint: KeystoreCheckpoint,
    failure: Failure,
) {
    let mut logged_at = 0;
    while let Some(leader_digest) = leader_digests.recv().await {
        let Some(disagreement) = disagreement(&progress.borrow(), leader_digest) else { continue };
        let Disagreement { index, own, leaders } = disagreement;
        let others = digests_of_others(&leadership, index).await;
        if !leader_is_alone(own, leaders, &others) {
            return report_damage(
                &checkpoint,
                &failure,
                &format!(
                    "invariant broken: at index {index} the digest of this node's state is {own}, but the leader's is \
                     {leaders} (other nodes: {}): the keystore of this node is damaged",
                    listed(&others)
                ),
            );
        }
        if logged_at != index {
            logged_at = index;
            tracing::error!(
                index, %own, %leaders, others = listed(&others),
                "the leader's state differs from that of every other node that answers: stop the leader and move the \
                 folder 'keystore' out of its data folder, but leave 'log' and 'snapshots' there; it rebuilds the \
                 keystore at its next start"
            );
        }
    }
}

/// Marks the keystore as damaged and stops the node. The next start rebuilds the keystore.
pub(in crate::raft) fn report_damage(checkpoint: &KeystoreCheckpoint, failure: &Failure, reason: &str) {
    let next = match checkpoint.mark_damaged() {
        Ok(()) => "the next start rebuilds the keystore".to_owned(),
        Err(error) => format!(
            "this node cannot mark its keystore as damaged ({error}): before the next start, move the folder 'keystore' \
             out of its data folder, but leave 'log' and 'snapshots' there"
        ),
    };
    failure.report(&format!("{reason}; {next}"));
}

/// How this node's digest differs from the leader's. `None` when they agree, or when this node keeps no digest of that
/// index, because it has not applied as much yet or applied it long ago.
fn disagreement(progress: &Progress, leader: LeaderDigest) -> Option<Disagreement> {
    let LeaderDigest { index, digest: leaders } = leader;
    let own = digest_at(progress, index).filter(|own| *own != leaders)?;
    Some(Disagreement { index, own, leaders })
}

/// The digests at an index of the other members that answer in time and still keep one.
async fn digests_of_others(leadership: &Leadership, index: u64) -> BTreeMap<NodeId, Digest> {
    let asked = leadership.other_members().into_iter().map(async |id| {
        let mut client = leadership.client(id)?;
        let reply = tokio::time::timeout(ANSWER, client.fetch_mark(DigestRequest { index })).await.ok()?.ok()?;
        let digest = reply.into_inner().digest?.as_ref().try_into().ok()?;
        Some((id, Digest::from_bytes(digest)))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// The digests of other members, for a person to read.
fn listed(others: &BTreeMap<NodeId, Digest>) -> String {
    let listed: Vec<_> = others.iter().map(|(id, digest)| format!("node {id} has {digest}")).collect();
    if listed.is_empty() { "no answer".to_owned() } else { listed.join(", ") }
}

/// Whether more members have this node's digest than the leader's. With two nodes, or while the third is silent, this
/// node believes the leader.
fn leader_is_alone(own: Digest, leaders: Digest, others: &BTreeMap<NodeId, Digest>) -> bool {
    let with = |digest| others.values().filter(|other| **other == digest).count();
    // This node has its own digest. The leader has the leader's, whether it answers now or not.
    with(own) + 1 > with(leaders).max(1)
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
