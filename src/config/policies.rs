//! The `policy` section: the patterns of each policy, and the identities that it is assigned to.

use std::collections::BTreeMap;

use super::section::{Section, SettingText};
use super::value;
use crate::policy::{Identity, MAX_POLICY_BYTES, OpenSibling, Pattern, Policy, PolicyName, open_siblings};

/// Policies by name, each with the identities that it is assigned to.
pub(super) type Policies = BTreeMap<PolicyName, (Policy, Vec<Identity>)>;

/// Upper bounds of what the encoding of a policy adds to each pattern, and to the whole.
const PATTERN_OVERHEAD: usize = 4;
const POLICY_OVERHEAD: usize = 256;

/// Reads every policy. The admin must not be among their identities.
pub(super) fn read(top: &Section<'_>, admin: Option<Identity>) -> Policies {
    let mut policies = Policies::new();
    let mut assigned = Assigned { admin, places: BTreeMap::new() };
    for (name, section) in top.named_sections("policy", &["allow", "deny", "identities"]) {
        let (policy, identities) = (policy(name, &section), assigned.identities(name, &section));
        match PolicyName::parse(name) {
            Ok(name) => drop(policies.insert(name, (policy, identities))),
            Err(error) => section.problem(section.line, format!("policy: {error}")),
        }
    }
    policies
}

fn policy(name: &str, section: &Section<'_>) -> Policy {
    let (allow, deny) = (patterns(section, "allow"), patterns(section, "deny"));
    let policy = Policy::new(allow.into_iter().map(|(_, pattern)| pattern), deny.iter().map(|(_, one)| one.clone()));
    warn_of_open_siblings(section, &policy, &deny);
    let size = encoded_size(&policy);
    if size > MAX_POLICY_BYTES {
        let message = format!(
            "policy.{name}: its patterns take {size} bytes, and a policy may have at most {MAX_POLICY_BYTES}; \
             replace patterns with the same beginning by one that ends in '*'"
        );
        section.problem(section.line, message);
    }
    policy
}

/// Each pattern of a list, with its text in the file.
fn patterns(section: &Section<'_>, key: &str) -> Vec<(SettingText, Pattern)> {
    let read = |text| pattern(section, &text).map(|pattern| (text, pattern));
    section.texts(key).into_iter().filter_map(read).collect()
}

fn pattern(section: &Section<'_>, text: &SettingText) -> Option<Pattern> {
    let parse = |text: &str| Pattern::written(text).map_err(|error| format!("can never match: {}", error.why));
    let pattern = section.parse(text, parse)?;
    if !pattern.is_reached() {
        let message = format!(
            "{}: no request to this server matches '{}'; the policy keeps the pattern as it is: check its spelling",
            text.path,
            text.shown()
        );
        section.warn(text.line, message);
    }
    Some(pattern)
}

fn warn_of_open_siblings(section: &Section<'_>, policy: &Policy, deny: &[(SettingText, Pattern)]) {
    for found in open_siblings(policy) {
        let Some((text, _)) = deny.iter().find(|(_, rule)| rule == found.rule) else { continue };
        let (path, rule, missing) = (&text.path, text.shown(), shown_missing(text, &found));
        let message = format!("{path}: '{rule}' {found}; to deny that too, add '{missing}'");
        section.warn(text.line, message);
    }
}

/// The rule to add. If the file's rule has a variable, the result has it too, because its value may be a secret.
fn shown_missing(text: &SettingText, found: &OpenSibling<'_>) -> String {
    let (open, missing) = (found.open.path(), found.missing.as_str());
    if text.shown() == found.rule.as_str() || missing == [open, "*"].concat() {
        return missing.to_owned();
    }
    let names = text.shown().strip_prefix(found.denied.path());
    [open, names.unwrap_or("…")].concat()
}

fn encoded_size(policy: &Policy) -> usize {
    let patterns = policy.allow.iter().chain(&policy.deny);
    POLICY_OVERHEAD + patterns.map(|pattern| pattern.as_str().len() + PATTERN_OVERHEAD).sum::<usize>()
}

/// Where each identity was first assigned: the policy and the line.
struct Assigned<'a> {
    admin: Option<Identity>,
    places: BTreeMap<Identity, (&'a str, u64)>,
}

impl<'a> Assigned<'a> {
    /// The identities of one policy, sorted and without duplicates.
    fn identities(&mut self, policy: &'a str, section: &Section<'_>) -> Vec<Identity> {
        let texts = section.texts("identities");
        let mut identities: Vec<_> = texts
            .iter()
            .filter_map(|text| section.parse(text, value::identity).map(|identity| (text, identity)))
            .filter_map(|(text, identity)| self.check(policy, section, text, identity))
            .collect();
        identities.sort();
        identities
    }

    fn check(
        &mut self,
        policy: &'a str,
        section: &Section<'_>,
        text: &SettingText,
        identity: Identity,
    ) -> Option<Identity> {
        if Some(identity) == self.admin {
            let message =
                format!("{}: {identity} is the admin, who may do everything; remove it from this policy", text.path);
            section.problem(text.line, message);
            return None;
        }
        match self.places.get(&identity).copied() {
            None => {
                self.places.insert(identity, (policy, text.line));
                return Some(identity);
            }
            Some((first, line)) if first == policy => {
                section
                    .warn(text.line, format!("{}: {identity} is already on line {line}; keep one of them", text.path));
            }
            Some((first, line)) => {
                let message = format!(
                    "{}: {identity} already has the policy '{first}' (line {line}); an identity can have only one",
                    text.path
                );
                section.problem(text.line, message);
            }
        }
        None
    }
}
