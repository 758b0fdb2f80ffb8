//! The comparison of records that do not open: this node asks a peer for the same record.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::digest_check::report_wrong_state;
use crate::policy::KeyName;
use crate::raft::cluster::Cluster;
use crate::raft::forwarding::leader::Leader;
use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire::{RecordReply, RecordRequest};
use crate::store::{Progress, View};

/// How long a peer that is asked waits until it has applied the index in the request.
const CATCH_UP: Duration = Duration::from_secs(1);
/// How long one peer may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How often in a row the records must differ. A record that changes during a comparison may change back.
const ROUNDS: u32 = 2;

/// How this node's record of a version compares with a peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The bytes are equal, so they are what the cluster agreed on.
    Equal {
        /// The node that was asked.
        peer: NodeId,
    },
    /// The bytes differ, so one of the two nodes has lost something that it applied.
    Different {
        /// The node that was asked.
        peer: NodeId,
    },
    /// The record changed during the comparison.
    Changed,
    /// The leader or every peer failed to answer in time.
    Unanswered,
}

impl Cluster {
    /// Compares the record of a version with a peer's. It asks the leader first, and then the other members.
    ///
    /// This node reads its record and waits for a ReadIndex. The peer reads at that index or later. Then this node
    /// waits for a ReadIndex again and reads once more. If its record is the same before and after, it was the same in
    /// between, when the peer read.
    pub async fn compare_record(&self, name: KeyName<'_>, version: u32, by: Instant) -> Comparison {
        let mut compared = Comparison::Unanswered;
        for _ in 0..ROUNDS {
            compared = self.compare_once(name, version, by).await;
            if !matches!(compared, Comparison::Different { .. }) {
                break;
            }
        }
        compared
    }

    /// Notes that this node's keystore is wrong, and stops the node. The next start takes the state of another node.
    pub fn report_wrong_state(&self, reason: &str) {
        report_wrong_state(&self.checkpoint, &self.failure, reason);
    }

    async fn compare_once(&self, name: KeyName<'_>, version: u32, by: Instant) -> Comparison {
        let before = self.view.record(name, version);
        if self.linearize(by).await.is_err() {
            return Comparison::Unanswered;
        }
        let Some((peer, record)) = self.record_of_a_peer(name, version, by).await else {
            return Comparison::Unanswered;
        };
        if self.linearize(by).await.is_err() {
            return Comparison::Unanswered;
        }
        if self.view.record(name, version) != before {
            return Comparison::Changed;
        }
        if record.as_deref() == before.as_deref() { Comparison::Equal { peer } } else { Comparison::Different { peer } }
    }

    async fn record_of_a_peer(&self, name: KeyName<'_>, version: u32, by: Instant) -> Option<(NodeId, Option<Bytes>)> {
        let request = RecordRequest { name: name.as_str().to_owned(), version, at_least: self.seen_index() };
        for peer in self.peers_leader_first() {
            let Some(mut client) = self.leadership.client(peer) else { continue };
            let by = by.min(Instant::now() + ANSWER);
            match tokio::time::timeout_at(by.into(), client.fetch_record(request.clone())).await {
                Ok(Ok(reply)) => return Some((peer, reply.into_inner().record)),
                Ok(Err(error)) => tracing::info!(peer, %error, "a peer did not return its record"),
                Err(_) => tracing::info!(peer, "a peer did not return its record in time"),
            }
        }
        None
    }

    fn peers_leader_first(&self) -> Vec<NodeId> {
        let leader = self.leadership.leader();
        let mut peers = self.leadership.other_members();
        peers.sort_by_key(|id| leader != Leader::There(*id));
        peers
    }
}

/// The answer of this node to a peer. `None` when this node does not apply the index in the request in time.
pub(in crate::raft) async fn answer_record(
    view: &View,
    mut progress: watch::Receiver<Progress>,
    request: &RecordRequest,
) -> Option<RecordReply> {
    let reached = progress.wait_for(|progress| progress.reached(request.at_least));
    let applied = tokio::time::timeout(CATCH_UP, reached).await.ok()?.ok()?.index();
    let record = KeyName::parse(&request.name).ok().and_then(|name| view.record(name, request.version));
    Some(RecordReply { record: record.map(Into::into), applied })
}
