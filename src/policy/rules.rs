//! The rules in force: every policy, every assignment, and the check that turns them into a permit.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Action, Actor, Allowed, Denied, Identity, Pattern, PolicyName};

/// The largest policy as stored, in bytes (wire contract, "Errors").
pub const MAX_POLICY_BYTES: usize = 64 * 1024;

/// What a policy allows and denies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Patterns that allow, sorted, without doubles.
    pub allow: Vec<Pattern>,
    /// Patterns that deny; they are checked first.
    pub deny: Vec<Pattern>,
}

/// When and by whom something was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Author {
    /// Unix time in nanoseconds; absent when unknown.
    pub created_at: Option<i64>,
    /// Absent when unknown.
    pub created_by: Option<Identity>,
}

/// SHA-256 of a policy as it is stored, with its author and date, so that two writes never leave the same tag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PolicyTag(pub [u8; 32]);

/// A policy and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyEntry {
    /// What it allows and denies.
    pub policy: Policy,
    /// Who made it, and when.
    pub author: Author,
    /// The tag of exactly this policy.
    pub tag: PolicyTag,
}

/// What an identity is: an admin, or bound to one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// May do everything.
    Admin,
    /// May do what the policy says.
    Policy(PolicyName),
}

/// The role of an identity and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The role.
    pub role: Role,
    /// Who gave it, and when.
    pub author: Author,
}

/// Every policy and every identity; a value that is replaced whole when one changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Policies by name.
    pub policies: BTreeMap<PolicyName, Arc<PolicyEntry>>,
    /// Assignments by identity. The admin of a configuration file is not among them.
    pub identities: BTreeMap<Identity, Assignment>,
}

impl PolicyTag {
    /// The tag of a policy that is stored as these bytes.
    pub fn of_stored(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl Policy {
    /// A policy of these patterns, in their canonical order.
    pub fn new(allow: impl IntoIterator<Item = Pattern>, deny: impl IntoIterator<Item = Pattern>) -> Self {
        Self { allow: sorted(allow), deny: sorted(deny) }
    }

    /// Whether the policy allows an action: deny before allow, and nothing matching means no.
    pub fn allows(&self, action: Action<'_>) -> bool {
        !any_matches(&self.deny, action) && any_matches(&self.allow, action)
    }
}

impl Rules {
    /// Checks whether an identity may do an action. `file_admin` is the admin that this node's configuration file names.
    ///
    /// # Errors
    /// [`Denied`] when it may not.
    pub fn permit<'a>(
        &self,
        identity: Identity,
        file_admin: Option<Identity>,
        action: Action<'a>,
    ) -> Result<Allowed<'a>, Denied> {
        self.permit_actor(Actor::Client { identity, file_admin: file_admin == Some(identity) }, action)
    }

    /// The same check for an actor whose standing is already known, such as the one a replicated command names.
    ///
    /// # Errors
    /// [`Denied`] when it may not.
    pub fn permit_actor<'a>(&self, actor: Actor, action: Action<'a>) -> Result<Allowed<'a>, Denied> {
        match actor {
            Actor::Node | Actor::Client { file_admin: true, .. } => Ok(Allowed::new(actor, action)),
            Actor::Client { identity, .. } if self.allows(identity, action) => Ok(Allowed::new(actor, action)),
            Actor::Client { .. } => Err(Denied),
        }
    }

    /// Whether an identity is an admin; the one of a configuration file is not known here.
    pub fn is_admin(&self, identity: Identity) -> bool {
        self.identities.get(&identity).is_some_and(|assignment| assignment.role == Role::Admin)
    }

    /// Whether an actor may do everything: an admin of either kind, or the node itself.
    pub fn acts_as_admin(&self, actor: Actor) -> bool {
        match actor {
            Actor::Node | Actor::Client { file_admin: true, .. } => true,
            Actor::Client { identity, .. } => self.is_admin(identity),
        }
    }

    /// The policy of an identity, when it has one that exists.
    pub fn policy_of(&self, identity: Identity) -> Option<&Policy> {
        match &self.identities.get(&identity)?.role {
            Role::Admin => None,
            Role::Policy(name) => self.policies.get(name).map(|entry| &entry.policy),
        }
    }

    fn allows(&self, identity: Identity, action: Action<'_>) -> bool {
        match self.identities.get(&identity).map(|assignment| &assignment.role) {
            Some(Role::Admin) => true,
            Some(Role::Policy(name)) => self.policies.get(name).is_some_and(|entry| entry.policy.allows(action)),
            None => false,
        }
    }
}

fn sorted(patterns: impl IntoIterator<Item = Pattern>) -> Vec<Pattern> {
    let mut patterns: Vec<_> = patterns.into_iter().collect();
    patterns.sort();
    patterns.dedup();
    patterns
}

fn any_matches(patterns: &[Pattern], action: Action<'_>) -> bool {
    action.paths().any(|(path, name)| patterns.iter().any(|pattern| pattern.matches_path(path, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(path: &str) -> Action<'_> {
        Action::parse(path).unwrap()
    }

    fn policy(allow: &[&str], deny: &[&str]) -> Policy {
        let parse = |texts: &[&str]| texts.iter().map(|t| Pattern::parse(t).unwrap()).collect::<Vec<_>>();
        Policy::new(parse(allow), parse(deny))
    }

    fn rules() -> (Rules, Identity) {
        let identity = Identity::from_bytes([7; 32]);
        let name = PolicyName::parse("app").unwrap();
        let entry = PolicyEntry {
            policy: policy(&["/v1/key/create/my-*", "/v1/key/list"], &["/v1/key/create/my-secret*"]),
            author: Author::default(),
            tag: PolicyTag::default(),
        };
        let assignment = Assignment { role: Role::Policy(name.clone()), author: Author::default() };
        let rules = Rules { policies: [(name, Arc::new(entry))].into(), identities: [(identity, assignment)].into() };
        (rules, identity)
    }

    #[test]
    fn deny_comes_before_allow_and_nothing_means_no() {
        let (rules, app) = rules();
        let allowed = |path| rules.permit(app, None, on(path)).is_ok();
        assert!(allowed("/v1/key/create/my-key"));
        assert!(!allowed("/v1/key/create/my-secret-key"));
        assert!(!allowed("/v1/key/delete/my-key"));
        assert!(rules.permit(Identity::from_bytes([8; 32]), None, on("/v1/key/create/my-key")).is_err());
    }

    #[test]
    fn a_listing_is_one_request_in_both_forms() {
        let (rules, app) = rules();
        assert!(rules.permit(app, None, on("/v1/key/list")).is_ok());
        assert!(rules.permit(app, None, on("/v1/key/list/")).is_ok());
        assert!(rules.permit(app, None, on("/v1/key/list/a")).is_err());
        assert!(!policy(&["*"], &["/v1/key/list/"]).allows(on("/v1/key/list")));
    }

    #[test]
    fn the_file_admin_may_do_everything_and_an_assignment_without_its_policy_nothing() {
        let (mut rules, app) = rules();
        let root = Identity::from_bytes([1; 32]);
        assert!(rules.permit(root, Some(root), on("/v1/key/delete/x")).is_ok());
        rules.policies.clear();
        assert!(rules.permit(app, None, on("/v1/key/create/my-key")).is_err());
    }
}
