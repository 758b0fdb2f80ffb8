//! Applying a command: a pure decision from the command and the state before it.

mod access;
mod keys;
mod ring;

use super::change::{Change, Current, Decision};
use super::level::Level;
#[cfg(feature = "level-2")]
use super::level_2;
use super::{ClusterState, Command, EncodedCommand, Init, Operation, Outcome, RecordedOutcome, stored_assignment};
use crate::policy::{ActionKind, Actor, KeyAction, Rules};

/// Decides a command. The outcome and the changes are the same on every node, for any bytes, and for ever: what is
/// decided here at a level of a released version never changes.
///
/// A command that was applied before gets its old outcome and changes nothing.
pub fn apply(command: &EncodedCommand, current: Current<'_>) -> (RecordedOutcome, Vec<Change>) {
    if let Some(outcome) = current.memory.outcome_of(command.request_id()) {
        return (outcome, Vec::new());
    }
    match decide(command, current) {
        Ok(changes) => (Outcome::Done.into(), changes),
        Err(outcome) => (outcome, Vec::new()),
    }
}

/// The changes of a command, or the outcome of one that changes nothing.
fn decide(command: &EncodedCommand, current: Current<'_>) -> Result<Vec<Change>, RecordedOutcome> {
    if current.memory.may_have_forgotten(command.seen_index()) {
        return Err(Outcome::Expired.into());
    }
    // The node appends no entry above the levels that it can read. So the level is below them if this fails.
    let level = Level::of(command.level()).ok_or(Outcome::LevelNotActive)?;
    match current.cluster {
        Some(cluster) if command.level() == cluster.level => decide_at(level, command.body(), cluster, current),
        // The command that raises the level has the new level itself. A node that cannot read it does not even append it.
        // So enough such nodes keep the cluster at the old level.
        Some(cluster) if cluster.level.checked_add(1) == Some(command.level()) && raises_level(command) => {
            let raised = ClusterState { level: command.level(), ..cluster.clone() };
            Ok(vec![Change::SetCluster(raised.into_stored())])
        }
        Some(_) => Err(Outcome::LevelNotActive.into()),
        // The level of the first command is that of the cluster, for the same reason.
        None => match decode(level, command.body()) {
            Ok(Some(Command { operation: Operation::Init(init), actor: Actor::Node, action: None, .. })) => {
                Ok(initialise(command.level(), &init)?)
            }
            Err(Outcome::Malformed) => Err(Outcome::Malformed.into()),
            // One outcome for all others: another version may know the action that this one does not.
            _ => Err(Outcome::NotInitialised.into()),
        },
    }
}

/// Decides a command of the active level.
fn decide_at(
    level: Level,
    body: &[u8],
    cluster: &ClusterState,
    current: Current<'_>,
) -> Result<Vec<Change>, RecordedOutcome> {
    match level {
        Level::One => Ok(decide_at_level_1(&Command::decode(body)?, cluster, current)?),
        #[cfg(feature = "level-2")]
        Level::Two => match level_2::Body::decode(body)? {
            level_2::Body::OfLevel1(body) => decide_at(Level::One, body, cluster, current),
            level_2::Body::Note(note) => Err(level_2::noted(note)),
        },
    }
}

/// Reads a body of this level. `None` for a command that level 1 does not have: it neither begins a cluster nor raises
/// the level.
fn decode(level: Level, body: &[u8]) -> Result<Option<Command>, Outcome> {
    match level {
        Level::One => Command::decode(body).map(Some),
        #[cfg(feature = "level-2")]
        Level::Two => match level_2::Body::decode(body)? {
            level_2::Body::OfLevel1(body) => decode(Level::One, body),
            level_2::Body::Note(_) => Ok(None),
        },
    }
}

/// Whether a command raises the feature level of the cluster to its own level, and comes from a node.
pub fn raises_level(command: &EncodedCommand) -> bool {
    let decoded = Level::of(command.level()).map(|level| decode(level, command.body()));
    let Some(Ok(Some(Command { operation, actor, action, .. }))) = decoded else { return false };
    operation == Operation::RaiseLevel { to: command.level() } && actor == Actor::Node && action.is_none()
}

/// Whether what a command changes takes room on the disk for good, as far as this version can read the command. A cluster
/// without room refuses such commands, and takes those that take something away.
pub fn needs_room(command: &EncodedCommand) -> bool {
    let decoded = Level::of(command.level()).map(|level| decode(level, command.body()));
    let Some(Ok(Some(Command { operation, .. }))) = decoded else { return true };
    operation.needs_room()
}

fn decide_at_level_1(command: &Command, cluster: &ClusterState, current: Current<'_>) -> Decision {
    check_permission(command, current.rules)?;
    match &command.operation {
        Operation::Init(_) => Err(Outcome::AlreadyInitialised),
        Operation::CreateKey { name, record } => keys::create(name, record, cluster, current),
        Operation::RotateKey { name, record } => keys::rotate(name, record, cluster, current),
        Operation::SetVersion { key, version, disabled } => keys::set_version(key, *version, *disabled, current),
        Operation::DeleteKey { key, window_ns } => keys::delete(key, *window_ns, cluster, current),
        Operation::RestoreKey(key) => keys::restore(key, current),
        Operation::PurgeKey(key) => keys::purge(key, command.actor, cluster, current),
        Operation::RecordUse(uses) => keys::record_uses(uses, current),
        Operation::AdvanceTime { time_ns } => Ok(advance_time(*time_ns, cluster)),
        Operation::Access(change) => access::decide(change, command, current.rules),
        Operation::Ring(change) => ring::decide(change, cluster, current),
        Operation::RaiseLevel { .. } => Err(Outcome::LevelNotNext),
    }
}

/// Checks the permission again, by the rules at this point of the log. A command cannot borrow the permission for another
/// action, and a client cannot do what only a node does.
fn check_permission(command: &Command, rules: &Rules) -> Result<(), Outcome> {
    let Command { operation, actor, action, .. } = command;
    let fits = action.is_some_and(|action| actions(operation).contains(&action));
    let permitted = match (actor, action) {
        (Actor::Node, None) => matches!(
            operation,
            Operation::Init(_)
                | Operation::RecordUse(_)
                | Operation::AdvanceTime { .. }
                | Operation::RaiseLevel { .. }
                | Operation::Ring(_)
        ),
        (Actor::Node, Some(_)) => fits && matches!(operation, Operation::CreateKey { .. } | Operation::PurgeKey(_)),
        (Actor::Client { .. }, Some(action)) => {
            fits && rules.permit_actor(*actor, action.on(&operation.name())).is_ok()
        }
        (Actor::Client { .. }, None) => false,
    };
    if permitted { Ok(()) } else { Err(Outcome::Denied) }
}

/// The actions that lead to an operation.
fn actions(operation: &Operation) -> &'static [ActionKind] {
    use ActionKind::Key;
    match operation {
        Operation::Init(_)
        | Operation::RecordUse(_)
        | Operation::AdvanceTime { .. }
        | Operation::RaiseLevel { .. }
        | Operation::Ring(_) => &[],
        Operation::CreateKey { .. } => &[Key(KeyAction::Create), Key(KeyAction::Import)],
        Operation::RotateKey { .. } => &[Key(KeyAction::Rotate)],
        Operation::SetVersion { disabled: true, .. } => &[Key(KeyAction::Disable)],
        Operation::SetVersion { disabled: false, .. } => &[Key(KeyAction::Enable)],
        Operation::DeleteKey { .. } => &[Key(KeyAction::Delete)],
        Operation::RestoreKey(_) => &[Key(KeyAction::Restore)],
        Operation::PurgeKey(_) => &[Key(KeyAction::Purge)],
        Operation::Access(change) => access::actions(change),
    }
}

/// The cluster begins at the level of its first command.
fn initialise(level: u32, init: &Init) -> Decision {
    let cluster = init.cluster.clone().into_stored();
    if cluster.value.level != level || cluster.bytes.len() > ring::MAX_CLUSTER_BYTES {
        return Err(Outcome::Malformed);
    }
    let mut changes = vec![Change::SetCluster(cluster)];
    for (name, policy, author) in &init.policies {
        changes.push(access::put_policy(name, policy.clone(), *author)?);
    }
    let assignments = init.assignments.iter();
    changes.extend(assignments.map(|(id, a)| Change::PutAssignment(*id, stored_assignment(*id, a.clone()))));
    Ok(changes)
}

/// Time never goes back.
fn advance_time(time_ns: u64, cluster: &ClusterState) -> Vec<Change> {
    if time_ns <= cluster.time_ns {
        return Vec::new();
    }
    vec![Change::SetCluster(ClusterState { time_ns, ..cluster.clone() }.into_stored())]
}

#[cfg(test)]
mod frozen_tests;
#[cfg(test)]
mod level_2_tests;
#[cfg(test)]
mod level_tests;
#[cfg(test)]
mod ring_tests;
#[cfg(test)]
mod tests;
