//! Applying a command: a pure decision from the command and the state before it.

mod access;
mod keys;

use super::change::{Change, Current, Decision};
use super::{
    ClusterState, Command, EncodedCommand, Init, LOWEST_LEVEL, Operation, Outcome, RecordedOutcome, stored_assignment,
};
use crate::policy::{ActionKind, Actor, KeyAction, Rules};

/// More than the facts about a cluster take with hundreds of ring versions. An entry of a snapshot must hold them.
const MAX_CLUSTER_BYTES: usize = 64 * 1024;

/// Decides a command. The outcome and the changes are the same on every node, for any bytes, and for ever: what is
/// decided here at a level of a released version never changes.
///
/// A command that was applied before gets its old outcome and changes nothing.
pub fn apply(command: &EncodedCommand, current: Current<'_>) -> (RecordedOutcome, Vec<Change>) {
    if let Some(outcome) = current.memory.outcome_of(command.request_id()) {
        return (outcome.clone(), Vec::new());
    }
    match decide(command, current) {
        Ok(changes) => (Outcome::Done.into(), changes),
        Err(outcome) => (outcome.into(), Vec::new()),
    }
}

fn decide(command: &EncodedCommand, current: Current<'_>) -> Decision {
    if current.memory.may_have_forgotten(command.seen_index()) {
        return Err(Outcome::Expired);
    }
    let level = command.level();
    match current.cluster {
        Some(cluster) if level == cluster.level => decide_at_level_1(&decode(command)?, cluster, current),
        // The command that raises the level has the new level itself. A node that cannot read that level does not even
        // append it, so that such nodes together can still keep the cluster at the old level.
        Some(cluster) if cluster.level.checked_add(1) == Some(level) && raises_level(command) => {
            Ok(vec![Change::SetCluster(ClusterState { level, ..cluster.clone() }.into_stored())])
        }
        Some(_) => Err(Outcome::LevelNotActive),
        // The level of the first command is that of the cluster, for the same reason.
        None => match decode(command)? {
            Command { operation: Operation::Init(init), actor: Actor::Node, action: None, .. } => {
                initialise(level, &init)
            }
            Command { operation: Operation::Init(_), .. } => Err(Outcome::Denied),
            _ => Err(Outcome::NotInitialised),
        },
    }
}

fn decode(command: &EncodedCommand) -> Result<Command, Outcome> {
    // The levels that a node can read are those from `LOWEST_LEVEL` on. It appends none above them.
    if command.level() < LOWEST_LEVEL {
        return Err(Outcome::LevelNotActive);
    }
    Command::decode(command.body())
}

/// Whether a command raises the feature level of the cluster to its own level, and comes from a node.
pub fn raises_level(command: &EncodedCommand) -> bool {
    decode(command).is_ok_and(|Command { operation, actor, action, .. }| {
        operation == Operation::RaiseLevel { to: command.level() } && actor == Actor::Node && action.is_none()
    })
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
        Operation::RaiseLevel { .. } => Err(Outcome::LevelNotNext),
    }
}

/// Checks the permission again, by the rules at this point of the log. A command cannot borrow the permission for another
/// action, and a client cannot do what only a node does.
fn check_permission(command: &Command, rules: &Rules) -> Result<(), Outcome> {
    let Command { operation, actor, action, .. } = command;
    let fits = action.is_some_and(|action| actions(operation).contains(&action));
    let permitted = match (actor, action) {
        (Actor::Node, None) => {
            matches!(operation, Operation::RecordUse(_) | Operation::AdvanceTime { .. } | Operation::RaiseLevel { .. })
        }
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
        Operation::Init(_) | Operation::RecordUse(_) | Operation::AdvanceTime { .. } | Operation::RaiseLevel { .. } => {
            &[]
        }
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
    if cluster.value.level != level || cluster.bytes.len() > MAX_CLUSTER_BYTES {
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
mod tests;
