//! A command: one replicated change, with everything that deciding it needs.

use std::fmt;

use bytes::Bytes;
use prost::Message;

use super::rules::{assignment_from_wire, assignment_to_wire, identity_from_wire, policy_from_wire, policy_to_wire};
use super::wire::{self, command::Operation as WireOperation};
use super::{Cluster, CreationId};
use crate::policy::{Actor, Assignment, Identity, KeyName, PolicyEntry, PolicyName};

/// 128 random bits that make a command take effect once, however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub [u8; 16]);

/// One replicated change. The node that received the request chose every value in it, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The same on every retry.
    pub request_id: RequestId,
    /// The highest committed index its node had learnt from a leader.
    pub seen_index: u64,
    /// Unix nanoseconds by its node's clock.
    pub time_ns: i64,
    /// Who asked.
    pub actor: Actor,
    /// The decoded path it was permitted on.
    pub path: String,
    /// Whether its node's configuration file names an admin.
    pub file_names_admin: bool,
    /// What to change.
    pub operation: Operation,
}

/// What a command changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The cluster's first command.
    Init(Box<Init>),
    /// Makes a key; its record is kept as the bytes it came in.
    CreateKey {
        /// Its name.
        name: String,
        /// Its first version's record, encoded.
        record: Bytes,
    },
    /// Deletes a key with all its versions.
    DeleteKey {
        /// Its name.
        name: String,
        /// The creation that was seen under that name.
        creation_id: CreationId,
    },
}

/// The cluster's first command: what it is, and the policies of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// The cluster.
    pub cluster: Cluster,
    /// Policies.
    pub policies: Vec<(PolicyName, PolicyEntry)>,
    /// Identities bound to them.
    pub assignments: Vec<(Identity, Assignment)>,
}

/// Why bytes are no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// A field is missing or holds what it cannot.
    Malformed(&'static str),
    /// The operation is one that this binary does not know; it must not be skipped.
    UnknownOperation,
}

impl Command {
    /// The command as it stands in the log.
    pub fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    /// Reads a command.
    ///
    /// # Errors
    /// The bytes are malformed, or name an operation unknown to this binary.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire = wire::Command::decode(bytes).map_err(|_| DecodeError::Malformed("command"))?;
        let request_id = wire.request_id.as_ref().try_into().map_err(|_| DecodeError::Malformed("request id"))?;
        Ok(Self {
            request_id: RequestId(request_id),
            seen_index: wire.seen_index,
            time_ns: wire.time_ns,
            actor: actor_from_wire(wire.actor)?,
            path: wire.path,
            file_names_admin: wire.file_names_admin,
            operation: operation_from_wire(wire.operation.ok_or(DecodeError::UnknownOperation)?)?,
        })
    }

    fn to_wire(&self) -> wire::Command {
        wire::Command {
            request_id: Bytes::copy_from_slice(&self.request_id.0),
            seen_index: self.seen_index,
            time_ns: self.time_ns,
            actor: Some(actor_to_wire(self.actor)),
            path: self.path.clone(),
            file_names_admin: self.file_names_admin,
            operation: Some(operation_to_wire(&self.operation)),
        }
    }
}

fn actor_to_wire(actor: Actor) -> wire::Actor {
    match actor {
        Actor::Node => wire::Actor::default(),
        Actor::Client { identity, file_admin } => {
            wire::Actor { identity: Bytes::copy_from_slice(identity.as_bytes()), file_admin }
        }
    }
}

fn actor_from_wire(wire: Option<wire::Actor>) -> Result<Actor, DecodeError> {
    let wire = wire.ok_or(DecodeError::Malformed("actor"))?;
    if wire.identity.is_empty() {
        return Ok(Actor::Node);
    }
    Ok(Actor::Client { identity: identity_from_wire(&wire.identity)?, file_admin: wire.file_admin })
}

fn operation_to_wire(operation: &Operation) -> WireOperation {
    match operation {
        Operation::Init(init) => WireOperation::Init(init_to_wire(init)),
        Operation::CreateKey { name, record } => {
            WireOperation::CreateKey(wire::CreateKey { name: name.clone(), record: record.clone() })
        }
        Operation::DeleteKey { name, creation_id } => WireOperation::DeleteKey(wire::DeleteKey {
            name: name.clone(),
            creation_id: Bytes::copy_from_slice(&creation_id.0),
        }),
    }
}

fn operation_from_wire(wire: WireOperation) -> Result<Operation, DecodeError> {
    match wire {
        WireOperation::Init(init) => init_from_wire(init).map(Box::new).map(Operation::Init),
        WireOperation::CreateKey(wire::CreateKey { name, record }) => {
            Ok(Operation::CreateKey { name: key_name(name)?, record })
        }
        WireOperation::DeleteKey(wire::DeleteKey { name, creation_id }) => {
            let id = creation_id.as_ref().try_into().map_err(|_| DecodeError::Malformed("creation id"))?;
            Ok(Operation::DeleteKey { name: key_name(name)?, creation_id: CreationId(id) })
        }
    }
}

fn key_name(name: String) -> Result<String, DecodeError> {
    KeyName::parse(&name).map_err(|_| DecodeError::Malformed("key name"))?;
    Ok(name)
}

fn init_to_wire(init: &Init) -> wire::Init {
    wire::Init {
        cluster: Some(init.cluster.to_wire()),
        policies: init.policies.iter().map(|(name, entry)| policy_to_wire(name, entry)).collect(),
        assignments: init.assignments.iter().map(|(id, a)| assignment_to_wire(*id, a)).collect(),
    }
}

fn init_from_wire(wire: wire::Init) -> Result<Init, DecodeError> {
    Ok(Init {
        cluster: Cluster::from_wire(wire.cluster.ok_or(DecodeError::Malformed("cluster"))?)?,
        policies: wire.policies.into_iter().map(policy_from_wire).collect::<Result<_, _>>()?,
        assignments: wire.assignments.into_iter().map(assignment_from_wire).collect::<Result<_, _>>()?,
    })
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed {what}"),
            Self::UnknownOperation => f.write_str("an operation that this version does not know"),
        }
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(operation: Operation) -> Command {
        Command {
            request_id: RequestId([1; 16]),
            seen_index: 42,
            time_ns: 7,
            actor: Actor::Client { identity: Identity::from_bytes([2; 32]), file_admin: true },
            path: "/v1/key/create/a".to_owned(),
            file_names_admin: true,
            operation,
        }
    }

    #[test]
    fn commands_round_trip() {
        let create = Operation::CreateKey { name: "a".to_owned(), record: Bytes::from_static(b"sealed") };
        let delete = Operation::DeleteKey { name: "a".to_owned(), creation_id: CreationId([3; 16]) };
        for command in [command(create), Command { actor: Actor::Node, ..command(delete) }] {
            assert_eq!(Command::decode(&command.encode()).unwrap(), command);
        }
    }

    #[test]
    fn an_unknown_operation_is_told_from_malformed_bytes() {
        let delete = Operation::DeleteKey { name: "a".to_owned(), creation_id: CreationId([3; 16]) };
        let mut wire = command(delete).to_wire();
        wire.operation = None;
        assert_eq!(Command::decode(&wire.encode_to_vec()), Err(DecodeError::UnknownOperation));
        assert!(matches!(Command::decode(b"\xff\xff"), Err(DecodeError::Malformed(_))));
    }
}
