//! Linearizable reads: asks the leader which index a read must have applied, in rounds that many reads share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::digest_exchange::{DigestExchange, from_wire, to_wire};
use super::grants::LeaseGrants;
use super::read_index::ReadIndex;
use crate::clock;
use crate::raft::forwarding::leader::{Leader, Leadership};
use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire::ReadIndexRequest;

/// How many questions the queue holds. Callers wait when it is full.
const QUEUE: usize = 4096;
/// How long a leader may take to answer a round.
const ROUND_TIMEOUT: Duration = Duration::from_millis(1000);
/// The pause between two rounds while no leader answers.
const RETRY: Duration = Duration::from_millis(10);

/// Asks in rounds. A question joins the next round that starts. The round in flight may have begun before a write that
/// the question must see.
#[derive(Clone)]
pub(in crate::raft) struct Reads {
    questions: mpsc::Sender<oneshot::Sender<Option<ReadIndex>>>,
}

impl Reads {
    /// Starts the task that asks.
    pub(in crate::raft) fn start(
        leadership: Arc<Leadership>,
        grants: Arc<LeaseGrants>,
        digests: Arc<DigestExchange>,
    ) -> Self {
        let (questions, mut asked) = mpsc::channel::<oneshot::Sender<Option<ReadIndex>>>(QUEUE);
        tokio::spawn(async move {
            let mut round = Vec::new();
            while asked.recv_many(&mut round, QUEUE).await > 0 {
                let answer = one_round(&leadership, &grants, &digests).await;
                for question in round.drain(..) {
                    // The caller may have run out of time.
                    let _ = question.send(answer);
                }
            }
        });
        Self { questions }
    }

    /// Reads to which no leader answers.
    #[cfg(test)]
    pub(in crate::raft) fn unanswered() -> (Self, mpsc::Receiver<oneshot::Sender<Option<ReadIndex>>>) {
        let (questions, asked) = mpsc::channel(QUEUE);
        (Self { questions }, asked)
    }

    /// Asks in one round. `None` when no leader answered.
    pub(in crate::raft) async fn ask_once(&self) -> Option<ReadIndex> {
        let (question, answer) = oneshot::channel();
        self.questions.send(question).await.ok()?;
        answer.await.ok()?
    }

    /// Asks until a leader answers. `None` when the deadline comes first.
    pub(in crate::raft) async fn ask(&self, by: Instant) -> Option<ReadIndex> {
        tokio::time::timeout_at(by.into(), async {
            loop {
                if let Some(answer) = self.ask_once().await {
                    return answer;
                }
                tokio::time::sleep(RETRY).await;
            }
        })
        .await
        .ok()
    }
}

/// One round. It ends early when the leader changes, because the old one may not answer for long.
async fn one_round(leadership: &Leadership, grants: &LeaseGrants, digests: &DigestExchange) -> Option<ReadIndex> {
    tokio::select! {
        answer = tokio::time::timeout(ROUND_TIMEOUT, ask(leadership, grants, digests)) => answer.ok().flatten(),
        () = leadership.changed_since(leadership.epoch()) => None,
    }
}

async fn ask(leadership: &Leadership, grants: &LeaseGrants, digests: &DigestExchange) -> Option<ReadIndex> {
    match leadership.leader() {
        Leader::Here => grants.answer_here().await,
        Leader::There(id) => ask_peer(leadership, grants, digests, id).await,
        Leader::Unknown => None,
    }
}

async fn ask_peer(
    leadership: &Leadership,
    grants: &LeaseGrants,
    digests: &DigestExchange,
    id: NodeId,
) -> Option<ReadIndex> {
    let mut client = leadership.client(id)?;
    let asked_at_ns = clock::boot_ns();
    let lease_ns = clock::nanos(grants.lease());
    let request = ReadIndexRequest { applied: grants.applied(), lease_ns, digest: digests.newest().map(to_wire) };
    let reply = client.read_index(request).await.ok()?.into_inner();
    if let Some(digest) = reply.digest.as_ref().and_then(from_wire) {
        digests.compare(id, digest);
    }
    let longest = Duration::from_nanos(reply.lease_ns);
    grants.note_longest_lease(longest);
    Some(ReadIndex {
        index: reply.index,
        last_revocation: reply.last_revocation,
        asked_at_ns,
        lease: longest.min(grants.lease()),
    })
}
