//! Sibling actions: what a client can do in place of an action that a policy denies.
//!
//! A deny rule misses its aim when the policy allows a sibling of the denied action for the same name. Such a rule is
//! almost always a mistake, so those who write or load the policy get a warning.

use std::fmt;

use super::action::{ActionKind, IdentityAction, KeyAction, PolicyAction};
use super::pattern::Pattern;
use super::rules::Policy;

/// A deny rule that leaves a sibling open: the policy allows the sibling for a name that the rule denies.
///
/// Its text is a clause to put after the rule. It says what stays allowed, and why that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSibling<'p> {
    /// The deny rule.
    pub rule: &'p Pattern,
    /// An action that it denies.
    pub denied: ActionKind,
    /// The sibling of that action which the policy allows.
    pub open: ActionKind,
    /// What the sibling does that the rule should prevent.
    pub effect: &'static str,
    /// The deny rule to add. It denies the sibling for the same names, or for all if its names are those of something else.
    pub missing: Pattern,
}

/// An action, and another by which a client gets the same.
struct Sibling {
    denied: ActionKind,
    open: ActionKind,
    effect: &'static str,
}

/// Every pair. The reverse of a pair is a pair of its own, if it holds.
///
/// These are left out, because a policy may well deny the first and allow the second:
/// - `import` and `create`: then no client knows the material of a key.
/// - `versions` and `describe`: only `versions` shows states and the last use.
/// - `policy/write` and `policy/create`: then a client adds policies and replaces none.
/// - `policy/read` and `policy/describe`: only `policy/read` shows patterns.
/// - `identity/create` and `policy/assign`: then a client gives somebody only the policies that it may assign.
/// - `delete`, `purge` and `disable`: only a deleted key can be purged, and the newest version cannot be disabled.
const SIBLINGS: [Sibling; 9] = {
    use ActionKind::{Identity, Key, Policy};
    [
        // The two differ in how many ciphertexts a request has.
        sibling(Key(KeyAction::Decrypt), Key(KeyAction::BulkDecrypt), "decrypts the same ciphertexts"),
        sibling(Key(KeyAction::BulkDecrypt), Key(KeyAction::Decrypt), "decrypts the same ciphertexts one by one"),
        // Random bytes and their ciphertext are all that `generate` returns.
        sibling(Key(KeyAction::Generate), Key(KeyAction::Encrypt), "encrypts data keys that the client makes"),
        // A client can then encrypt with the data key, and decrypting the result takes the right to decrypt the data key.
        sibling(Key(KeyAction::Encrypt), Key(KeyAction::Generate), "returns data keys to encrypt with"),
        // The key has the same name, and the client even knows its material.
        sibling(Key(KeyAction::Create), Key(KeyAction::Import), "creates a key from the client's material"),
        // Only the cipher is missing, and that is not a secret.
        sibling(Key(KeyAction::Describe), Key(KeyAction::Versions), "shows the date and the creator of each version"),
        // `policy/write` also creates a policy that does not exist.
        sibling(Policy(PolicyAction::Create), Policy(PolicyAction::Write), "creates the policy, too"),
        // `policy/read` shows all that `policy/describe` shows.
        sibling(Policy(PolicyAction::Describe), Policy(PolicyAction::Read), "shows the same date and creator"),
        // Its body names the policy. No pattern can deny one policy only, because the path has the identity.
        sibling(Policy(PolicyAction::Assign), Identity(IdentityAction::Create), "gives the policy to a new identity"),
    ]
};

const fn sibling(denied: ActionKind, open: ActionKind, effect: &'static str) -> Sibling {
    Sibling { denied, open, effect }
}

/// The deny rules of a policy that leave a sibling open. A rule is left out if what must be added for another one covers
/// what must be added for it.
pub fn open_siblings(policy: &Policy) -> Vec<OpenSibling<'_>> {
    let mut widest: Vec<OpenSibling<'_>> = Vec::new();
    for found in SIBLINGS.iter().flat_map(|pair| pair.left_open_by(policy)) {
        if !widest.iter().any(|other| other.missing.covers(&found.missing)) {
            widest.retain(|other| !found.missing.covers(&other.missing));
            widest.push(found);
        }
    }
    widest
}

impl Sibling {
    fn left_open_by<'p>(&self, policy: &'p Policy) -> impl Iterator<Item = OpenSibling<'p>> {
        policy.deny.iter().filter_map(|rule| {
            let missing = self.missing(rule)?;
            let (denied, open, effect) = (self.denied, self.open, self.effect);
            is_open(policy, &missing).then_some(OpenSibling { rule, denied, open, effect, missing })
        })
    }

    /// The pattern that denies the sibling for the names of a rule. `None` if the rule does not deny the action for any name.
    fn missing(&self, rule: &Pattern) -> Option<Pattern> {
        let names = rule.names(self.denied)?;
        // An earlier release may have stored a rule that no name can match.
        let of = |kind: ActionKind, names: &str| Pattern::written(&[kind.path(), names].concat()).ok();
        of(self.denied, &names)?;
        let same_names = self.denied.name_in_path() == self.open.name_in_path();
        of(self.open, if same_names { &names } else { "*" })
    }
}

/// Whether a policy allows something that a pattern matches.
fn is_open(policy: &Policy, pattern: &Pattern) -> bool {
    let allowed = policy.allow.iter().filter_map(|allow| allow.narrower(pattern));
    // An earlier release may have stored patterns that no name can match.
    let mut possible = allowed.filter(|allowed| Pattern::written(allowed.as_str()).is_ok());
    possible.any(|allowed| !policy.deny.iter().any(|deny| deny.covers(allowed)))
}

impl fmt::Display for OpenSibling<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (denied, open) = (self.denied.path(), self.open.path());
        write!(f, "denies {denied} but not {open}, which this policy allows and which {}", self.effect)
    }
}

#[cfg(test)]
mod tests;
