//! Reads, leases and the fence that a revocation waits for.

mod clock_watch;
pub(in crate::raft) mod digest_exchange;
pub(in crate::raft) mod fence;
pub(in crate::raft) mod grants;
pub(in crate::raft) mod held;
pub(in crate::raft) mod ledger;
pub(in crate::raft) mod read_index;
pub(in crate::raft) mod reads;
