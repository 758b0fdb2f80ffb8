//! The permit: proof that the policy check let an actor do an action.

use super::{Action, Identity};

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
    /// The node itself: the cluster's first command, and the keys its configuration file asks for.
    Node,
}

/// Proof of a passed policy check. Only [`super::Rules::permit`] and [`Permit::for_node`] make one.
#[derive(Debug, Clone, Copy)]
pub struct Permit<'a> {
    actor: Actor,
    action: Action<'a>,
}

/// No rule allows it, or one denies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied;

impl<'a> Permit<'a> {
    pub(super) fn new(actor: Actor, action: Action<'a>) -> Self {
        Self { actor, action }
    }

    /// The permit of the node itself, for what it does without being asked; never for a request.
    pub fn for_node(action: Action<'a>) -> Self {
        Self { actor: Actor::Node, action }
    }

    /// Who was permitted.
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// What was permitted.
    pub fn action(&self) -> Action<'a> {
        self.action
    }

    /// The identity of the client that was permitted; none for the node itself.
    pub fn identity(&self) -> Option<Identity> {
        match self.actor {
            Actor::Client { identity, .. } => Some(identity),
            Actor::Node => None,
        }
    }
}
