//! What nodes send each other and store: openraft's types, their bytes in the log, and their messages on the wire.

pub(in crate::raft) mod entry;
pub(in crate::raft) mod membership;
pub(in crate::raft) mod rpc;
pub(in crate::raft) mod types;
pub(in crate::raft) mod wire;
