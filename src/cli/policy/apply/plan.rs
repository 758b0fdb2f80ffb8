//! What has to change for a server to have what a file says; decided here, carried out elsewhere.

mod intersection;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::server_rules::ServerRules;
use crate::config::PolicyFile;
use crate::policy::{Identity, Pattern, Policy};

/// Everything that differs.
#[derive(Debug, Default)]
pub struct PolicyPlan {
    /// Policies that are to be made, changed, assigned or deleted, by name.
    pub changes: Vec<PolicyChange>,
    /// What the file wants and nobody may or should do.
    pub left: Vec<LeftAlone>,
    /// The file's admin, where it is none here.
    pub admin: Option<FileAdmin>,
    /// How many policies and assignments the server has and the file does not, and that stay.
    pub extra: usize,
    /// The policy of the caller; empty if it has none.
    pub own_policy: String,
}

/// What changes about one policy.
#[derive(Debug)]
pub struct PolicyChange {
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub kind: ChangeKind,
    /// What it shall be; for one that is deleted, what it was.
    pub policy: Policy,
    /// What it allows now and shall allow.
    pub common: Policy,
    /// Patterns that come to those that allow, and that go from them.
    pub allow: PatternDiff,
    /// The same of those that deny.
    pub deny: PatternDiff,
    /// Identities that get it, with the policy that each had.
    pub assign: Vec<(Identity, Option<String>)>,
    /// Identities that lose it.
    pub remove: Vec<String>,
}

/// What becomes of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is made.
    New,
    /// Its patterns change.
    Changed,
    /// Only who has it changes.
    Same,
    /// It is deleted.
    Deleted,
}

/// Patterns that come and go.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct PatternDiff {
    /// What comes.
    pub add: Vec<String>,
    /// What goes.
    pub remove: Vec<String>,
}

/// An assignment that is left as it is.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct LeftAlone {
    /// The policy the file gives it.
    pub policy: String,
    /// Whose it is.
    pub identity: String,
    /// Why it stays.
    pub reason: &'static str,
}

/// An admin that the file names and that is none here. It may do everything, so that none is made in passing.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct FileAdmin {
    /// Who it is.
    pub identity: String,
    /// The policy that it has here, and keeps.
    pub policy: Option<String>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyStep<'a> {
    /// Take all access from an identity.
    Remove(String),
    /// Make a policy.
    Create(&'a str, &'a Policy),
    /// Replace a policy by what it allows and will allow.
    Narrow(&'a str, &'a Policy),
    /// Replace a policy.
    Write(&'a str, &'a Policy),
    /// Give an identity a policy.
    Assign(&'a str, Identity),
    /// Delete a policy.
    Delete(&'a str),
}

impl PolicyPlan {
    /// Compares; with `prune`, what the file does not have goes.
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
        plan.unlisted(file, current, prune);
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
        let left = |reason| LeftAlone { policy: change.name.clone(), identity: text.clone(), reason };
        if had.is_some_and(|entry| entry.admin) {
            self.left.push(left("it is an admin here, and an admin has no policy"));
        } else if text == current.own_identity {
            self.left.push(left("it is your own identity, and nobody gives a policy to themselves"));
        } else if change.name == self.own_policy && change.kind == ChangeKind::Changed && !change.lets_assign() {
            self.left.push(left("it is given your own policy, which changes last and then lets you assign it no more"));
        } else {
            change.assign.push((identity, had.map(|entry| entry.policy.clone())));
        }
    }

    /// What the server has and the file does not.
    fn unlisted(&mut self, file: &PolicyFile, current: &ServerRules, prune: bool) {
        let assigned = file.policies.values().flat_map(|(_, identities)| identities);
        let listed: BTreeSet<String> = assigned.chain(&file.admin).map(ToString::to_string).collect();
        let mut gone: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (identity, entry) in &current.identities {
            if !entry.admin && *identity != current.own_identity && !listed.contains(identity) {
                gone.entry(&entry.policy).or_default().push(identity.clone());
            }
        }
        let unlisted = |name: &&String| !file.policies.contains_key(name.as_str()) && **name != current.own_policy;
        let policies: Vec<&String> = current.policies.keys().filter(unlisted).collect();
        if !prune {
            self.extra = gone.values().map(Vec::len).sum::<usize>() + policies.len();
            return;
        }
        for name in policies {
            self.changes.push(PolicyChange::deletion(name, &current.policies[name]));
        }
        for (policy, identities) in gone {
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
            common: intersection::common(now, wanted),
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

    /// The same of a policy that stays as it is: the caller's own, which others lose.
    fn kept(self) -> Self {
        Self { kind: ChangeKind::Same, ..self }
    }

    fn is_empty(&self) -> bool {
        self.kind == ChangeKind::Same && self.assign.is_empty() && self.remove.is_empty()
    }

    /// Whether whoever has it may give it to others.
    fn lets_assign(&self) -> bool {
        self.policy.allows(&format!("/v1/policy/assign/{}", self.name))
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
