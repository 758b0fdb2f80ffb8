//! Converts messages between nodes from and to openraft's requests and replies.

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, VoteRequest, VoteResponse,
};

use super::entry::{EntryError, decode_entry, encode_payload};
use super::types::TypeConfig;
use super::wire::append_reply::Result as Reply;
use super::wire::{self, Matched};

pub(in crate::raft) fn append_request(request: &AppendEntriesRequest<TypeConfig>) -> wire::AppendRequest {
    let entry =
        |entry: &super::types::Entry| wire::LogEntry { id: Some(entry.log_id.into()), payload: encode_payload(entry) };
    wire::AppendRequest {
        vote: Some(request.vote.into()),
        previous: request.prev_log_id.map(Into::into),
        entries: request.entries.iter().map(entry).collect(),
        leader_commit: request.leader_commit.map(Into::into),
    }
}

/// # Errors
/// An entry has a later level, or the message is damaged.
pub(in crate::raft) fn append_request_from(
    wire: wire::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, EntryError> {
    let entry = |entry: wire::LogEntry| decode_entry(entry.id.ok_or(EntryError::Damaged)?.into(), entry.payload);
    Ok(AppendEntriesRequest {
        vote: wire.vote.ok_or(EntryError::Damaged)?.into(),
        prev_log_id: wire.previous.map(Into::into),
        entries: wire.entries.into_iter().map(entry).collect::<Result<_, _>>()?,
        leader_commit: wire.leader_commit.map(Into::into),
    })
}

/// A heartbeat as a message has it. It carries no entries.
pub(in crate::raft) fn heartbeat_request(
    number: u64,
    request: &AppendEntriesRequest<TypeConfig>,
) -> wire::HeartbeatRequest {
    wire::HeartbeatRequest {
        number,
        vote: Some(request.vote.into()),
        previous: request.prev_log_id.map(Into::into),
        leader_commit: request.leader_commit.map(Into::into),
    }
}

/// The heartbeat in a message. `None` if it is malformed.
pub(in crate::raft) fn heartbeat_request_from(
    wire: wire::HeartbeatRequest,
) -> Option<AppendEntriesRequest<TypeConfig>> {
    Some(AppendEntriesRequest {
        vote: wire.vote?.into(),
        prev_log_id: wire.previous.map(Into::into),
        entries: Vec::new(),
        leader_commit: wire.leader_commit.map(Into::into),
    })
}

pub(in crate::raft) fn append_reply_of(response: AppendEntriesResponse<TypeConfig>) -> wire::AppendReply {
    let result = match response {
        AppendEntriesResponse::Success => Reply::Matched(Matched { upto: None, partial: false }),
        AppendEntriesResponse::PartialSuccess(upto) => {
            Reply::Matched(Matched { upto: upto.map(Into::into), partial: true })
        }
        AppendEntriesResponse::Conflict => Reply::Conflict(wire::LogPosition::default()),
        AppendEntriesResponse::HigherVote(vote) => Reply::HigherVote(vote.into()),
    };
    wire::AppendReply { result: Some(result) }
}

pub(in crate::raft) fn append_reply(wire: wire::AppendReply) -> Option<AppendEntriesResponse<TypeConfig>> {
    Some(match wire.result? {
        Reply::Matched(Matched { upto, partial: true }) => AppendEntriesResponse::PartialSuccess(upto.map(Into::into)),
        Reply::Matched(_) => AppendEntriesResponse::Success,
        Reply::Conflict(_) => AppendEntriesResponse::Conflict,
        Reply::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote.into()),
    })
}

pub(in crate::raft) fn stream_reply_of(result: StreamAppendResult<TypeConfig>) -> wire::AppendReply {
    let result = match result {
        Ok(upto) => Reply::Matched(Matched { upto: upto.map(Into::into), partial: false }),
        Err(StreamAppendError::Conflict(at)) => Reply::Conflict(at.into()),
        Err(StreamAppendError::HigherVote(vote)) => Reply::HigherVote(vote.into()),
    };
    wire::AppendReply { result: Some(result) }
}

pub(in crate::raft) fn stream_reply(wire: wire::AppendReply) -> Option<StreamAppendResult<TypeConfig>> {
    Some(match wire.result? {
        Reply::Matched(matched) => Ok(matched.upto.map(Into::into)),
        Reply::Conflict(at) => Err(StreamAppendError::Conflict(at.into())),
        Reply::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote.into())),
    })
}

pub(in crate::raft) fn vote_request(request: &VoteRequest<TypeConfig>, pre_vote: bool) -> wire::VoteRequest {
    wire::VoteRequest {
        vote: Some(request.vote.into()),
        last: request.last_log_id.map(Into::into),
        leadership_transfer: request.leadership_transfer,
        pre_vote,
    }
}

pub(in crate::raft) fn vote_request_from(wire: &wire::VoteRequest) -> Option<VoteRequest<TypeConfig>> {
    let mut request = VoteRequest::new(wire.vote?.into(), wire.last.map(Into::into));
    request.leadership_transfer = wire.leadership_transfer;
    Some(request)
}

pub(in crate::raft) fn vote_reply_of(response: &VoteResponse<TypeConfig>) -> wire::VoteReply {
    wire::VoteReply {
        vote: Some(response.vote.into()),
        granted: response.vote_granted,
        last: response.last_log_id.map(Into::into),
    }
}

pub(in crate::raft) fn vote_reply(wire: wire::VoteReply) -> Option<VoteResponse<TypeConfig>> {
    let vote: super::types::RaftVote = wire.vote?.into();
    Some(VoteResponse::new(vote, wire.last.map(Into::into), wire.granted))
}

pub(in crate::raft) fn transfer_request(request: &TransferLeaderRequest<TypeConfig>) -> wire::TransferRequest {
    wire::TransferRequest {
        from_leader: Some((*request.from_leader()).into()),
        to_node: *request.to_node_id(),
        last: request.last_log_id().map(|id| (*id).into()),
    }
}

pub(in crate::raft) fn transfer_request_from(wire: wire::TransferRequest) -> Option<TransferLeaderRequest<TypeConfig>> {
    Some(TransferLeaderRequest::new(wire.from_leader?.into(), wire.to_node, wire.last.map(Into::into)))
}

pub(in crate::raft) fn transfer_reply_of(response: Result<(), TransferLeaderError<TypeConfig>>) -> wire::TransferReply {
    match response {
        Ok(()) => wire::TransferReply::default(),
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            wire::TransferReply { vote_changed_to: Some(actual.into()), ..Default::default() }
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            wire::TransferReply { log_behind: true, flushed: actual.map(Into::into), ..Default::default() }
        }
    }
}

/// Why the other node refused to take over. `None` when it accepted.
pub(in crate::raft) fn transfer_reply(wire: wire::TransferReply) -> Option<TransferLeaderError<TypeConfig>> {
    if let Some(vote) = wire.vote_changed_to {
        let actual: super::types::RaftVote = vote.into();
        return Some(TransferLeaderError::VoteChanged { expected: actual, actual });
    }
    let actual = wire.flushed.map(Into::into);
    wire.log_behind.then_some(TransferLeaderError::LogNotFlushed { expected: None, actual })
}
