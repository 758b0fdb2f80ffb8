//! The port on which the other nodes call this one.

pub(in crate::raft) mod admission;
pub(in crate::raft) mod connection;
mod heartbeats;
pub(in crate::raft) mod listener;
pub(in crate::raft) mod refusals;
pub(in crate::raft) mod room;
pub(in crate::raft) mod service;
mod statuses;
