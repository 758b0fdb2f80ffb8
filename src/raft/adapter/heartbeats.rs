//! The leader's heartbeats to one peer, on one stream that stays open from each to the next.

use futures::StreamExt;
use openraft::raft::AppendEntriesRequest;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::raft::peers::links::NodeClient;
use crate::raft::protocol::types::TypeConfig;
use crate::raft::protocol::{rpc, wire};

/// Heartbeats on their way to the connection. The next one is worth more than those that wait.
const QUEUE: usize = 1;

/// The stream to one peer. It opens with the first heartbeat, and again after it has failed.
#[derive(Default)]
pub(super) struct HeartbeatStream {
    open: Option<OpenStream>,
    /// The number of the last heartbeat.
    number: u64,
}

struct OpenStream {
    requests: mpsc::Sender<wire::HeartbeatRequest>,
    replies: Streaming<wire::HeartbeatReply>,
}

impl HeartbeatStream {
    /// Sends a heartbeat, and waits for the answer to it, and for whether the peer has room. The caller may give up at any time, and the stream stays open.
    ///
    /// # Errors
    /// The stream could not be opened, or it ended.
    pub(super) async fn send(
        &mut self,
        client: NodeClient,
        request: &AppendEntriesRequest<TypeConfig>,
    ) -> Result<(wire::AppendReply, bool), Status> {
        self.number += 1;
        let request = rpc::heartbeat_request(self.number, request);
        let answered = match &mut self.open {
            Some(stream) => stream.send(request).await,
            None => match open(client).await {
                Ok(stream) => self.open.insert(stream).send(request).await,
                Err(status) => Err(status),
            },
        };
        if answered.is_err() {
            self.open = None;
        }
        answered
    }
}

impl OpenStream {
    async fn send(&mut self, request: wire::HeartbeatRequest) -> Result<(wire::AppendReply, bool), Status> {
        let number = request.number;
        self.requests.send(request).await.map_err(|_| ended())?;
        while let Some(answer) = self.replies.next().await.transpose()? {
            // An earlier one answers a heartbeat on which the caller gave up.
            if answer.number == number {
                let reply = answer.reply.ok_or_else(|| Status::invalid_argument("a malformed reply"))?;
                return Ok((reply, answer.has_room));
            }
        }
        Err(ended())
    }
}

async fn open(mut client: NodeClient) -> Result<OpenStream, Status> {
    let (requests, queued) = mpsc::channel(QUEUE);
    let replies = client.heartbeat(ReceiverStream::new(queued)).await?.into_inner();
    Ok(OpenStream { requests, replies })
}

fn ended() -> Status {
    Status::unavailable("the stream of heartbeats has ended")
}
