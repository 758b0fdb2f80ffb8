//! Applying a command: a pure decision from the command and the state before it.

mod access;
mod keys;

use super::change::{Change, Current, Decision};
use super::{ClusterState, Command, Init, Operation, Outcome};
use crate::policy::{ActionKind, Actor, KeyAction, Rules};

/// Decides a command, in the same way at feature levels 1 and 2. A command that was applied before gets its old outcome
/// and changes nothing.
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

fn decide(command: &Command, current: Current<'_>) -> Decision {
    if let Operation::Init(init) = &command.operation {
        return initialise(command.actor, init, current);
    }
    let cluster = current.cluster.ok_or(Outcome::NotInitialised)?;
    check_permission(command, current.rules)?;
    match &command.operation {
        Operation::Init(_) => Err(Outcome::AlreadyInitialised),
        Operation::CreateKey { name, record } => keys::create(name, record, cluster, current),
        Operation::RotateKey { name, record } => keys::rotate(name, record, cluster, current),
        Operation::SetVersion { key, version, disabled } => keys::set_version(key, *version, *disabled, current),
        Operation::DeleteKey { key, window_ns } => keys::delete(key, *window_ns, cluster, current),
        Operation::RestoreKey(key) => keys::restore(key, current),
        Operation::PurgeKey(key) => keys::purge(key, command.actor, cluster, current),
        Operation::RecordUse(uses) => Ok(keys::record_uses(uses, current)),
        Operation::AdvanceTime { time_ns } => Ok(advance_time(*time_ns, cluster)),
        Operation::Access(change) => access::decide(change, command, current.rules),
    }
}

/// Checks the permission again, by the rules at this point of the log. A command cannot borrow the permission for another
/// action, and a client cannot do what only a node does.
fn check_permission(command: &Command, rules: &Rules) -> Result<(), Outcome> {
    let Command { operation, actor, action, .. } = command;
    let fits = action.is_some_and(|action| actions(operation).contains(&action));
    let permitted = match (actor, action) {
        (Actor::Node, None) => matches!(operation, Operation::RecordUse(_) | Operation::AdvanceTime { .. }),
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
        Operation::Init(_) | Operation::RecordUse(_) | Operation::AdvanceTime { .. } => &[],
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

fn initialise(actor: Actor, init: &Init, current: Current<'_>) -> Decision {
    if actor != Actor::Node {
        return Err(Outcome::Denied);
    }
    if current.cluster.is_some() {
        return Err(Outcome::AlreadyInitialised);
    }
    let policies = init.policies.iter().map(|(name, entry)| Change::PutPolicy(name.clone(), entry.clone()));
    let assignments = init.assignments.iter().map(|(id, a)| Change::PutAssignment(*id, a.clone()));
    Ok(std::iter::once(Change::SetCluster(init.cluster.clone())).chain(policies).chain(assignments).collect())
}

/// Time never goes back.
fn advance_time(time_ns: u64, cluster: &ClusterState) -> Vec<Change> {
    if time_ns <= cluster.time_ns {
        return Vec::new();
    }
    vec![Change::SetCluster(ClusterState { time_ns, ..cluster.clone() })]
}

#[cfg(test)]
mod tests;
