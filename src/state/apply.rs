//! Applying a command: a pure decision from the command and the state before it.

use bytes::Bytes;

use super::{Cluster, Command, CreationId, Init, KeyRecord, Memory, Operation};
use crate::policy::{Actor, Assignment, Identity, PolicyEntry, PolicyName, Rules};

/// Above any record that is sealed here; what is larger was not made by a node of this cluster.
const MAX_RECORD_BYTES: usize = 1024;

/// What came of a command. Everything a client can cause is one of these; none of them is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It took effect.
    Done = 1,
    /// A key of that name exists.
    KeyExists = 2,
    /// No key of that name exists, or another creation of it.
    KeyNotFound = 3,
    /// The rules at this point of the log do not permit it.
    Denied = 4,
    /// It was sealed under a ring version that is not active; seal again.
    RingInactive = 5,
    /// The cluster's first command was applied before.
    AlreadyInitialised = 6,
    /// The cluster's first command is yet to come.
    NotInitialised = 7,
    /// It is older than the memory of what was done; whether it took effect is unknown.
    Expired = 8,
    /// Its bytes say nothing that could be done.
    Malformed = 9,
}

/// The part of the state that deciding one command needs.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    /// The cluster, once initialised.
    pub cluster: Option<&'a Cluster>,
    /// The rules in force.
    pub rules: &'a Rules,
    /// The creation now under the name that the command names.
    pub creation: Option<CreationId>,
    /// What was done once.
    pub memory: &'a Memory,
}

/// One change to the state, in the order to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets the facts about the cluster.
    SetCluster(Cluster),
    /// Puts a policy.
    PutPolicy(PolicyName, PolicyEntry),
    /// Puts an assignment.
    PutAssignment(Identity, Assignment),
    /// Puts the record of a key's version.
    PutKey {
        /// The key.
        name: String,
        /// The version.
        version: u32,
        /// The record, encoded.
        record: Bytes,
    },
    /// Removes every version of a key.
    RemoveKey {
        /// The key.
        name: String,
    },
}

impl Change {
    /// Whether somebody may lose something by it: a deletion, and every change of policy or identity, grants too.
    pub fn revokes(&self) -> bool {
        match self {
            Self::RemoveKey { .. } | Self::PutPolicy(..) | Self::PutAssignment(..) => true,
            Self::SetCluster(_) | Self::PutKey { .. } => false,
        }
    }
}

impl Outcome {
    /// The outcome as stored.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Reads what [`Outcome::code`] made.
    pub fn from_code(code: u8) -> Option<Self> {
        const ALL: [Outcome; 9] = [
            Outcome::Done,
            Outcome::KeyExists,
            Outcome::KeyNotFound,
            Outcome::Denied,
            Outcome::RingInactive,
            Outcome::AlreadyInitialised,
            Outcome::NotInitialised,
            Outcome::Expired,
            Outcome::Malformed,
        ];
        ALL.into_iter().find(|outcome| outcome.code() == code)
    }
}

/// Decides a command at feature level 1. A command seen before gets its old outcome and changes nothing.
pub fn apply(command: &Command, current: Current<'_>) -> (Outcome, Vec<Change>) {
    if let Some(outcome) = current.memory.outcome_of(command.request_id) {
        return (outcome, Vec::new());
    }
    if current.memory.may_have_forgotten(command.seen_index) {
        return (Outcome::Expired, Vec::new());
    }
    match decide(command, current) {
        Ok(changes) => (Outcome::Done, changes),
        Err(outcome) => (outcome, Vec::new()),
    }
}

fn decide(command: &Command, current: Current<'_>) -> Result<Vec<Change>, Outcome> {
    if let Operation::Init(init) = &command.operation {
        return initialise(init, current);
    }
    let cluster = current.cluster.ok_or(Outcome::NotInitialised)?;
    if !permitted_there(&command.operation, command.actor, &command.path) {
        return Err(Outcome::Denied);
    }
    current.rules.permit_actor(command.actor, &command.path).map_err(|_| Outcome::Denied)?;
    match &command.operation {
        Operation::Init(_) => Err(Outcome::AlreadyInitialised),
        Operation::CreateKey { name, record } => create_key(name, record, cluster, current.creation),
        Operation::DeleteKey { name, creation_id } => delete_key(name, *creation_id, current.creation),
    }
}

/// Whether a permit on `path` is one for this operation: a command cannot borrow the permit of another.
fn permitted_there(operation: &Operation, actor: Actor, path: &str) -> bool {
    let at = |prefix: &str, name: &str| path.strip_prefix(prefix) == Some(name);
    match operation {
        Operation::Init(_) => actor == Actor::Node,
        Operation::CreateKey { name, .. } => at("/v1/key/create/", name) || at("/v1/key/import/", name),
        Operation::DeleteKey { name, .. } => actor != Actor::Node && at("/v1/key/delete/", name),
    }
}

fn initialise(init: &Init, current: Current<'_>) -> Result<Vec<Change>, Outcome> {
    if current.cluster.is_some() {
        return Err(Outcome::AlreadyInitialised);
    }
    let policies = init.policies.iter().map(|(name, entry)| Change::PutPolicy(name.clone(), entry.clone()));
    let assignments = init.assignments.iter().map(|(id, a)| Change::PutAssignment(*id, a.clone()));
    Ok(std::iter::once(Change::SetCluster(init.cluster.clone())).chain(policies).chain(assignments).collect())
}

fn create_key(
    name: &str,
    record: &Bytes,
    cluster: &Cluster,
    creation: Option<CreationId>,
) -> Result<Vec<Change>, Outcome> {
    if creation.is_some() {
        return Err(Outcome::KeyExists);
    }
    let decoded = KeyRecord::decode(record).map_err(|_| Outcome::Malformed)?;
    if decoded.version != 1 || record.len() > MAX_RECORD_BYTES {
        return Err(Outcome::Malformed);
    }
    if decoded.ring_version != cluster.active_ring_version {
        return Err(Outcome::RingInactive);
    }
    Ok(vec![Change::PutKey { name: name.to_owned(), version: decoded.version, record: record.clone() }])
}

fn delete_key(name: &str, seen: CreationId, creation: Option<CreationId>) -> Result<Vec<Change>, Outcome> {
    match creation {
        Some(id) if id == seen => Ok(vec![Change::RemoveKey { name: name.to_owned() }]),
        _ => Err(Outcome::KeyNotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Cipher;
    use crate::policy::Author;
    use crate::state::{ClusterId, Remembered, RequestId};

    const ADMIN: Actor = Actor::Client { identity: Identity::from_bytes([1; 32]), file_admin: true };
    const STRANGER: Actor = Actor::Client { identity: Identity::from_bytes([2; 32]), file_admin: false };
    const ID: CreationId = CreationId([7; 16]);

    fn record(ring_version: u32, sealed: usize) -> Bytes {
        let record = KeyRecord {
            creation_id: ID,
            version: 1,
            cipher: Cipher::Aes256,
            disabled: false,
            ring_version,
            author: Author::default(),
            sealed: vec![0; sealed],
        };
        record.encode().into()
    }

    fn create(ring_version: u32, sealed: usize) -> Operation {
        Operation::CreateKey { name: "a".to_owned(), record: record(ring_version, sealed) }
    }

    fn delete(creation_id: CreationId) -> Operation {
        Operation::DeleteKey { name: "a".to_owned(), creation_id }
    }

    fn decided(actor: Actor, path: &str, operation: Operation, creation: Option<CreationId>) -> Outcome {
        let cluster = Cluster { id: ClusterId([0; 16]), level: 1, ring: Vec::new(), active_ring_version: 2 };
        let (rules, memory) = (Rules::default(), Memory::default());
        let current = Current { cluster: Some(&cluster), rules: &rules, creation, memory: &memory };
        apply(&command(actor, path, operation), current).0
    }

    fn command(actor: Actor, path: &str, operation: Operation) -> Command {
        Command {
            request_id: RequestId([3; 16]),
            seen_index: 0,
            time_ns: 0,
            actor,
            path: path.to_owned(),
            file_names_admin: true,
            operation,
        }
    }

    #[test]
    fn each_command_has_the_outcome_that_the_state_before_it_asks_for() {
        let (making, importing) = ("/v1/key/create/a", "/v1/key/import/a");
        let removing = "/v1/key/delete/a";
        let table = [
            (ADMIN, making, create(2, 108), None, Outcome::Done),
            (ADMIN, importing, create(2, 108), None, Outcome::Done),
            (Actor::Node, making, create(2, 108), None, Outcome::Done),
            (ADMIN, making, create(2, 108), Some(ID), Outcome::KeyExists),
            (ADMIN, making, create(1, 108), None, Outcome::RingInactive),
            (ADMIN, making, create(2, MAX_RECORD_BYTES), None, Outcome::Malformed),
            (STRANGER, making, create(2, 108), None, Outcome::Denied),
            (ADMIN, "/v1/key/create/b", create(2, 108), None, Outcome::Denied),
            (ADMIN, removing, create(2, 108), None, Outcome::Denied),
            (ADMIN, removing, delete(ID), Some(ID), Outcome::Done),
            (ADMIN, removing, delete(CreationId([8; 16])), Some(ID), Outcome::KeyNotFound),
            (ADMIN, removing, delete(ID), None, Outcome::KeyNotFound),
            (Actor::Node, removing, delete(ID), Some(ID), Outcome::Denied),
        ];
        for (row, (actor, path, operation, creation, expected)) in table.into_iter().enumerate() {
            assert_eq!(decided(actor, path, operation, creation), expected, "row {row}");
        }
    }

    #[test]
    fn a_command_seen_before_has_its_old_outcome_and_changes_nothing() {
        let rules = Rules::default();
        let mut memory = Memory::default();
        let again = command(ADMIN, "/v1/key/create/a", create(2, 108));
        memory.remember(Remembered { request_id: again.request_id, index: 1, outcome: Outcome::KeyExists });
        let current = Current { cluster: None, rules: &rules, creation: None, memory: &memory };
        assert_eq!(apply(&again, current), (Outcome::KeyExists, Vec::new()));
    }
}
