//! Linearizable reads: the index that a read must have applied, asked of the leader in rounds that many share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::raft::ReadPolicy;
use tokio::sync::{mpsc, oneshot, watch};

use super::leader::{Leader, Leadership};
use super::types::{NodeId, Raft};
use super::wire::ReadIndexRequest;
use crate::clock;
use crate::state::Digest;
use crate::store::Progress;

/// Reads that wait for a round; more wait to be queued.
const QUEUE: usize = 4096;
const ROUND_TIMEOUT: Duration = Duration::from_millis(1000);
/// Between two rounds while no leader answers.
const RETRY: Duration = Duration::from_millis(10);

/// What the leader answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadIndex {
    /// What must be applied before the read.
    pub index: u64,
    /// The index of the last revocation at or before it; 0 when there was none.
    pub last_revocation: u64,
    /// The leader's newest digest mark.
    pub mark: Option<(u64, Digest)>,
    /// When the question was sent, on `CLOCK_BOOTTIME`, in nanoseconds.
    pub asked_at_ns: i64,
}

/// Asks in rounds. A question joins the next round to start, never one in flight: that one may be too old for it.
#[derive(Clone)]
pub(super) struct Reads {
    questions: mpsc::Sender<oneshot::Sender<Option<ReadIndex>>>,
}

impl Reads {
    /// Starts the task that asks.
    pub(super) fn start(leadership: Arc<Leadership>, progress: watch::Receiver<Progress>) -> Self {
        let (questions, mut asked) = mpsc::channel::<oneshot::Sender<Option<ReadIndex>>>(QUEUE);
        tokio::spawn(async move {
            let mut round = Vec::new();
            while asked.recv_many(&mut round, QUEUE).await > 0 {
                let answer = one_round(&leadership, &progress).await;
                for question in round.drain(..) {
                    // Whoever asked may have run out of time.
                    let _ = question.send(answer);
                }
            }
        });
        Self { questions }
    }

    /// Reads whose questions nobody answers.
    #[cfg(test)]
    pub(super) fn unanswered() -> (Self, mpsc::Receiver<oneshot::Sender<Option<ReadIndex>>>) {
        let (questions, asked) = mpsc::channel(QUEUE);
        (Self { questions }, asked)
    }

    /// One round; none when no leader answered it.
    pub(super) async fn ask_once(&self) -> Option<ReadIndex> {
        let (question, answer) = oneshot::channel();
        self.questions.send(question).await.ok()?;
        answer.await.ok()?
    }

    /// Rounds until one is answered; none when the deadline comes first.
    pub(super) async fn ask(&self, by: Instant) -> Option<ReadIndex> {
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

/// The answer of this node, if it leads a quorum now.
pub(super) async fn answer_read_index(raft: &Raft, mut progress: watch::Receiver<Progress>) -> Option<ReadIndex> {
    let asked_at_ns = clock::boot_ns();
    let (read_log_id, _) = raft.get_read_log_id(ReadPolicy::ReadIndex).await.ok()?;
    let index = read_log_id.index();
    // What was revoked is known once everything up to the index is applied here.
    let applied = progress.wait_for(|progress| progress.reached(index)).await.ok()?.clone();
    Some(ReadIndex {
        index,
        last_revocation: applied.last_revocation,
        mark: applied.marks.last().copied(),
        asked_at_ns,
    })
}

/// A round ends early when somebody else leads: whoever was asked may be silent for long.
async fn one_round(leadership: &Leadership, progress: &watch::Receiver<Progress>) -> Option<ReadIndex> {
    tokio::select! {
        answer = tokio::time::timeout(ROUND_TIMEOUT, ask(leadership, progress)) => answer.ok().flatten(),
        () = leadership.changed_since(leadership.epoch()) => None,
    }
}

async fn ask(leadership: &Leadership, progress: &watch::Receiver<Progress>) -> Option<ReadIndex> {
    let asked_at_ns = clock::boot_ns();
    let answer = match leadership.leader() {
        Leader::Here => answer_read_index(leadership.raft(), progress.clone()).await?,
        Leader::There(id) => ask_peer(leadership, id).await?,
        Leader::Unknown => return None,
    };
    Some(ReadIndex { asked_at_ns, ..answer })
}

async fn ask_peer(leadership: &Leadership, id: NodeId) -> Option<ReadIndex> {
    let mut client = leadership.client(id)?;
    let reply = client.read_index(ReadIndexRequest {}).await.ok()?.into_inner();
    let digest = reply.mark_digest.as_ref().try_into().ok().map(Digest::from_bytes);
    Some(ReadIndex {
        index: reply.index,
        last_revocation: reply.last_revocation,
        mark: digest.filter(|_| reply.mark_index > 0).map(|digest| (reply.mark_index, digest)),
        asked_at_ns: 0,
    })
}
