//! Consensus: openraft's storage and network, and the handle through which the rest of the node writes and reads.

mod adapter;
mod cluster;
mod cluster_file;
mod failure;
mod forwarding;
mod integrity;
mod joining;
mod leases;
mod level_raise;
mod log_follow;
mod peer_port;
mod peers;
mod preface;
mod protocol;
mod start;
mod status;
mod tasks;
mod watch;

pub use cluster::Cluster;
pub use failure::Failure;
pub use forwarding::writes::WriteError;
pub use integrity::comparison::Comparison;
pub use joining::boot::BootError;
pub use joining::greeting::ShownSeal;
pub use leases::fence::FenceFigures;
pub use leases::held::{CATCHING_UP, Standing};
pub use level_raise::{RaiseLevelError, UnreadyMember};
pub use log_follow::{FollowLog, LogSource, PeerLog};
pub use peers::contacts::Away;
pub use peers::trouble::PeerTrouble;
pub use preface::content::NodeVersion;
pub use protocol::entry::EntryError;
pub use protocol::types::{Member, NodeId};
pub use start::{PeerListener, PreparedNode, StartError};
pub use status::{RaftMemberStatus, RaftStatus};
pub use watch::waits::Waits;
