//! The preface: what two nodes say and prove about themselves at the beginning of a connection, before HTTP/2, and whether
//! each of them takes the other.

pub(in crate::raft) mod admission;
mod budget;
pub(in crate::raft) mod content;
pub(in crate::raft) mod credential;
pub(in crate::raft) mod exchange;
mod frame;
pub(in crate::raft) mod hello;
pub(in crate::raft) mod node_starts;
pub(in crate::raft) mod own;
pub(in crate::raft) mod proof;
pub(in crate::raft) mod refusal;
pub(in crate::raft) mod shown_seal;
#[cfg(test)]
mod tests;
mod unproven;
#[cfg(test)]
mod vectors;
