//! Decides what must change so that a server matches a file. It sends nothing.

mod intersection;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::server_rules::ServerRules;
use crate::config::PolicyFile;
use crate::policy::{ActionKind, Identity, Pattern, Policy, PolicyAction};

/// All differences between a file and a server.
#[derive(Debug, Default)]
pub struct PolicyPlan {
    /// Policies to make, change, assign or delete, by name.
    pub changes: Vec<PolicyChange>,
    /// Assignments of the file that nobody may or should make.
    pub skipped: Vec<SkippedAssignment>,
    /// The file's admin, if it is not an admin of the server.
    pub admin: Option<FileAdmin>,
    /// How many policies and assignments stay on the server that are not in the file.
    pub extra: usize,
    /// The policy of the caller; empty if it has none.
    pub own_policy: String,
}

/// What changes in one policy.
#[derive(Debug)]
pub struct PolicyChange {
    /// Its name.
    pub name: String,
    /// What happens to it.
    pub kind: ChangeKind,
    /// The policy as the file has it; if it is deleted, as the server has it.
    pub policy: Policy,
    /// A policy that allows what this one allows both before and after.
    pub common: Policy,
    /// How its allow patterns differ.
    pub allow: PatternDiff,
    /// How its deny patterns differ.
    pub deny: PatternDiff,
    /// Identities that get it, with the policy that each has before.
    pub assign: Vec<(Identity, Option<String>)>,
    /// Identities that lose it.
    pub remove: Vec<String>,
}

/// What happens to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is made.
    New,
    /// Its patterns change.
    Changed,
    /// Only its identities change.
    Same,
    /// It is deleted.
    Deleted,
}

/// Added and removed patterns.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct PatternDiff {
    /// Patterns that only the file has.
    pub add: Vec<String>,
    /// Patterns that only the server has.
    pub remove: Vec<String>,
}

/// An assignment of the file that the command does not make.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct SkippedAssignment {
    /// The policy in the file.
    pub policy: String,
    /// Who gets it in the file.
    pub identity: String,
    /// Why the command does not make it.
    pub reason: &'static str,
}

/// An admin of the file that is not an admin of the server. An admin may do everything, so the command makes none.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct FileAdmin {
    /// Its identity.
    pub identity: String,
    /// The policy that it has on the server, and keeps.
    pub policy: Option<String>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyStep<'a> {
    /// Take all access from an identity.
    Remove(String),
    /// Make a policy.
    Create(&'a str, &'a Policy),
    /// Replace a policy by one that allows what it allows both before and after.
    Narrow(&'a str, &'a Policy),
    /// Replace a policy.
    Write(&'a str, &'a Policy),
    /// Give an identity a policy.
    Assign(&'a str, Identity),
    /// Delete a policy.
    Delete(&'a str),
}

impl PolicyPlan {
    /// Compares a file with a server. With `prune` the plan deletes what is not in the file.
    pub fn new(file: &PolicyFile, current: &ServerRules, prune: bool) -> Self {
        let mut plan = Self { own_policy: current.own_policy.clone(), ..Self::default() };
        for (name, (policy, identities)) in &file.policies {
            let mut change = PolicyChange::to(name.as_str(), policy, current.policies.get(name.as_str()));
            for identity in identities {
                plan.assign(&mut change, *identity, current);
            }
            plan.changes.push(change);
        }
        plan.admin = file.admin.and_then(|admin| FileAdmin::of(admin, current));
        plan.add_unlisted(file, current, prune);
        plan.changes.retain(|change| !change.is_empty());
        plan.changes.sort_by(|a, b| a.name.cmp(&b.name));
        plan
    }

    fn assign(&mut self, change: &mut PolicyChange, identity: Identity, current: &ServerRules) {
        let text = identity.to_string();
        let had = current.identities.get(&text);
        if had.is_some_and(|entry| !entry.admin && entry.policy == change.name) {
            return;
        }
        let left = |reason| SkippedAssignment { policy: change.name.clone(), identity: text.clone(), reason };
        if had.is_some_and(|entry| entry.admin) {
            self.skipped.push(left(
                "it is an admin of this server, and an admin has no policy: remove it from this policy in the file",
            ));
        } else if text == current.own_identity {
            self.skipped
                .push(left("it is your own identity, and nobody can give a policy to themselves: ask another admin"));
        } else if change.name == self.own_policy && change.kind == ChangeKind::Changed && !change.lets_assign() {
            self.skipped.push(left(
                "this is your own policy: it changes last, and then no longer lets you assign it; ask another admin",
            ));
        } else {
            change.assign.push((identity, had.map(|entry| entry.policy.clone())));
        }
    }

    /// Counts what the server has and the file does not, or with `prune` plans to delete it.
    fn add_unlisted(&mut self, file: &PolicyFile, current: &ServerRules, prune: bool) {
        let assigned = file.policies.values().flat_map(|(_, identities)| identities);
        let listed: BTreeSet<String> = assigned.chain(&file.admin).map(ToString::to_string).collect();
        let mut losing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (identity, entry) in &current.identities {
            if !entry.admin && *identity != current.own_identity && !listed.contains(identity) {
                losing.entry(&entry.policy).or_default().push(identity.clone());
            }
        }
        let unlisted = |name: &&String| !file.policies.contains_key(name.as_str()) && **name != current.own_policy;
        let policies: Vec<&String> = current.policies.keys().filter(unlisted).collect();
        if !prune {
            self.extra = losing.values().map(Vec::len).sum::<usize>() + policies.len();
            return;
        }
        for name in policies {
            self.changes.push(PolicyChange::deletion(name, &current.policies[name]));
        }
        for (policy, identities) in losing {
            match self.changes.iter_mut().find(|change| change.name == policy) {
                Some(change) => change.remove = identities,
                None => self.changes.push(
                    PolicyChange { remove: identities, ..PolicyChange::to(policy, &Policy::default(), None) }.kept(),
                ),
            }
        }
    }
}

impl FileAdmin {
    fn of(admin: Identity, current: &ServerRules) -> Option<Self> {
        let identity = admin.to_string();
        let entry = current.identities.get(&identity);
        let policy = entry.map(|entry| entry.policy.clone());
        (!entry.is_some_and(|entry| entry.admin)).then_some(Self { identity, policy })
    }
}

impl PolicyChange {
    fn to(name: &str, wanted: &Policy, now: Option<&Policy>) -> Self {
        let kind = match now {
            None => ChangeKind::New,
            Some(now) if now == wanted => ChangeKind::Same,
            Some(_) => ChangeKind::Changed,
        };
        let none = Policy::default();
        let now = now.unwrap_or(&none);
        Self {
            name: name.to_owned(),
            kind,
            policy: wanted.clone(),
            common: intersection::intersection(now, wanted),
            allow: PatternDiff::between(&now.allow, &wanted.allow),
            deny: PatternDiff::between(&now.deny, &wanted.deny),
            assign: Vec::new(),
            remove: Vec::new(),
        }
    }

    fn deletion(name: &str, now: &Policy) -> Self {
        let nothing = Policy::default();
        Self { kind: ChangeKind::Deleted, policy: now.clone(), ..Self::to(name, &nothing, Some(now)) }
    }

    /// The same change for a policy whose patterns stay: the caller's own, which others lose.
    fn kept(self) -> Self {
        Self { kind: ChangeKind::Same, ..self }
    }

    fn is_empty(&self) -> bool {
        self.kind == ChangeKind::Same && self.assign.is_empty() && self.remove.is_empty()
    }

    /// Whether an identity with this policy may assign it to others.
    fn lets_assign(&self) -> bool {
        self.policy.allows(ActionKind::Policy(PolicyAction::Assign).on(&self.name))
    }

    /// The request that makes or replaces the policy.
    pub fn written(&self) -> PolicyStep<'_> {
        match self.kind {
            ChangeKind::New => PolicyStep::Create(&self.name, &self.policy),
            _ => PolicyStep::Write(&self.name, &self.policy),
        }
    }
}

impl PatternDiff {
    fn between(now: &[Pattern], wanted: &[Pattern]) -> Self {
        let beyond = |these: &[Pattern], those: &[Pattern]| -> Vec<String> {
            these.iter().filter(|pattern| !those.contains(pattern)).map(|pattern| pattern.as_str().to_owned()).collect()
        };
        Self { add: beyond(wanted, now), remove: beyond(now, wanted) }
    }
}

#[cfg(test)]
mod tests;
