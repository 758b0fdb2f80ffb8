//! Policies and assignments as stored.

use bytes::Bytes;
use prost::Message;

use super::decode_error::DecodeError;
use super::stored::Stored;
use super::wire;
use crate::policy::{Assignment, Author, Identity, Pattern, Policy, PolicyEntry, PolicyName, PolicyTag, Role};

/// A policy in its stored form, with its tag.
pub fn stored_policy(name: &PolicyName, policy: Policy, author: Author) -> Stored<PolicyEntry> {
    let bytes: Bytes = policy_to_wire(name, &policy, &author).encode_to_vec().into();
    let tag = PolicyTag::of_stored(&bytes);
    Stored { value: PolicyEntry { policy, author, tag }, bytes }
}

/// Reads a policy in its stored form.
///
/// # Errors
/// The bytes are not a policy.
pub fn decode_policy(bytes: &[u8]) -> Result<(PolicyName, PolicyEntry), DecodeError> {
    let (name, policy, author) = new_policy_from_wire(wire::Policy::decode(bytes).map_err(|_| DecodeError("policy"))?)?;
    Ok((name, PolicyEntry { policy, author, tag: PolicyTag::of_stored(bytes) }))
}

/// An assignment in its stored form.
pub fn stored_assignment(identity: Identity, assignment: Assignment) -> Stored<Assignment> {
    let bytes = assignment_to_wire(identity, &assignment).encode_to_vec().into();
    Stored { value: assignment, bytes }
}

/// Reads an assignment in its stored form.
///
/// # Errors
/// The bytes are not an assignment.
pub fn decode_assignment(bytes: &[u8]) -> Result<(Identity, Assignment), DecodeError> {
    assignment_from_wire(wire::Assignment::decode(bytes).map_err(|_| DecodeError("assignment"))?)
}

pub(super) fn policy_to_wire(name: &PolicyName, policy: &Policy, author: &Author) -> wire::Policy {
    let texts = |patterns: &[Pattern]| patterns.iter().map(|p| p.as_str().to_owned()).collect();
    wire::Policy {
        name: name.as_str().to_owned(),
        allow: texts(&policy.allow),
        deny: texts(&policy.deny),
        author: Some(author_to_wire(author)),
    }
}

pub(super) fn new_policy_from_wire(wire: wire::Policy) -> Result<(PolicyName, Policy, Author), DecodeError> {
    let name = PolicyName::parse(&wire.name).map_err(|_| DecodeError("policy name"))?;
    let policy = Policy::new(patterns(&wire.allow)?, patterns(&wire.deny)?);
    Ok((name, policy, author_from_wire(wire.author)?))
}

pub(super) fn assignment_to_wire(identity: Identity, assignment: &Assignment) -> wire::Assignment {
    let author = Some(author_to_wire(&assignment.author));
    wire::Assignment { author, ..role_to_wire(identity, &assignment.role) }
}

pub(super) fn assignment_from_wire(wire: wire::Assignment) -> Result<(Identity, Assignment), DecodeError> {
    let identity = identity_from_wire(&wire.identity)?;
    let role = role_from_wire(&wire)?;
    Ok((identity, Assignment { role, author: author_from_wire(wire.author)? }))
}

/// The role of an identity, without an author.
pub(super) fn role_to_wire(identity: Identity, role: &Role) -> wire::Assignment {
    let (policy, admin) = match role {
        Role::Admin => (String::new(), true),
        Role::Policy(name) => (name.as_str().to_owned(), false),
    };
    wire::Assignment { identity: Bytes::copy_from_slice(identity.as_bytes()), policy, author: None, admin }
}

/// An identity without a policy is an admin only if the message says so.
pub(super) fn role_from_wire(wire: &wire::Assignment) -> Result<Role, DecodeError> {
    match (wire.policy.as_str(), wire.admin) {
        ("", true) => Ok(Role::Admin),
        (_, true) => Err(DecodeError("role")),
        (name, false) => PolicyName::parse(name).map(Role::Policy).map_err(|_| DecodeError("policy name")),
    }
}

pub(super) fn identity_from_wire(bytes: &[u8]) -> Result<Identity, DecodeError> {
    Identity::try_from(bytes).map_err(|_| DecodeError("identity"))
}

fn author_to_wire(author: &Author) -> wire::Author {
    let created_by = author.created_by.map_or_else(Bytes::new, |by| Bytes::copy_from_slice(by.as_bytes()));
    wire::Author { created_at_ns: author.created_at, created_by }
}

fn author_from_wire(wire: Option<wire::Author>) -> Result<Author, DecodeError> {
    let wire = wire.unwrap_or_default();
    let created_by = (!wire.created_by.is_empty()).then(|| identity_from_wire(&wire.created_by)).transpose()?;
    Ok(Author { created_at: wire.created_at_ns, created_by })
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, DecodeError> {
    texts.iter().map(|text| Pattern::parse(text).map_err(|_| DecodeError("pattern"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node may check new policies more strictly. A stored one must always load as it did when it was applied.
    #[test]
    fn a_stored_pattern_that_no_name_can_match_still_loads() {
        let patterns = ["/v1/key/decrypt/app-[0-9]*", "/v1/key/decrypt/a%2Db", "/v1/key/decrypt", "/v1//key/ä"];
        let parsed = patterns.map(|text| Pattern::parse(text).expect("an earlier release took it"));
        let policy = Policy::new([], parsed);
        let name = PolicyName::parse("app").expect("a name");
        let stored = stored_policy(&name, policy, Author::default());
        assert_eq!(decode_policy(&stored.bytes).unwrap(), (name, stored.value));
    }
}
