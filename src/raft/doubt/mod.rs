//! A log in doubt: what a node refuses whose log lost entries, and how it catches up with a leader.

pub(in crate::raft) mod bar;
pub(in crate::raft) mod catch_up;
pub(in crate::raft) mod log_doubt;
