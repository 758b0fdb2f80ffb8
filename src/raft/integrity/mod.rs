//! Checks that the nodes hold the same state, and what a node does when its own is damaged.

pub(in crate::raft) mod comparison;
pub(in crate::raft) mod digest_check;
pub(in crate::raft) mod rebuild;
mod verdict;
