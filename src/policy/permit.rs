//! The permit: proof that the policy check let an actor do one action.

use super::Identity;
use super::action::{Action, ActionKind};
use super::permitted::{NodeAction, PermitError, PermittedAction, Target as _};

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A client, known by its certificate.
    Client {
        /// Its identity.
        identity: Identity,
        /// Whether it is the admin that this node's configuration file names.
        file_admin: bool,
    },
    /// The node itself: it begins the cluster, and creates and purges keys without a client.
    Node,
}

/// An action that the policy check allows to an actor. The name is as the client sent it, and may break the grammar.
#[derive(Debug, Clone, Copy)]
pub struct Allowed<'a> {
    actor: Actor,
    action: Action<'a>,
}

/// Proof that an actor may do the action `A` to one target, which has a name of the right form.
///
/// Only the policy check, by way of [`Allowed::permit`], and [`Permit::for_node`] make one. An operation of
/// [`crate::kms`] takes the permit of its own action:
///
/// ```
/// # use keyraft::policy::{Permit, permitted};
/// fn decrypt(permit: &Permit<'_, permitted::Decrypt>) {}
/// fn handle(permit: &Permit<'_, permitted::Decrypt>) {
///     decrypt(permit);
/// }
/// ```
///
/// The permit of another action does not compile:
///
/// ```compile_fail
/// # use keyraft::policy::{Permit, permitted};
/// fn decrypt(permit: &Permit<'_, permitted::Decrypt>) {}
/// fn handle(permit: &Permit<'_, permitted::DescribeKey>) {
///     decrypt(permit);
/// }
/// ```
///
/// Nor does one that nobody checked:
///
/// ```compile_fail
/// # use keyraft::policy::{Actor, KeyName, Permit, permitted};
/// fn forge(name: KeyName<'_>) -> Permit<'_, permitted::Decrypt> {
///     Permit { actor: Actor::Node, target: name }
/// }
/// ```
///
/// Nor does one that a node gives itself for what only clients do:
///
/// ```compile_fail
/// # use keyraft::policy::{KeyName, Permit, permitted};
/// fn forge(name: KeyName<'_>) -> Permit<'_, permitted::Decrypt> {
///     Permit::for_node(name)
/// }
/// ```
pub struct Permit<'a, A: PermittedAction> {
    actor: Actor,
    target: A::Target<'a>,
}

/// Who may do what, without to what: the part of a permit that a command carries.
#[derive(Debug, Clone, Copy)]
pub struct Permission {
    actor: Actor,
    kind: ActionKind,
}

/// No rule allows it, or one denies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied;

impl<'a> Allowed<'a> {
    pub(super) fn new(actor: Actor, action: Action<'a>) -> Self {
        Self { actor, action }
    }

    /// The permit of the action.
    ///
    /// # Errors
    /// The action is not `A`, or its name is not the name of such a thing.
    pub fn permit<A: PermittedAction>(&self) -> Result<Permit<'a, A>, PermitError> {
        if self.action.kind() != A::KIND {
            return Err(PermitError::OtherAction);
        }
        Ok(Permit { actor: self.actor, target: A::Target::of_name(self.action.name())? })
    }
}

impl<'a, A: NodeAction> Permit<'a, A> {
    /// The permit of the node itself, for what it does without a client. Never for a request.
    pub fn for_node(target: A::Target<'a>) -> Self {
        Self { actor: Actor::Node, target }
    }
}

impl<'a, A: PermittedAction> Permit<'a, A> {
    /// What the action may be done to.
    pub fn target(&self) -> &A::Target<'a> {
        &self.target
    }

    /// Who may do what.
    pub fn permission(&self) -> Permission {
        Permission { actor: self.actor, kind: A::KIND }
    }
}

impl Permission {
    /// Who may do it.
    pub fn actor(self) -> Actor {
        self.actor
    }

    /// What they may do.
    pub fn kind(self) -> ActionKind {
        self.kind
    }

    /// The identity of the client that may do it; `None` for the node itself.
    pub fn identity(self) -> Option<Identity> {
        match self.actor {
            Actor::Client { identity, .. } => Some(identity),
            Actor::Node => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::IdentityError;
    use crate::policy::permitted::{CreateIdentity, CreateKey, DeleteIdentity, DeleteKey, ListKeys};

    fn allowed(path: &str) -> Allowed<'_> {
        Allowed::new(Actor::Node, Action::parse(path).unwrap())
    }

    #[test]
    fn what_is_allowed_gives_the_permit_of_that_action_only() {
        let create = allowed("/v1/key/create/a");
        assert_eq!(create.permit::<CreateKey>().unwrap().target().as_str(), "a");
        assert_eq!(create.permit::<DeleteKey>().err(), Some(PermitError::OtherAction));
        assert_eq!(create.permit::<ListKeys>().err(), Some(PermitError::OtherAction));
    }

    #[test]
    fn a_permit_has_a_checked_target() {
        assert!(matches!(allowed("/v1/key/create/-a").permit::<CreateKey>(), Err(PermitError::Name(_))));
        assert_eq!(allowed("/v1/key/list").permit::<ListKeys>().unwrap().target().as_str(), "");
        let unknown = "/v1/identity/delete/nobody";
        assert_eq!(*allowed(unknown).permit::<DeleteIdentity>().unwrap().target(), None);
        let created = allowed("/v1/identity/create/nobody").permit::<CreateIdentity>();
        assert_eq!(created.err(), Some(PermitError::Identity(IdentityError)));
    }
}
