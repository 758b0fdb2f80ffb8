//! Deciding changes of policies and identities.

use crate::policy::{
    ActionKind, Actor, Assignment, Author, Identity, IdentityAction, MAX_POLICY_BYTES, Policy, PolicyAction,
    PolicyName, Role, Rules,
};
use crate::state::change::{Change, Decision};
use crate::state::{AccessChange, Command, Outcome, Replaces, stored_assignment, stored_policy};

pub(super) fn decide(change: &AccessChange, command: &Command, rules: &Rules) -> Decision {
    let Actor::Client { identity: by, .. } = command.actor else { return Err(Outcome::Denied) };
    let author = Author { created_at: Some(command.time_ns), created_by: Some(by) };
    let by_admin = rules.acts_as_admin(command.actor);
    match change {
        AccessChange::PutPolicy { name, policy, replaces } => {
            may_replace(name, *replaces, rules)?;
            Ok(vec![put_policy(name, policy.clone(), author)?])
        }
        AccessChange::DeletePolicy { name } => delete_policy(name, rules),
        AccessChange::AssignPolicy { identity, .. } if *identity == by => Err(Outcome::Denied),
        AccessChange::AssignPolicy { policy, identity } => assign(policy, *identity, author, rules),
        AccessChange::CreateIdentity { role: Role::Admin, .. } if !by_admin => Err(Outcome::Denied),
        AccessChange::CreateIdentity { identity, role } => create_identity(*identity, role, author, rules),
        AccessChange::DeleteIdentity { identity } if rules.is_admin(*identity) && !by_admin => Err(Outcome::Denied),
        AccessChange::DeleteIdentity { identity } => delete_identity(*identity, command.file_names_admin, rules),
    }
}

/// The actions that lead to a change.
pub(super) fn actions(change: &AccessChange) -> &'static [ActionKind] {
    use ActionKind::{Identity, Policy};
    match change {
        AccessChange::PutPolicy { replaces: Replaces::Nothing, .. } => &[Policy(PolicyAction::Create)],
        AccessChange::PutPolicy { .. } => &[Policy(PolicyAction::Write)],
        AccessChange::DeletePolicy { .. } => &[Policy(PolicyAction::Delete)],
        AccessChange::AssignPolicy { .. } => &[Policy(PolicyAction::Assign)],
        AccessChange::CreateIdentity { .. } => &[Identity(IdentityAction::Create)],
        AccessChange::DeleteIdentity { .. } => &[Identity(IdentityAction::Delete)],
    }
}

fn may_replace(name: &PolicyName, replaces: Replaces, rules: &Rules) -> Result<(), Outcome> {
    match (replaces, rules.policies.get(name)) {
        (Replaces::Nothing, Some(_)) => Err(Outcome::PolicyExists),
        (Replaces::Only(_), None) => Err(Outcome::PolicyChanged),
        (Replaces::Only(tag), Some(entry)) if tag != entry.tag => Err(Outcome::PolicyChanged),
        _ => Ok(()),
    }
}

pub(super) fn put_policy(name: &PolicyName, policy: Policy, author: Author) -> Result<Change, Outcome> {
    let stored = stored_policy(name, policy, author);
    if stored.bytes.len() > MAX_POLICY_BYTES {
        return Err(Outcome::Malformed);
    }
    Ok(Change::PutPolicy(name.clone(), stored))
}

fn put_assignment(identity: Identity, role: Role, author: Author) -> Change {
    Change::PutAssignment(identity, stored_assignment(identity, Assignment { role, author }))
}

/// Its assignments are removed, too, so that a later policy of that name does not give anybody access.
fn delete_policy(name: &PolicyName, rules: &Rules) -> Decision {
    known(name, rules)?;
    let bound = rules.identities.iter().filter(|(_, a)| matches!(&a.role, Role::Policy(policy) if policy == name));
    let unbound = bound.map(|(identity, _)| Change::RemoveAssignment(*identity));
    Ok(unbound.chain([Change::RemovePolicy(name.clone())]).collect())
}

fn assign(policy: &PolicyName, identity: Identity, author: Author, rules: &Rules) -> Decision {
    known(policy, rules)?;
    if rules.is_admin(identity) {
        return Err(Outcome::IdentityIsAdmin);
    }
    Ok(vec![put_assignment(identity, Role::Policy(policy.clone()), author)])
}

fn create_identity(identity: Identity, role: &Role, author: Author, rules: &Rules) -> Decision {
    if rules.identities.contains_key(&identity) {
        return Err(Outcome::IdentityExists);
    }
    if let Role::Policy(name) = role {
        known(name, rules)?;
    }
    Ok(vec![put_assignment(identity, role.clone(), author)])
}

fn delete_identity(identity: Identity, file_names_admin: bool, rules: &Rules) -> Decision {
    let assignment = rules.identities.get(&identity).ok_or(Outcome::IdentityNotFound)?;
    let admins = rules.identities.values().filter(|assignment| assignment.role == Role::Admin).count();
    if assignment.role == Role::Admin && admins == 1 && !file_names_admin {
        return Err(Outcome::LastAdmin);
    }
    Ok(vec![Change::RemoveAssignment(identity)])
}

fn known(policy: &PolicyName, rules: &Rules) -> Result<(), Outcome> {
    if rules.policies.contains_key(policy) { Ok(()) } else { Err(Outcome::PolicyNotFound) }
}
