//! The replicated state and how a command changes it: keys, policies, identities, the facts about the cluster, and the
//! memory of done commands.
//!
//! Everything here is pure: the same state and the same command give the same outcome on every node, for ever at one
//! feature level.

mod access_change;
mod apply;
mod change;
mod cluster;
mod command;
mod decode_error;
mod digest;
mod memory;
mod operation;
mod outcome;
mod record;
mod rules;
mod wire;

pub use access_change::{AccessChange, PolicyTag, Replaces};
pub use apply::apply;
pub use change::{Change, Current};
pub use cluster::{ClusterId, ClusterState, RingVersion};
pub use command::{Command, RequestId};
pub use decode_error::DecodeError;
pub use digest::Digest;
pub use memory::{Memory, Remembered};
pub use operation::{Init, KeySeen, Operation, Use};
pub use outcome::Outcome;
pub use record::{CreationId, KeyRecord, RecordError};
pub use rules::{decode_assignment, decode_policy, encode_assignment, encode_policy};

/// The feature level this binary writes and knows how to apply. Each log entry carries the level it was written at;
/// a node refuses to append one above its own (design, "Nodes, clusters and keys").
///
/// Level 2 has the date of the cluster in its first command. A node of level 1 would drop the date, and differ from the
/// others for ever, so it stops at the next command instead. Clusters of level 1 stay at level 1.
pub const FEATURE_LEVEL: u32 = 2;

/// The level of entries that every binary knows: those without a command, and the cluster's first command.
pub const FIRST_LEVEL: u32 = 1;
