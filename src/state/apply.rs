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
