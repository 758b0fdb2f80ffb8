//! openraft's storage and network, on our store and our peers.

#[cfg(test)]
mod forged_log_tests;
mod heartbeats;
pub(in crate::raft) mod log_storage;
pub(in crate::raft) mod metrics;
pub(in crate::raft) mod network;
pub(in crate::raft) mod pending;
pub(in crate::raft) mod state_machine;
