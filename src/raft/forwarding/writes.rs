//! Sends the writes of this node to the leader, over one hop at most, and again until this node has applied them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::leader::{Leader, Leadership};
use super::proposals::{NotTaken, propose};
use super::room_gate::RoomGate;
use crate::raft::adapter::pending::{Pending, Refused};
use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire::Proposals;
use crate::state::{EncodedCommand, RecordedOutcome, RequestId};
use crate::store::View;

/// How many writes the queue holds. Callers wait when it is full.
const QUEUE: usize = 8192;
/// How many writes the node sends together at most.
const BATCH: usize = 512;
/// The pause before the node sends a write again that the leader did not take.
const BACK_OFF: Duration = Duration::from_millis(5);

/// The same pause while the cluster lacks room for the write.
const NO_ROOM: Duration = Duration::from_millis(250);

/// Why a write has no outcome to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// The node never sent it, so nothing was written.
    NoLeader,
    /// The disks of a quorum lack room for it, so nothing was written.
    NoRoom,
    /// The node sent it, but its outcome did not come before the deadline. It may or may not take effect.
    OutcomeUnknown,
    /// It took effect, but the deadline came while a member may still serve without it.
    NotEverywhere,
}

/// Takes writes from this node's operations. All clones share one queue.
#[derive(Clone)]
pub(in crate::raft) struct WriteQueue {
    pending: Pending,
    queue: mpsc::Sender<Outgoing>,
}

#[derive(Clone)]
struct Outgoing {
    id: RequestId,
    command: Bytes,
}

impl WriteQueue {
    /// Starts the task that sends.
    pub(in crate::raft) fn start(
        leadership: Arc<Leadership>,
        gate: Arc<RoomGate>,
        view: Arc<View>,
        pending: Pending,
    ) -> Self {
        let (queue, outgoing) = mpsc::channel(QUEUE);
        let forwarder = Forwarder { leadership, gate, view, pending: pending.clone(), queue: queue.downgrade() };
        tokio::spawn(forwarder.run(outgoing));
        Self { pending, queue }
    }

    /// Sends a command and waits until it is applied on this node.
    ///
    /// # Errors
    /// The deadline came first, or the cluster lacks room for the command.
    pub(in crate::raft) async fn write(
        &self,
        command: &EncodedCommand,
        by: Instant,
    ) -> Result<RecordedOutcome, WriteError> {
        let mut waiting = self.pending.wait_for(command.request_id());
        let outgoing = Outgoing { id: command.request_id(), command: command.bytes().clone() };
        let applied = async {
            self.queue.send(outgoing).await.ok()?;
            (&mut waiting.answer).await.ok()
        };
        match tokio::time::timeout_at(by.into(), applied).await {
            Ok(Some(Ok(outcome))) => Ok(outcome),
            Ok(Some(Err(Refused))) => Err(WriteError::NoRoom),
            Ok(None) | Err(_) => Err(if waiting.give_up() { WriteError::OutcomeUnknown } else { WriteError::NoLeader }),
        }
    }
}

/// Sends the queued writes to the leader.
struct Forwarder {
    leadership: Arc<Leadership>,
    gate: Arc<RoomGate>,
    view: Arc<View>,
    pending: Pending,
    queue: mpsc::WeakSender<Outgoing>,
}

impl Forwarder {
    async fn run(self, mut outgoing: mpsc::Receiver<Outgoing>) {
        let mut stream: Option<LeaderStream> = None;
        let mut batch = Vec::with_capacity(BATCH);
        while outgoing.recv_many(&mut batch, BATCH).await > 0 {
            let sending = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            let epoch = self.leadership.epoch();
            match epoch.0 {
                Leader::Here => self.propose_here(sending),
                Leader::There(id) => {
                    let usable = stream.take().filter(|stream| stream.epoch == epoch && !stream.requests.is_closed());
                    let open = usable.or_else(|| self.open(id, epoch));
                    stream = self.send(open, sending).await;
                }
                Leader::Unknown => self.send_again(self.still_waited_for(sending)),
            }
        }
    }

    fn propose_here(&self, sending: Vec<Outgoing>) {
        let sending = self.wanted(sending);
        let (raft, level, retry) = (self.leadership.raft().clone(), self.view.level(), self.retry());
        let has_room = self.gate.is_open();
        tokio::spawn(async move {
            let commands = sending.iter().map(|write| write.command.clone()).collect();
            let not_taken = propose(&raft, has_room, level, commands).await;
            retry.not_taken(&sending, &not_taken);
        });
    }

    /// Sends over an open stream. If it breaks, its watcher sends again what it held.
    async fn send(&self, stream: Option<LeaderStream>, sending: Vec<Outgoing>) -> Option<LeaderStream> {
        let sending = self.wanted(sending);
        let Some(mut stream) = stream else {
            self.send_again(sending);
            return None;
        };
        stream.batch += 1;
        let commands = sending.iter().map(|write| write.command.clone()).collect();
        if let Err(unwatched) = stream.in_flight.insert(stream.batch, sending) {
            self.send_again(unwatched);
            return None;
        }
        let sent = tokio::select! {
            sent = stream.requests.send(Proposals { batch: stream.batch, commands }) => sent.is_ok(),
            // A leader that was replaced may neither take anything nor close the stream.
            () = self.leadership.changed_since(stream.epoch) => false,
        };
        if sent {
            return Some(stream);
        }
        // The stream broke. Its watcher may have removed the batch already, and then sends it again.
        self.send_again(stream.in_flight.remove(stream.batch));
        None
    }

    /// The writes that a caller still waits for. From now on they count as sent.
    fn wanted(&self, writes: Vec<Outgoing>) -> Vec<Outgoing> {
        writes.into_iter().filter(|write| self.pending.mark_sent(write.id)).collect()
    }

    fn still_waited_for(&self, writes: Vec<Outgoing>) -> Vec<Outgoing> {
        writes.into_iter().filter(|write| self.pending.is_waited_for(write.id)).collect()
    }

    fn send_again(&self, writes: Vec<Outgoing>) {
        self.retry().again(writes);
    }

    fn retry(&self) -> Retry {
        Retry { queue: self.queue.clone(), pending: self.pending.clone() }
    }

    /// Opens a stream to the leader and watches it until it breaks or the leader or term changes.
    fn open(&self, id: NodeId, epoch: (Leader, u64)) -> Option<LeaderStream> {
        let mut client = self.leadership.client(id)?;
        let (requests, receiver) = mpsc::channel(64);
        let in_flight = Arc::new(InFlight::default());
        let watched = Arc::clone(&in_flight);
        let (retry, leadership) = (self.retry(), Arc::clone(&self.leadership));
        tokio::spawn(async move {
            let replies = async {
                let mut replies = client.propose(ReceiverStream::new(receiver)).await.ok()?.into_inner();
                while let Some(Ok(reply)) = replies.next().await {
                    let batch = watched.remove(reply.batch);
                    retry.not_taken(&batch, &NotTaken { rejected: reply.rejected, no_room: reply.no_room });
                }
                Some(())
            };
            tokio::select! {
                _ = replies => {}
                () = leadership.changed_since(epoch) => {}
            }
            retry.again(watched.close());
        });
        Some(LeaderStream { epoch, batch: 0, requests, in_flight })
    }
}

/// Batches that this node sent to the leader, without an answer yet. `None` once the watcher of the stream has ended.
struct InFlight(parking_lot::Mutex<Option<HashMap<u64, Vec<Outgoing>>>>);

impl Default for InFlight {
    fn default() -> Self {
        Self(parking_lot::Mutex::new(Some(HashMap::new())))
    }
}

impl InFlight {
    /// Adds a batch. Returns it when the watcher has ended, because then nothing would send it again.
    fn insert(&self, number: u64, batch: Vec<Outgoing>) -> Result<(), Vec<Outgoing>> {
        match &mut *self.0.lock() {
            Some(batches) => {
                batches.insert(number, batch);
                Ok(())
            }
            None => Err(batch),
        }
    }

    fn remove(&self, number: u64) -> Vec<Outgoing> {
        self.0.lock().as_mut().and_then(|batches| batches.remove(&number)).unwrap_or_default()
    }

    fn close(&self) -> Vec<Outgoing> {
        self.0.lock().take().into_iter().flat_map(HashMap::into_values).flatten().collect()
    }
}

/// A stream of proposals to one leader.
struct LeaderStream {
    epoch: (Leader, u64),
    batch: u64,
    requests: mpsc::Sender<Proposals>,
    in_flight: Arc<InFlight>,
}

/// Puts writes back into the queue after [`BACK_OFF`].
#[derive(Clone)]
struct Retry {
    queue: mpsc::WeakSender<Outgoing>,
    pending: Pending,
}

impl Retry {
    /// Sends again what the leader did not take of a batch. Those for which the cluster lacks room are refused, unless an
    /// earlier leader may have taken them.
    fn not_taken(&self, batch: &[Outgoing], not_taken: &NotTaken) {
        let at = |position: &u32| batch.get(*position as usize).cloned();
        let rejected = not_taken.rejected.iter().filter_map(at);
        let doubtful = not_taken.no_room.iter().filter_map(at).filter(|write| !self.pending.refuse(write.id));
        self.again_after(NO_ROOM, doubtful.collect());
        self.again(rejected.collect());
    }

    fn again(&self, writes: Vec<Outgoing>) {
        self.again_after(BACK_OFF, writes);
    }

    fn again_after(&self, pause: Duration, writes: Vec<Outgoing>) {
        if writes.is_empty() {
            return;
        }
        let queue = self.queue.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            for write in writes {
                let Some(queue) = queue.upgrade() else { return };
                if queue.send(write).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(byte: u8) -> Vec<Outgoing> {
        vec![Outgoing { id: RequestId([byte; 16]), command: Bytes::new() }]
    }

    #[test]
    fn a_stream_without_a_watcher_takes_no_batch() {
        let in_flight = InFlight::default();
        assert!(in_flight.insert(1, batch(1)).is_ok() && in_flight.insert(2, batch(2)).is_ok());
        assert_eq!(in_flight.remove(1).len(), 1);
        assert!(in_flight.remove(1).is_empty());
        assert_eq!(in_flight.close().len(), 1);
        let given_back = in_flight.insert(3, batch(3)).expect_err("its watcher has ended");
        assert_eq!(given_back[0].id, RequestId([3; 16]));
        assert!(in_flight.remove(3).is_empty() && in_flight.close().is_empty());
    }
}
