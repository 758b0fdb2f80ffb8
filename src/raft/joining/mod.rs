//! How a node finds out whether it may take part in a cluster.

pub(in crate::raft) mod boot;
pub(in crate::raft) mod greeting;
