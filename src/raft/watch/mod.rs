//! What this node sees of its cluster and what it waits for, and what it logs about both.

pub(in crate::raft) mod elections;
pub(in crate::raft) mod full_disk;
pub(in crate::raft) mod probe;
pub(in crate::raft) mod situation;
pub(in crate::raft) mod stalled_disk;
pub(in crate::raft) mod waits;
