//! Siblings: actions that do for their holder what another action does, so that to deny only one of them denies nothing.

use super::action::{ActionKind, IdentityAction, KeyAction, NameInPath, PolicyAction};
use super::pattern::Pattern;
use super::rules::Policy;

/// A deny pattern that leaves a sibling open: the policy allows the sibling for some name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSibling<'p> {
    /// The deny pattern.
    pub deny: &'p Pattern,
    /// An action that it denies.
    pub denied: ActionKind,
    /// The sibling of that action which the policy allows.
    pub open: ActionKind,
    /// A pattern that denies the sibling too.
    pub missing: Pattern,
}

/// The actions that do for their holder what this one does. Whoever may not use this one must not use those either.
///
/// Not every pair goes both ways: a policy can be read to describe it, but not described to read it.
pub fn siblings(kind: ActionKind) -> &'static [ActionKind] {
    use ActionKind::{Identity, Key, Policy};
    match kind {
        Key(KeyAction::Decrypt) => &[Key(KeyAction::BulkDecrypt)],
        Key(KeyAction::BulkDecrypt) => &[Key(KeyAction::Decrypt)],
        // To encrypt bytes of one's own makes a data key, and with a data key one can encrypt.
        Key(KeyAction::Generate) => &[Key(KeyAction::Encrypt)],
        Key(KeyAction::Encrypt) => &[Key(KeyAction::Generate)],
        // An import makes a key, too. A create does not let the client choose the material.
        Key(KeyAction::Create) => &[Key(KeyAction::Import)],
        // The versions show the origin of the first one, which is that of the key.
        Key(KeyAction::Describe) => &[Key(KeyAction::Versions)],
        Policy(PolicyAction::Describe) => &[Policy(PolicyAction::Read)],
        Policy(PolicyAction::Create) => &[Policy(PolicyAction::Write)],
        // An identity that is not known yet can be created with the policy.
        Policy(PolicyAction::Assign) => &[Identity(IdentityAction::Create)],
        _ => &[],
    }
}

/// The deny patterns of a policy that leave a sibling open.
pub fn open_siblings(policy: &Policy) -> Vec<OpenSibling<'_>> {
    let denied = policy.deny.iter().flat_map(|deny| ActionKind::all().map(move |kind| (deny, kind)));
    let pairs = denied.flat_map(|(deny, kind)| siblings(kind).iter().map(move |open| (deny, kind, *open)));
    pairs.filter_map(|(deny, denied, open)| open_sibling(policy, deny, denied, open)).collect()
}

fn open_sibling<'p>(
    policy: &Policy,
    deny: &'p Pattern,
    denied: ActionKind,
    open: ActionKind,
) -> Option<OpenSibling<'p>> {
    let names = deny.names(denied)?;
    // Where the name is that of something else, no name tells which requests do the same.
    let names = if denied.name_in_path() == open.name_in_path() { names } else { "*".to_owned() };
    let missing = pattern(open, &names)?;
    let allowed = policy.allow.iter().filter_map(|allow| allow.narrower(&missing));
    let is_open = |pattern: &Pattern| !policy.deny.iter().any(|deny| deny.covers(pattern));
    let left = allowed.filter(|pattern| is_open(pattern)).count();
    (left > 0).then_some(OpenSibling { deny, denied, open, missing })
}

/// The pattern of an action for names; none if it takes no name, or this is not one.
fn pattern(kind: ActionKind, names: &str) -> Option<Pattern> {
    if !matches!(kind.name_in_path(), NameInPath::Name(_)) {
        return None;
    }
    Pattern::written(&[kind.path(), names].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Action;

    fn policy(allow: &[&str], deny: &[&str]) -> Policy {
        let parse = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect::<Vec<_>>();
        Policy::new(parse(allow), parse(deny))
    }

    fn found(allow: &[&str], deny: &[&str]) -> Vec<(String, String)> {
        let policy = policy(allow, deny);
        let found = open_siblings(&policy);
        found.iter().map(|open| (open.deny.as_str().to_owned(), open.missing.as_str().to_owned())).collect()
    }

    #[test]
    fn a_deny_rule_that_leaves_a_sibling_open_is_found_with_the_pattern_to_add() {
        for (allow, deny, missing) in [
            ("/v1/key/*", "/v1/key/decrypt/internal*", "/v1/key/bulk/decrypt/internal*"),
            ("/v1/key/bulk/decrypt/k", "/v1/key/decrypt/k", "/v1/key/bulk/decrypt/k"),
            ("/v1/key/decrypt/*", "/v1/key/bulk/*", "/v1/key/decrypt/*"),
            ("/v1/key/encrypt/a*", "/v1/key/generate/abc", "/v1/key/encrypt/abc"),
            ("/v1/key/encrypt/abc*", "/v1/key/generate/a*", "/v1/key/encrypt/a*"),
            ("*", "/v1/key/create/a", "/v1/key/import/a"),
            ("/v1/policy/*", "/v1/policy/create/*", "/v1/policy/write/*"),
            ("/v1/*", "/v1/policy/assign/admins", "/v1/identity/create/*"),
        ] {
            assert_eq!(found(&[allow], &[deny]), [(deny.to_owned(), missing.to_owned())], "{allow} and {deny}");
            assert_eq!(found(&[allow], &[deny, missing]), [], "{allow} and {deny}");
        }
    }

    #[test]
    fn a_sibling_that_is_denied_or_not_allowed_is_not_open() {
        assert_eq!(found(&["/v1/key/*"], &["/v1/key/decrypt/*", "/v1/key/bulk/*"]), []);
        assert_eq!(found(&["/v1/key/*"], &["/v1/key/*"]), []);
        assert_eq!(found(&["/v1/key/decrypt/*"], &["/v1/key/decrypt/internal*"]), []);
        assert_eq!(found(&["/v1/key/bulk/decrypt/b"], &["/v1/key/decrypt/a*"]), []);
        assert_eq!(found(&["/v1/key/*"], &["/v1/key/import/a", "/v1/policy/read/a", "/v1/log/audit"]), []);
    }

    /// The oracle tries every name.
    #[test]
    fn a_sibling_is_open_if_the_policy_allows_it_for_some_name() {
        let names = ["a", "ab", "abc", "b", "bc"];
        let texts: Vec<_> = ["decrypt", "bulk/decrypt"]
            .iter()
            .flat_map(|path| ["a", "a*", "ab*", "*"].map(|end| format!("/v1/key/{path}/{end}")))
            .chain(["/v1/key/*".to_owned(), "/v1/key/b*".to_owned()])
            .collect();
        let (decrypt, bulk) = (ActionKind::Key(KeyAction::Decrypt), ActionKind::Key(KeyAction::BulkDecrypt));
        for (allow, deny) in texts.iter().flat_map(|allow| texts.iter().map(move |deny| (allow, deny))) {
            for other in &texts {
                let policy = policy(&[allow], &[deny, other]);
                let found = open_siblings(&policy);
                for (deny, (kind, sibling)) in
                    policy.deny.iter().flat_map(|deny| [(decrypt, bulk), (bulk, decrypt)].map(|pair| (deny, pair)))
                {
                    let does_same = |name: &&str| deny.matches(kind.on(name)) && policy.allows(sibling.on(name));
                    let is_found = found.iter().any(|open| open.deny == deny && open.denied == kind);
                    assert_eq!(is_found, names.iter().any(does_same), "{policy:?}: {deny:?} of {kind:?}");
                }
            }
        }
        assert_eq!(Action::parse("/v1/key/bulk/decrypt/a").unwrap().kind(), bulk);
    }
}
