//! A command: one replicated change, with everything that deciding it needs.

use super::decode_error::DecodeError;
use super::encoded_command::{EncodedCommand, RequestId};
use super::level::Level;
#[cfg(feature = "level-2")]
use super::level_2;
use super::operation::Operation;
use super::outcome::Outcome;
use super::rules::identity_from_wire;
use super::wire;
use crate::policy::{ActionKind, Actor};
use bytes::Bytes;
use prost::Message;

/// One replicated change. The node that received the request chose all its values, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
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
    /// The command as nodes send and store it, at the feature level that is active on this node.
    ///
    /// Each level has the commands of the levels before it, so a command can be encoded at every level that its node
    /// can read.
    pub fn encode(&self, level: u32, request_id: RequestId, seen_index: u64) -> EncodedCommand {
        let body = self.to_wire();
        match Level::of(level).expect("a node makes commands at levels that it can read") {
            Level::One => EncodedCommand::of_message(level, request_id, seen_index, &body),
            #[cfg(feature = "level-2")]
            Level::Two => {
                let body = level_2::Body::OfLevel1(&body.encode_to_vec()).encode();
                EncodedCommand::new(level, request_id, seen_index, &body)
            }
        }
    }

    /// Reads and validates the body of a command at level 1. This is a part of applying it, so that every node refuses the
    /// same.
    ///
    /// # Errors
    /// [`Outcome::Malformed`], or [`Outcome::Denied`] if no action of this version has its number. A version that knows the
    /// action denies the command too, because the action leads to no operation of level 1.
    pub(super) fn decode(body: &[u8]) -> Result<Self, Outcome> {
        let wire = wire::Command::decode(body).map_err(|_| Outcome::Malformed)?;
        let number = wire.action;
        let command = Self::without_action(wire).map_err(|_| Outcome::Malformed)?;
        // A field that only a later version knows would be lost here and kept there. So each level has its own fields, and
        // a body has exactly one form. This is checked before the action, so that each version refuses the same.
        if (wire::Command { action: number, ..command.to_wire() }).encode_to_vec() != body {
            return Err(Outcome::Malformed);
        }
        Ok(Self { action: action_from_wire(number).ok_or(Outcome::Denied)?, ..command })
    }

    fn without_action(wire: wire::Command) -> Result<Self, DecodeError> {
        let actor = actor_from_wire(wire.actor)?;
        let operation = Operation::from_wire(wire.operation.ok_or(DecodeError("operation"))?)?;
        Ok(Self { time_ns: wire.time_ns, actor, action: None, file_names_admin: wire.file_names_admin, operation })
    }

    fn to_wire(&self) -> wire::Command {
        wire::Command {
            time_ns: self.time_ns,
            actor: Some(actor_to_wire(self.actor)),
            action: self.action.map_or(0, ActionKind::number),
            file_names_admin: self.file_names_admin,
            operation: Some(self.operation.to_wire()),
        }
    }
}

/// The action with this number. `None` if this version knows none.
fn action_from_wire(number: u32) -> Option<Option<ActionKind>> {
    match number {
        0 => Some(None),
        number => ActionKind::of_number(number).map(Some),
    }
}

fn actor_to_wire(actor: Actor) -> wire::Actor {
    match actor {
        Actor::Node => wire::Actor { node: true, ..wire::Actor::default() },
        Actor::Client { identity, file_admin } => {
            wire::Actor { identity: Bytes::copy_from_slice(identity.as_bytes()), file_admin, node: false }
        }
    }
}

fn actor_from_wire(wire: Option<wire::Actor>) -> Result<Actor, DecodeError> {
    let wire = wire.ok_or(DecodeError("actor"))?;
    // A node may do more than a client, so it is not enough that the identity is absent.
    if wire.node {
        return Ok(Actor::Node);
    }
    Ok(Actor::Client { identity: identity_from_wire(&wire.identity)?, file_admin: wire.file_admin })
}

/// The body of a command at level 1, with the number of an action that this version may not know.
#[cfg(test)]
pub(super) fn with_action_number(command: &Command, action: u32) -> Vec<u8> {
    wire::Command { action, ..command.to_wire() }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Identity, KeyAction};
    use crate::state::needs_room;
    use crate::state::operation::every_operation;

    fn command(operation: Operation) -> Command {
        Command {
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
        let by_node = Command { actor: Actor::Node, action: None, ..command(operations[0].clone()) };
        for command in operations.into_iter().map(command).chain([by_node]) {
            let encoded = command.encode(1, RequestId([1; 16]), 42);
            assert_eq!((encoded.level(), encoded.request_id(), encoded.seen_index()), (1, RequestId([1; 16]), 42));
            assert_eq!(Command::decode(encoded.body()).unwrap(), command);
        }
    }

    #[test]
    fn a_cluster_without_room_takes_what_removes_or_withdraws_something() {
        const TAKEN: [&str; 8] = [
            "Init",
            "SetVersion",
            "DeleteKey",
            "PurgeKey",
            "Access(DeletePolicy",
            "Access(DeleteIdentity",
            "Ring(DropVersion",
            "Ring(RemoveSeal",
        ];
        let needs = |operation| needs_room(&command(operation).encode(1, RequestId([1; 16]), 42));
        for operation in every_operation() {
            let text = format!("{operation:?}");
            assert_eq!(needs(operation), !TAKEN.iter().any(|name| text.starts_with(name)), "{text}");
        }
        let key = crate::state::KeySeen { name: "a".to_owned(), creation_id: crate::state::CreationId([3; 16]) };
        assert!(needs(Operation::SetVersion { key, version: 2, disabled: false }), "it enables the version");
        assert!(needs_room(&EncodedCommand::new(1, RequestId([1; 16]), 42, b"\xff")), "nobody knows what it does");
    }

    /// An absent field must not give more than one that is set: not the standing of a node or of an admin, and not the
    /// removal of a key at once.
    #[test]
    fn an_absent_field_is_malformed_if_its_default_would_do_more() {
        let key = wire::DeleteKey { name: "a".to_owned(), creation_id: Bytes::from_static(&[3; 16]), window_ns: None };
        let assignment = wire::Assignment { identity: Bytes::from_static(&[4; 32]), ..Default::default() };
        let identity = wire::CreateIdentity { assignment: Some(assignment) };
        let whole = command(Operation::AdvanceTime { time_ns: 1 }).to_wire();
        let with = |operation| wire::Command { operation: Some(operation), ..whole.clone() };
        for absent in [
            with(wire::command::Operation::DeleteKey(key)),
            with(wire::command::Operation::CreateIdentity(identity)),
            wire::Command { actor: Some(wire::Actor::default()), ..whole.clone() },
        ] {
            assert_eq!(Command::decode(&absent.encode_to_vec()), Err(Outcome::Malformed), "{absent:?}");
        }
    }

    #[test]
    fn an_unknown_operation_is_malformed_and_an_unknown_action_denied() {
        let whole = command(Operation::AdvanceTime { time_ns: 1 }).to_wire();
        assert!(Command::decode(&whole.encode_to_vec()).is_ok());
        let without = wire::Command { operation: None, ..whole.clone() };
        let with_another_field = [whole.encode_to_vec(), vec![0xfa, 0x01, 0]].concat();
        for malformed in [without.encode_to_vec(), with_another_field, b"\xff\xff".to_vec()] {
            assert_eq!(Command::decode(&malformed), Err(Outcome::Malformed));
        }
        // No file names the node as admin, and it has no identity. An author comes from the actor.
        let by = |identity: &'static [u8], file_admin, node| {
            let actor = wire::Actor { identity: Bytes::from_static(identity), file_admin, node };
            wire::Command { actor: Some(actor), ..whole.clone() }
        };
        assert!(Command::decode(&by(b"", false, true).encode_to_vec()).is_ok());
        let policy = wire::Policy { name: "app".to_owned(), ..Default::default() };
        let put = wire::PutPolicy { policy: Some(policy), replace: true, only: Bytes::new() };
        let authorless = wire::Command { operation: Some(wire::command::Operation::PutPolicy(put)), ..whole.clone() };
        let both = by(&[2; 32], false, true);
        for other_form in [by(b"", false, false), by(b"", true, false), by(b"", true, true), both, authorless] {
            assert_eq!(Command::decode(&other_form.encode_to_vec()), Err(Outcome::Malformed));
        }
        let unknown = with_action_number(&command(Operation::AdvanceTime { time_ns: 1 }), 999);
        assert_eq!(Command::decode(&unknown), Err(Outcome::Denied));
        let action = wire::Command { action: 999, ..whole };
        let both = wire::Command { operation: None, ..action };
        assert_eq!(Command::decode(&both.encode_to_vec()), Err(Outcome::Malformed));
    }
}
