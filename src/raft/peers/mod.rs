//! How this node reaches the other nodes, and what it last heard of them.

pub(in crate::raft) mod contacts;
mod dial;
pub(in crate::raft) mod links;
pub(in crate::raft) mod open_connections;
pub(in crate::raft) mod rooms;
pub(in crate::raft) mod snapshot_stream;
pub(in crate::raft) mod trouble;
pub(in crate::raft) mod versions;
