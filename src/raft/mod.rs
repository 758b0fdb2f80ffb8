//! Consensus: openraft's storage and network, and the handle through which the rest of the node writes and reads.

mod boot;
mod cluster;
mod entry;
mod failure;
mod greeting;
mod leader;
mod lease;
mod links;
mod listener;
mod log_storage;
mod membership;
mod metrics;
mod network;
mod parts;
mod pending;
mod proposals;
mod reads;
mod rebuild;
mod rpc;
mod service;
mod start;
mod state_machine;
mod status;
mod tasks;
mod types;
mod wire;
mod writes;

pub use boot::BootError;
pub use cluster::Cluster;
pub use entry::EntryError;
pub use failure::Failure;
pub use lease::Standing;
pub use start::{PeerListener, StartError};
pub use status::{MemberStatus, Status};
pub use types::{Member, NodeId};
pub use writes::WriteError;
