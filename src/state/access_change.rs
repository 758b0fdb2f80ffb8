//! Changes of policies and identities, as a command carries them.

use std::borrow::Cow;

use bytes::Bytes;

use super::decode_error::DecodeError;
use super::rules::{identity_from_wire, new_policy_from_wire, policy_to_wire, role_from_wire, role_to_wire};
use super::wire::{self, command::Operation as Wire};
use crate::policy::{Author, Identity, Policy, PolicyName, PolicyTag, Role};

/// Which policy a new one of the same name may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// None. The name must be free.
    Nothing,
    /// Any. The name may also be free.
    Anything,
    /// Only this one, because the client read it and changed that.
    Only(PolicyTag),
}

impl Replaces {
    fn to_wire(self) -> (bool, Bytes) {
        match self {
            Self::Nothing => (false, Bytes::new()),
            Self::Anything => (true, Bytes::new()),
            Self::Only(PolicyTag(tag)) => (true, Bytes::copy_from_slice(&tag)),
        }
    }

    fn from_wire(replace: bool, only: &[u8]) -> Result<Self, DecodeError> {
        match (replace, only) {
            (false, []) => Ok(Self::Nothing),
            (true, []) => Ok(Self::Anything),
            (true, tag) => tag.try_into().map(|tag| Self::Only(PolicyTag(tag))).map_err(|_| DecodeError("tag")),
            (false, _) => Err(DecodeError("tag")),
        }
    }
}

/// A change of policies or identities. The actor of the command is its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessChange {
    /// Makes a policy, or replaces one.
    PutPolicy {
        /// Its name.
        name: PolicyName,
        /// What it allows and denies.
        policy: Policy,
        /// Which policy of that name it may replace.
        replaces: Replaces,
    },
    /// Deletes a policy, and every assignment to it.
    DeletePolicy {
        /// Its name.
        name: PolicyName,
    },
    /// Binds an identity to a policy.
    AssignPolicy {
        /// The policy.
        policy: PolicyName,
        /// The identity.
        identity: Identity,
    },
    /// Gives a new identity its role.
    CreateIdentity {
        /// The identity.
        identity: Identity,
        /// Its role.
        role: Role,
    },
    /// Takes the role of an identity away.
    DeleteIdentity {
        /// The identity.
        identity: Identity,
    },
}

impl AccessChange {
    /// The name of the policy, or the identity, as it stands in a path.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::PutPolicy { name, .. } | Self::DeletePolicy { name } => Cow::Borrowed(name.as_str()),
            Self::AssignPolicy { policy, .. } => Cow::Borrowed(policy.as_str()),
            Self::CreateIdentity { identity, .. } | Self::DeleteIdentity { identity } => identity.to_string().into(),
        }
    }

    pub(super) fn to_wire(&self) -> Wire {
        let identity_bytes = |identity: &Identity| Bytes::copy_from_slice(identity.as_bytes());
        match self {
            Self::PutPolicy { name, policy, replaces } => {
                let policy = policy_to_wire(name, policy, &Author::default());
                let (replace, only) = replaces.to_wire();
                Wire::PutPolicy(wire::PutPolicy { policy: Some(policy), replace, only })
            }
            Self::DeletePolicy { name } => Wire::DeletePolicy(wire::DeletePolicy { name: name.as_str().to_owned() }),
            Self::AssignPolicy { policy, identity } => Wire::AssignPolicy(wire::AssignPolicy {
                policy: policy.as_str().to_owned(),
                identity: identity_bytes(identity),
            }),
            Self::CreateIdentity { identity, role } => {
                Wire::CreateIdentity(wire::CreateIdentity { assignment: Some(role_to_wire(*identity, role)) })
            }
            Self::DeleteIdentity { identity } => {
                Wire::DeleteIdentity(wire::DeleteIdentity { identity: identity_bytes(identity) })
            }
        }
    }

    pub(super) fn from_wire(wire: Wire) -> Result<Self, DecodeError> {
        match wire {
            Wire::PutPolicy(wire) => {
                let (name, policy, _) = new_policy_from_wire(wire.policy.ok_or(DecodeError("policy"))?)?;
                let replaces = Replaces::from_wire(wire.replace, &wire.only)?;
                Ok(Self::PutPolicy { name, policy, replaces })
            }
            Wire::DeletePolicy(wire) => Ok(Self::DeletePolicy { name: policy_name(&wire.name)? }),
            Wire::AssignPolicy(wire) => Ok(Self::AssignPolicy {
                policy: policy_name(&wire.policy)?,
                identity: identity_from_wire(&wire.identity)?,
            }),
            Wire::CreateIdentity(wire) => {
                let assignment = wire.assignment.ok_or(DecodeError("assignment"))?;
                let identity = identity_from_wire(&assignment.identity)?;
                Ok(Self::CreateIdentity { identity, role: role_from_wire(&assignment)? })
            }
            Wire::DeleteIdentity(wire) => Ok(Self::DeleteIdentity { identity: identity_from_wire(&wire.identity)? }),
            _ => Err(DecodeError("change of access")),
        }
    }
}

fn policy_name(name: &str) -> Result<PolicyName, DecodeError> {
    PolicyName::parse(name).map_err(|_| DecodeError("policy name"))
}

/// One of each, for tests that must hold for all.
#[cfg(test)]
pub(super) fn every_change() -> Vec<AccessChange> {
    let pattern = crate::policy::Pattern::parse("/v1/key/*").expect("a pattern");
    let (name, identity) = (PolicyName::parse("app").expect("a name"), Identity::from_bytes([4; 32]));
    let policy = Policy::new([pattern], []);
    vec![
        AccessChange::PutPolicy { name: name.clone(), policy: policy.clone(), replaces: Replaces::Nothing },
        AccessChange::PutPolicy { name: name.clone(), policy: policy.clone(), replaces: Replaces::Anything },
        AccessChange::PutPolicy { name: name.clone(), policy, replaces: Replaces::Only(PolicyTag([7; 32])) },
        AccessChange::DeletePolicy { name: name.clone() },
        AccessChange::AssignPolicy { policy: name.clone(), identity },
        AccessChange::CreateIdentity { identity, role: Role::Policy(name) },
        AccessChange::CreateIdentity { identity, role: Role::Admin },
        AccessChange::DeleteIdentity { identity },
    ]
}
