//! Answers the heartbeats of a leader, without waiting for the disk.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult};
use tokio::sync::oneshot;
use tonic::{Status, Streaming};

use super::connection::ConnectedPeer;
use super::statuses::{malformed, stopped};
use crate::clock;
use crate::disk::DiskRoom;
use crate::raft::adapter::metrics::Raft;
use crate::raft::doubt::log_doubt::LogDoubt;
use crate::raft::leases::held::HeldLease;
use crate::raft::peers::links::Links;
use crate::raft::protocol::rpc::{heartbeat_request_from, stream_reply_of};
use crate::raft::protocol::types::{RaftLogId, TypeConfig};
use crate::raft::protocol::wire::{HeartbeatReply, HeartbeatRequest};

/// What answers the heartbeats of one node.
#[derive(Clone)]
pub(super) struct HeartbeatAnswers {
    pub raft: Raft,
    pub links: Arc<Links>,
    pub lease: Arc<HeldLease>,
    pub doubt: Arc<LogDoubt>,
    pub room: Arc<DiskRoom>,
    pub sender: ConnectedPeer,
}

impl HeartbeatAnswers {
    /// Answers each heartbeat before it takes the next one.
    pub(super) fn stream(
        self,
        heartbeats: Streaming<HeartbeatRequest>,
    ) -> impl Stream<Item = Result<HeartbeatReply, Status>> + Send {
        heartbeats.then(move |heartbeat| {
            let answers = self.clone();
            async move { answers.answer(heartbeat?).await }
        })
    }

    async fn answer(&self, message: HeartbeatRequest) -> Result<HeartbeatReply, Status> {
        // The membership may have changed since the stream began.
        self.links.sender(self.sender.key, &self.sender.preface)?;
        let number = message.number;
        let heartbeat = heartbeat_request_from(message).ok_or_else(malformed)?;
        self.doubt.check_leader(&heartbeat.vote)?;
        let (term, previous) = (heartbeat.vote.leader_id.term, heartbeat.prev_log_id);
        // Heartbeats come often enough to see a jump of a clock soon, and wake this node anyway.
        self.lease.look_at_clocks();
        let result = result_of(take(&self.raft, heartbeat).await?, previous);
        let contacts = self.links.contacts();
        if !matches!(result, Err(StreamAppendError::HigherVote(_))) {
            contacts.follows(term);
            contacts.hears_leader(clock::boot_ns());
        }
        match &result {
            Ok(_) => contacts.entries_follow(),
            Err(StreamAppendError::Conflict(at)) => contacts.entry_missing(at.index),
            Err(StreamAppendError::HigherVote(_)) => {}
        }
        let has_room = !self.room.lacks_room();
        Ok(HeartbeatReply { number, reply: Some(stream_reply_of(result)), has_room })
    }
}

/// Has openraft take a heartbeat, and returns its answer.
///
/// openraft answers an append only once everything that it accepted before is durable, although a heartbeat brings no
/// entries. A slow disk would then look like a dead node to the leader. The leader learns from the answer that this node
/// follows it at this moment. Nothing has to be durable for that: what this node promised to another one was durable
/// before that one heard of it.
///
/// # Errors
/// Consensus has ended.
async fn take(
    raft: &Raft,
    heartbeat: AppendEntriesRequest<TypeConfig>,
) -> Result<AppendEntriesResponse<TypeConfig>, Status> {
    let (vote, (seen, vote_after)) = (heartbeat.vote, oneshot::channel());
    let mut taken = std::pin::pin!(raft.append_entries(heartbeat));
    let look = raft.external_request(move |state| {
        // Nobody waits any more if openraft refused the heartbeat.
        let _ = seen.send(*state.vote_ref());
    });
    let after = async {
        look.await.ok()?;
        vote_after.await.ok()
    };
    tokio::select! {
        // openraft takes one message after the other, and sends a refusal before it takes the next message. So the heartbeat
        // goes first, and its refusal counts first.
        biased;
        response = &mut taken => return response.map_err(|error| stopped(&error)),
        after = after => if after == Some(vote) {
            return Ok(AppendEntriesResponse::Success);
        },
    }
    taken.await.map_err(|error| stopped(&error))
}

fn result_of(
    response: AppendEntriesResponse<TypeConfig>,
    previous: Option<RaftLogId>,
) -> StreamAppendResult<TypeConfig> {
    match (response, previous) {
        (AppendEntriesResponse::HigherVote(vote), _) => Err(StreamAppendError::HigherVote(vote)),
        (AppendEntriesResponse::Conflict, Some(previous)) => Err(StreamAppendError::Conflict(previous)),
        (
            AppendEntriesResponse::Conflict | AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_),
            previous,
        ) => Ok(previous),
    }
}
