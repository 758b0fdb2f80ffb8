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
mod encoded_command;
mod level;
#[cfg(feature = "level-2")]
mod level_2;
mod memory;
mod operation;
mod outcome;
mod record;
mod record_parts;
mod ring;
mod ring_change;
mod rules;
mod stored;
mod wire;

pub use access_change::{AccessChange, Replaces};
pub use apply::{apply, needs_room, raises_level};
pub use change::{Change, Current};
pub use cluster::{ClusterId, ClusterSecrets, ClusterState, IncarnationId};
pub use command::Command;
pub use decode_error::DecodeError;
pub use digest::Digest;
pub use encoded_command::{EncodedCommand, RequestId};
pub use level::{HIGHEST_LEVEL, LOWEST_LEVEL, ReadableLevels};
#[cfg(feature = "level-2")]
pub use level_2::note;
pub use memory::{Memory, Remembered};
#[cfg(test)]
pub(crate) use operation::every_operation;
pub use operation::{Init, KeySeen, Operation, Use};
pub use outcome::{Outcome, RecordedOutcome, UnknownOutcome};
pub use record::{CreationId, KeyRecord, RecordError};
pub use record_parts::CommonPart;
pub use ring::{ResealedKeys, RingLink, RingNote, RingVersion, Seal, SealId};
pub use ring_change::RingChange;
#[cfg(test)]
pub(crate) use ring_change::every_ring_change;
pub use rules::{decode_assignment, decode_policy, stored_assignment, stored_policy};
pub use stored::Stored;
