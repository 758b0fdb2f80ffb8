//! How far a node in doubt must come: a leader's answer to its question.

use openraft::ServerState;
use tonic::Status;

use crate::raft::adapter::metrics::Raft;
use crate::raft::peers::links::Links;
use crate::raft::protocol::types::{NodeId, RaftVote, to_store_vote};
use crate::raft::protocol::wire::{CatchUpReply, CatchUpRequest};
use crate::store::Vote;

/// How far a node in doubt must come, as the leader with this vote said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) struct Bar {
    /// The leader's vote.
    pub vote: Vote,
    /// The index of the last entry that the leader had.
    pub index: u64,
}

impl Bar {
    /// What a leader answered. `None` if it is malformed.
    pub(super) fn from_wire(reply: &CatchUpReply) -> Option<Self> {
        Some(Self { vote: to_store_vote(&RaftVote::from(reply.vote?)), index: reply.index })
    }
}

/// Answers a peer that is in doubt, or was until now, if this node leads.
///
/// The log of a peer in doubt ends before what the peer acknowledged. openraft takes that for an error unless it was
/// announced, so this announces it before the peer takes the first entry.
///
/// # Errors
/// This node does not lead, or consensus has ended.
pub(in crate::raft) async fn answer(
    raft: &Raft,
    links: &Links,
    from: NodeId,
    request: CatchUpRequest,
) -> Result<CatchUpReply, Status> {
    let stopped = |error: &dyn std::fmt::Display| Status::unavailable(format!("the node is stopping: {error}"));
    let not_leading = || Status::unavailable("this node does not lead");
    let allowed = raft.trigger().allow_next_revert(&from, !request.done).await.map_err(|error| stopped(&error))?;
    allowed.map_err(|_| not_leading())?;
    if !request.done {
        links.contacts().acknowledged(from).forget();
    }
    // At once, because this node must not hand leadership to a node in doubt.
    links.note_doubt(from, !request.done);
    let state = raft.with_raft_state(|state| {
        let last = state.log_ids.last().map_or(0, |last| last.index);
        (state.server_state == ServerState::Leader)
            .then(|| CatchUpReply { vote: Some((*state.vote_ref()).into()), index: last })
    });
    state.await.map_err(|error| stopped(&error))?.ok_or_else(not_leading)
}
