//! Who may do what: actions, identities, the grammar of names, patterns, policies, and the permit of each operation.
//!
//! Pure values and decisions; nothing here does IO. Wire contract, "Names and listings", "Identity and TLS" and
//! "Policies".

mod action;
mod identity;
mod name;
mod pattern;
mod permit;
pub mod permitted;
mod rules;
mod siblings;

pub use action::{
    Action, ActionKind, ActionPath, BadName, ClusterAction, IdentityAction, KeyAction, LogAction, NameInPath, PATHS,
    PolicyAction, SystemAction, find,
};
pub use identity::{Identity, IdentityError};
pub use name::{KeyName, NameError, NameKind, PolicyName, Prefix, PrefixError};
pub use pattern::{Pattern, PatternError, Unmatchable};
pub use permit::{Actor, Allowed, Denied, Permission, Permit};
pub use permitted::{NodeAction, PermitError, PermittedAction};
pub use rules::{Assignment, Author, MAX_POLICY_BYTES, Policy, PolicyEntry, PolicyTag, Role, Rules};
pub use siblings::{OpenSibling, open_siblings};
