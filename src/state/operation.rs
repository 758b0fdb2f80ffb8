//! What a command changes, in memory and as it stands in the log.

use std::borrow::Cow;

use bytes::Bytes;

use super::decode_error::DecodeError;
use super::rules::{assignment_from_wire, assignment_to_wire, new_policy_from_wire, policy_to_wire};
use super::wire::{self, command::Operation as Wire};
use super::{AccessChange, ClusterState, CreationId, RingChange};
use crate::policy::{Assignment, Author, Identity, KeyName, Policy, PolicyName};

/// What a command changes. Names are valid, and records are the bytes in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The cluster's first command.
    Init(Box<Init>),
    /// Makes a key.
    CreateKey {
        /// Its name.
        name: String,
        /// Its first version's record, encoded.
        record: Bytes,
    },
    /// Adds a version to a key.
    RotateKey {
        /// Its name.
        name: String,
        /// The new version's record, encoded. It names the creation that the node saw, and the number after the newest.
        record: Bytes,
    },
    /// Disables or enables a version of a key.
    SetVersion {
        /// The key that was seen.
        key: KeySeen,
        /// The version.
        version: u32,
        /// Whether to disable it.
        disabled: bool,
    },
    /// Deletes a key with all its versions.
    DeleteKey {
        /// The key that was seen.
        key: KeySeen,
        /// How long it can be restored, in replicated time; 0 removes it at once.
        window_ns: u64,
    },
    /// Restores a key that waits for its removal.
    RestoreKey(KeySeen),
    /// Removes a key that waits for its removal, for good.
    PurgeKey(KeySeen),
    /// Notes when keys were last used, as one node saw it.
    RecordUse(Vec<Use>),
    /// Advances replicated time.
    AdvanceTime {
        /// The new time in nanoseconds: the old one, and what the leader's monotonic clock counted since. It is
        /// absolute, so that the cluster does not add up what two leaders counted in the same time.
        time_ns: u64,
    },
    /// Changes policies or identities.
    Access(AccessChange),
    /// Changes the key ring or its seals.
    Ring(RingChange),
    /// Raises the feature level of the cluster. Alone among commands it is encoded at the level after the active one.
    RaiseLevel {
        /// That level.
        to: u32,
    },
}

/// A key as the node saw it when it received the request. After a deletion, a new key of that name is another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySeen {
    /// Its name.
    pub name: String,
    /// The creation that was seen under that name.
    pub creation_id: CreationId,
}

/// When a key was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The key that was used.
    pub key: KeySeen,
    /// Unix time in minutes.
    pub minute: u32,
}

/// The cluster's first command: what it is, and the policies of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// The cluster.
    pub cluster: ClusterState,
    /// Policies, each with its author.
    pub policies: Vec<(PolicyName, Policy, Author)>,
    /// Identities bound to them.
    pub assignments: Vec<(Identity, Assignment)>,
}

impl Operation {
    /// The name of what it changes, as it stands in a path; empty for an operation that no client can ask for.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Init(_) | Self::RecordUse(_) | Self::AdvanceTime { .. } | Self::RaiseLevel { .. } | Self::Ring(_) => {
                Cow::Borrowed("")
            }
            Self::CreateKey { name, .. } | Self::RotateKey { name, .. } => Cow::Borrowed(name),
            Self::SetVersion { key, .. } | Self::DeleteKey { key, .. } => Cow::Borrowed(&key.name),
            Self::RestoreKey(key) | Self::PurgeKey(key) => Cow::Borrowed(&key.name),
            Self::Access(change) => change.name(),
        }
    }

    /// Whether a cluster without room refuses it. Such a cluster takes what removes or withdraws something, and it can begin.
    pub(super) fn needs_room(&self) -> bool {
        match self {
            Self::Init(_) | Self::DeleteKey { .. } | Self::PurgeKey(_) => false,
            Self::SetVersion { disabled, .. } => !disabled,
            Self::Access(change) => match change {
                AccessChange::DeletePolicy { .. } | AccessChange::DeleteIdentity { .. } => false,
                AccessChange::PutPolicy { .. }
                | AccessChange::AssignPolicy { .. }
                | AccessChange::CreateIdentity { .. } => true,
            },
            Self::Ring(change) => match change {
                RingChange::DropVersion { .. } | RingChange::RemoveSeal { .. } => false,
                RingChange::AddVersion(_)
                | RingChange::ActivateVersion { .. }
                | RingChange::AddSeal { .. }
                | RingChange::NoteOpened(_) => true,
            },
            Self::CreateKey { .. }
            | Self::RotateKey { .. }
            | Self::RestoreKey(_)
            | Self::RecordUse(_)
            | Self::AdvanceTime { .. }
            | Self::RaiseLevel { .. } => true,
        }
    }

    pub(super) fn to_wire(&self) -> Wire {
        match self {
            Self::Init(init) => Wire::Init(init.to_wire()),
            Self::CreateKey { name, record } => {
                Wire::CreateKey(wire::CreateKey { name: name.clone(), record: record.clone() })
            }
            Self::RotateKey { name, record } => {
                Wire::RotateKey(wire::RotateKey { name: name.clone(), record: record.clone() })
            }
            Self::SetVersion { key, version, disabled } => {
                let (name, creation_id) = key.to_wire();
                Wire::SetVersion(wire::SetVersion { name, creation_id, version: *version, disabled: *disabled })
            }
            Self::DeleteKey { key, window_ns } => {
                let (name, creation_id) = key.to_wire();
                Wire::DeleteKey(wire::DeleteKey { name, creation_id, window_ns: Some(*window_ns) })
            }
            Self::RestoreKey(key) => {
                let (name, creation_id) = key.to_wire();
                Wire::RestoreKey(wire::RestoreKey { name, creation_id })
            }
            Self::PurgeKey(key) => {
                let (name, creation_id) = key.to_wire();
                Wire::PurgeKey(wire::PurgeKey { name, creation_id })
            }
            Self::RecordUse(uses) => Wire::RecordUse(wire::RecordUse { uses: uses.iter().map(Use::to_wire).collect() }),
            Self::AdvanceTime { time_ns } => Wire::AdvanceTime(wire::AdvanceTime { time_ns: *time_ns }),
            Self::Access(change) => change.to_wire(),
            Self::Ring(change) => change.to_wire(),
            Self::RaiseLevel { to } => Wire::RaiseLevel(wire::RaiseLevel { to: *to }),
        }
    }

    pub(super) fn from_wire(wire: Wire) -> Result<Self, DecodeError> {
        Ok(match wire {
            Wire::Init(init) => Self::Init(Box::new(Init::from_wire(init)?)),
            Wire::CreateKey(wire) => Self::CreateKey { name: key_name(wire.name)?, record: wire.record },
            Wire::RotateKey(wire) => Self::RotateKey { name: key_name(wire.name)?, record: wire.record },
            Wire::SetVersion(wire) => Self::SetVersion {
                key: KeySeen::from_wire(wire.name, &wire.creation_id)?,
                version: wire.version,
                disabled: wire.disabled,
            },
            Wire::DeleteKey(wire) => Self::DeleteKey {
                key: KeySeen::from_wire(wire.name, &wire.creation_id)?,
                window_ns: wire.window_ns.ok_or(DecodeError("window"))?,
            },
            Wire::RestoreKey(wire) => Self::RestoreKey(KeySeen::from_wire(wire.name, &wire.creation_id)?),
            Wire::PurgeKey(wire) => Self::PurgeKey(KeySeen::from_wire(wire.name, &wire.creation_id)?),
            Wire::RecordUse(wire) => {
                Self::RecordUse(wire.uses.into_iter().map(Use::from_wire).collect::<Result<_, _>>()?)
            }
            Wire::AdvanceTime(wire) => Self::AdvanceTime { time_ns: wire.time_ns },
            Wire::RaiseLevel(wire) => Self::RaiseLevel { to: wire.to },
            Wire::PutPolicy(_)
            | Wire::DeletePolicy(_)
            | Wire::AssignPolicy(_)
            | Wire::CreateIdentity(_)
            | Wire::DeleteIdentity(_) => Self::Access(AccessChange::from_wire(wire)?),
            Wire::AddRingVersion(_)
            | Wire::ActivateRingVersion(_)
            | Wire::DropRingVersion(_)
            | Wire::AddSeal(_)
            | Wire::RemoveSeal(_)
            | Wire::NoteRingOpened(_) => Self::Ring(RingChange::from_wire(wire)?),
        })
    }
}

impl KeySeen {
    fn to_wire(&self) -> (String, Bytes) {
        (self.name.clone(), Bytes::copy_from_slice(&self.creation_id.0))
    }

    fn from_wire(name: String, creation_id: &[u8]) -> Result<Self, DecodeError> {
        let creation_id = creation_id.try_into().map_err(|_| DecodeError("creation id"))?;
        Ok(Self { name: key_name(name)?, creation_id: CreationId(creation_id) })
    }
}

impl Use {
    fn to_wire(&self) -> wire::Use {
        let (name, creation_id) = self.key.to_wire();
        wire::Use { name, creation_id, minute: self.minute }
    }

    fn from_wire(wire: wire::Use) -> Result<Self, DecodeError> {
        Ok(Self { key: KeySeen::from_wire(wire.name, &wire.creation_id)?, minute: wire.minute })
    }
}

impl Init {
    fn to_wire(&self) -> wire::Init {
        wire::Init {
            cluster: Some(self.cluster.to_wire()),
            policies: self.policies.iter().map(|(name, policy, author)| policy_to_wire(name, policy, author)).collect(),
            assignments: self.assignments.iter().map(|(id, a)| assignment_to_wire(*id, a)).collect(),
        }
    }

    fn from_wire(wire: wire::Init) -> Result<Self, DecodeError> {
        Ok(Self {
            cluster: ClusterState::from_wire(wire.cluster.ok_or(DecodeError("cluster"))?)?,
            policies: wire.policies.into_iter().map(new_policy_from_wire).collect::<Result<_, _>>()?,
            assignments: wire.assignments.into_iter().map(assignment_from_wire).collect::<Result<_, _>>()?,
        })
    }
}

fn key_name(name: String) -> Result<String, DecodeError> {
    KeyName::parse(&name).map_err(|_| DecodeError("key name"))?;
    Ok(name)
}

/// One of each, for tests that must hold for all.
#[cfg(test)]
pub(crate) fn every_operation() -> Vec<Operation> {
    let key = KeySeen { name: "a".to_owned(), creation_id: CreationId([3; 16]) };
    let record = Bytes::from_static(b"sealed");
    let keys = [
        Operation::CreateKey { name: key.name.clone(), record: record.clone() },
        Operation::RotateKey { name: key.name.clone(), record },
        Operation::SetVersion { key: key.clone(), version: 2, disabled: true },
        Operation::DeleteKey { key: key.clone(), window_ns: 5 },
        Operation::RestoreKey(key.clone()),
        Operation::PurgeKey(key.clone()),
        Operation::RecordUse(vec![Use { key, minute: 7 }]),
        Operation::AdvanceTime { time_ns: 9 },
        Operation::RaiseLevel { to: 2 },
    ];
    let access = super::access_change::every_change().into_iter().map(Operation::Access);
    let ring = super::ring_change::every_ring_change().into_iter().map(Operation::Ring);
    keys.into_iter().chain(access).chain(ring).collect()
}
