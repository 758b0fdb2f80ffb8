//! Writes, sent to the node that leads.

pub(in crate::raft) mod hand_over;
pub(in crate::raft) mod leader;
pub(in crate::raft) mod proposals;
pub(in crate::raft) mod room_gate;
pub(in crate::raft) mod writes;
