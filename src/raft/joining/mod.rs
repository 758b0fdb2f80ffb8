//! How a node begins to belong to a cluster: the first start, in which all nodes note the same founding document.

pub(in crate::raft) mod document;
pub(in crate::raft) mod first_command;
pub(in crate::raft) mod first_entry;
pub(in crate::raft) mod founding;
pub(in crate::raft) mod local;
pub(in crate::raft) mod proving;
pub(in crate::raft) mod wraps;

#[cfg(test)]
mod tests;
