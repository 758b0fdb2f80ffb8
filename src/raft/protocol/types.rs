//! openraft's type parameters, and conversions of positions and votes between openraft, the store and the wire.

use std::fmt;

use bytes::Bytes;

use super::wire;
use crate::policy::Identity;
use crate::state::EncodedCommand;
use crate::store::{self, StoreId};

openraft::declare_raft_types!(
    /// openraft's type parameters.
    pub TypeConfig:
        D = Proposal,
        R = (),
        NodeId = u64,
        Node = Member,
);

/// The id of a node.
pub type NodeId = u64;
pub(in crate::raft) type RaftLogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(in crate::raft) type LeaderId = openraft::type_config::alias::LeaderIdOf<TypeConfig>;
pub(in crate::raft) type RaftVote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub(in crate::raft) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(in crate::raft) type Membership = openraft::Membership<NodeId, Member>;
pub(in crate::raft) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
pub(in crate::raft) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
pub(in crate::raft) type RaftSnapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, store::Snapshot>;

/// A command on its way through the log: the bytes of its entry, which the nodes send and store as they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal {
    pub(in crate::raft) framed: Bytes,
    /// The command in these bytes.
    pub(in crate::raft) command: EncodedCommand,
}

/// A member of the cluster, as the membership records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// `host:port` of its API.
    pub api_address: String,
    /// `host:port` of its peer listener.
    pub peer_address: String,
    /// The id of its store. A wiped disk has another one.
    pub store_id: StoreId,
    /// The key of its certificate.
    pub key: Identity,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            name: String::new(),
            api_address: String::new(),
            peer_address: String::new(),
            store_id: StoreId([0; 16]),
            key: Identity::from_bytes([0; Identity::LEN]),
        }
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command in an entry of {} bytes", self.framed.len())
    }
}

pub(in crate::raft) fn to_store_id(id: &RaftLogId) -> store::LogId {
    store::LogId { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

pub(in crate::raft) fn from_store_id(id: store::LogId) -> RaftLogId {
    RaftLogId::new(LeaderId { term: id.term, node_id: id.node }, id.index)
}

pub(in crate::raft) fn to_store_vote(vote: &RaftVote) -> store::Vote {
    store::Vote { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

pub(in crate::raft) fn from_store_vote(vote: store::Vote) -> RaftVote {
    RaftVote { leader_id: LeaderId { term: vote.term, node_id: vote.node }, committed: vote.committed }
}

impl From<RaftLogId> for wire::LogPosition {
    fn from(id: RaftLogId) -> Self {
        Self { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
    }
}

impl From<wire::LogPosition> for RaftLogId {
    fn from(id: wire::LogPosition) -> Self {
        Self::new(LeaderId { term: id.term, node_id: id.node }, id.index)
    }
}

impl From<RaftVote> for wire::VoteState {
    fn from(vote: RaftVote) -> Self {
        Self { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
    }
}

impl From<wire::VoteState> for RaftVote {
    fn from(vote: wire::VoteState) -> Self {
        Self { leader_id: LeaderId { term: vote.term, node_id: vote.node }, committed: vote.committed }
    }
}
