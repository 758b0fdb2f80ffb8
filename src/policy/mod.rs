//! Who may do what: identities, the grammar of names, patterns, policies, and the permit every operation asks for.
//!
//! Pure values and decisions; nothing here does IO. Wire contract, "Names and listings", "Identity and TLS" and
//! "Policies".

mod identity;
mod name;
mod pattern;
mod permit;
mod rules;

pub use identity::{Identity, IdentityError};
pub use name::{KeyName, NameError, NameKind, PolicyName, Prefix, PrefixError};
pub use pattern::{Pattern, PatternError, Unmatchable};
pub use permit::{Actor, Denied, Permit};
pub use rules::{Assignment, Author, MAX_POLICY_BYTES, Policy, PolicyEntry, Role, Rules};
