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

/// Who waits for the answer to a question.
type Question = oneshot::Sender<Option<ReadIndex>>;

/// Asks in rounds. A question joins the next round that starts. The round in flight may have begun before a write that
/// the question must see.
#[derive(Clone)]
pub(in crate::raft) struct Reads {
    questions: mpsc::Sender<Question>,
    /// Questions that may wait for the leader's next heartbeat. They have rounds of their own, so that no other question
    /// waits with them.
    patient: mpsc::Sender<Question>,
}

/// Who asks.
#[derive(Clone)]
struct Asker {
    leadership: Arc<Leadership>,
    grants: Arc<LeaseGrants>,
    digests: Arc<DigestExchange>,
    may_wait: bool,
}

impl Reads {
    /// Starts the tasks that ask.
    pub(in crate::raft) fn start(
        leadership: Arc<Leadership>,
        grants: Arc<LeaseGrants>,
        digests: Arc<DigestExchange>,
    ) -> Self {
        let asker = Asker { leadership, grants, digests, may_wait: false };
        Self { questions: asker.clone().start(), patient: Asker { may_wait: true, ..asker }.start() }
    }

    /// Reads to which no leader answers.
    #[cfg(test)]
    pub(in crate::raft) fn unanswered() -> (Self, mpsc::Receiver<Question>) {
        let (questions, asked) = mpsc::channel(QUEUE);
        (Self { patient: questions.clone(), questions }, asked)
    }

    /// Asks in one round. `None` when no leader answered.
    pub(in crate::raft) async fn ask_once(&self) -> Option<ReadIndex> {
        ask_through(&self.questions).await
    }

    /// Asks once, and lets the leader wait for its next heartbeat. That saves the cluster a heartbeat to each node.
    pub(in crate::raft) async fn ask_patiently(&self) -> Option<ReadIndex> {
        ask_through(&self.patient).await
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

async fn ask_through(questions: &mpsc::Sender<Question>) -> Option<ReadIndex> {
    let (question, answer) = oneshot::channel();
    questions.send(question).await.ok()?;
    answer.await.ok()?
}

impl Asker {
    /// Starts the task that asks in rounds.
    fn start(self) -> mpsc::Sender<Question> {
        let (questions, mut asked) = mpsc::channel::<Question>(QUEUE);
        tokio::spawn(async move {
            let mut round = Vec::new();
            while asked.recv_many(&mut round, QUEUE).await > 0 {
                let answer = self.one_round().await;
                for question in round.drain(..) {
                    // The caller may have run out of time.
                    let _ = question.send(answer);
                }
            }
        });
        questions
    }

    /// One round. It ends early when the leader changes, because the old one may not answer for long.
    async fn one_round(&self) -> Option<ReadIndex> {
        tokio::select! {
            answer = tokio::time::timeout(ROUND_TIMEOUT, self.ask()) => answer.ok().flatten(),
            () = self.leadership.changed_since(self.leadership.epoch()) => None,
        }
    }

    async fn ask(&self) -> Option<ReadIndex> {
        match self.leadership.leader() {
            Leader::Here => self.grants.answer_here(self.may_wait).await,
            Leader::There(id) => self.ask_peer(id).await,
            Leader::Unknown => None,
        }
    }

    async fn ask_peer(&self, id: NodeId) -> Option<ReadIndex> {
        let mut client = self.leadership.client(id)?;
        let asked_at_ns = clock::boot_ns();
        let request = ReadIndexRequest {
            applied: self.grants.applied(),
            lease_ns: clock::nanos(self.grants.lease()),
            digest: self.digests.newest().map(to_wire),
            may_wait: self.may_wait,
        };
        let reply = client.read_index(request).await.ok()?.into_inner();
        if let Some(digest) = reply.digest.as_ref().and_then(from_wire) {
            self.digests.compare(id, digest);
        }
        let longest = Duration::from_nanos(reply.lease_ns);
        self.grants.note_longest_lease(longest);
        Some(ReadIndex {
            index: reply.index,
            last_revocation: reply.last_revocation,
            asked_at_ns,
            lease: longest.min(self.grants.lease()),
        })
    }
}
