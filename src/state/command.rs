//! A command: one replicated change, with everything that deciding it needs.

use super::decode_error::DecodeError;
use super::operation::Operation;
use super::rules::identity_from_wire;
use super::wire;
use crate::policy::{ActionKind, Actor};
use bytes::Bytes;
use prost::Message;

/// 128 random bits that make a command take effect once, however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub [u8; 16]);

/// One replicated change. The node that received the request chose all its values, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The same on every retry.
    pub request_id: RequestId,
    /// The index up to which its node had applied the log when it made the command.
    pub seen_index: u64,
    /// When its node made it, by that node's clock, in Unix nanoseconds.
    pub time_ns: i64,
    /// Who asked.
    pub actor: Actor,
    /// The action for which its actor had a permit; the operation has the name. `None` for what a node does by itself.
    pub action: Option<ActionKind>,
    /// Whether its node's configuration file names an admin.
    pub file_names_admin: bool,
    /// What to change.
    pub operation: Operation,
}

impl Command {
    /// The command as it stands in the log.
    pub fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    /// Reads a command.
    ///
    /// # Errors
    /// The bytes are malformed, or hold an operation that this binary does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire = wire::Command::decode(bytes).map_err(|_| DecodeError::Malformed("command"))?;
        let request_id = wire.request_id.as_ref().try_into().map_err(|_| DecodeError::Malformed("request id"))?;
        Ok(Self {
            request_id: RequestId(request_id),
            seen_index: wire.seen_index,
            time_ns: wire.time_ns,
            actor: actor_from_wire(wire.actor)?,
            action: action_from_wire(wire.action)?,
            file_names_admin: wire.file_names_admin,
            operation: Operation::from_wire(wire.operation.ok_or(DecodeError::UnknownOperation)?)?,
        })
    }

    fn to_wire(&self) -> wire::Command {
        wire::Command {
            request_id: Bytes::copy_from_slice(&self.request_id.0),
            seen_index: self.seen_index,
            time_ns: self.time_ns,
            actor: Some(actor_to_wire(self.actor)),
            action: self.action.map_or(0, ActionKind::number),
            file_names_admin: self.file_names_admin,
            operation: Some(self.operation.to_wire()),
        }
    }
}

fn action_from_wire(number: u32) -> Result<Option<ActionKind>, DecodeError> {
    match number {
        0 => Ok(None),
        number => ActionKind::of_number(number).map(Some).ok_or(DecodeError::UnknownOperation),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Identity, KeyAction};
    use crate::state::operation::every_operation;

    fn command(operation: Operation) -> Command {
        Command {
            request_id: RequestId([1; 16]),
            seen_index: 42,
            time_ns: 7,
            actor: Actor::Client { identity: Identity::from_bytes([2; 32]), file_admin: true },
            action: Some(ActionKind::Key(KeyAction::Create)),
            file_names_admin: true,
            operation,
        }
    }

    #[test]
    fn commands_round_trip() {
        let operations = every_operation();
        for operation in operations.clone() {
            let command = command(operation);
            assert_eq!(Command::decode(&command.encode()).unwrap(), command);
        }
        let by_node = Command { actor: Actor::Node, ..command(operations[0].clone()) };
        assert_eq!(Command::decode(&by_node.encode()).unwrap(), by_node);
    }

    #[test]
    fn an_unknown_operation_or_action_is_distinct_from_malformed_bytes() {
        let mut wire = command(Operation::AdvanceTime { time_ns: 1 }).to_wire();
        wire.operation = None;
        assert_eq!(Command::decode(&wire.encode_to_vec()), Err(DecodeError::UnknownOperation));
        let wire = wire::Command { action: 999, ..command(Operation::AdvanceTime { time_ns: 1 }).to_wire() };
        assert_eq!(Command::decode(&wire.encode_to_vec()), Err(DecodeError::UnknownOperation));
        assert!(matches!(Command::decode(b"\xff\xff"), Err(DecodeError::Malformed(_))));
    }
}
