//! The preface: what two nodes say about themselves at the beginning of a connection, before HTTP/2, and whether each of
//! them takes the other.

pub(in crate::raft) mod content;
pub(in crate::raft) mod exchange;
mod frame;
pub(in crate::raft) mod own;
pub(in crate::raft) mod refusal;
#[cfg(test)]
mod vectors;
