//! The bodies of changes of policies and identities (contract, section 1).

use serde_json::{Map, Value};

use super::error::Refusal;
use crate::policy::{Identity, Pattern, PatternError, Policy, PolicyName, Role};

/// A policy: `allow` and `deny`, each an object whose keys are patterns, or an array of patterns.
///
/// # Errors
/// The body is none of that, or a pattern can never match.
pub fn policy(body: &[u8]) -> Result<Policy, Refusal> {
    let fields = object(body)?;
    Ok(Policy::new(patterns(field(&fields, "allow"))?, patterns(field(&fields, "deny"))?))
}

/// The identity that a policy is assigned to.
///
/// # Errors
/// The body names none.
pub fn assigned(body: &[u8]) -> Result<Identity, Refusal> {
    let fields = object(body)?;
    Ok(text(field(&fields, "identity"))?.ok_or(Refusal::Body)?.parse()?)
}

/// What a new identity is: bound to a policy, or an admin.
///
/// # Errors
/// The body says neither, or both.
pub fn role(body: &[u8]) -> Result<Role, Refusal> {
    let fields = object(body)?;
    let admin = match field(&fields, "admin") {
        Some(Value::Bool(admin)) => *admin,
        None | Some(Value::Null) => false,
        Some(_) => return Err(Refusal::Body),
    };
    match (text(field(&fields, "policy"))?, admin) {
        (Some(policy), false) => Ok(Role::Policy(PolicyName::parse(policy)?)),
        (None, true) => Ok(Role::Admin),
        (Some(_), true) | (None, false) => Err(Refusal::Body),
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::Body)
}

/// Names match in any case.
fn field<'f>(fields: &'f Map<String, Value>, name: &str) -> Option<&'f Value> {
    fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// An empty text names nothing.
fn text(field: Option<&Value>) -> Result<Option<&str>, Refusal> {
    match field {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(Refusal::Body),
    }
}

fn patterns(field: Option<&Value>) -> Result<Vec<Pattern>, Refusal> {
    let texts: Vec<&str> = match field {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(patterns)) => patterns.keys().map(String::as_str).collect(),
        Some(Value::Array(patterns)) => {
            patterns.iter().map(Value::as_str).collect::<Option<_>>().ok_or(Refusal::Body)?
        }
        Some(_) => return Err(Refusal::Body),
    };
    Ok(texts.into_iter().map(Pattern::parse).collect::<Result<_, PatternError>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_lists_its_patterns_as_objects_or_arrays() {
        let pattern = |text| Pattern::parse(text).unwrap();
        let expected = Policy::new([pattern("/v1/key/create/*"), pattern("/version")], [pattern("/v1/key/delete/a")]);
        for body in [
            r#"{"allow":{"/v1/key/create/*":{},"/version":{}},"deny":{"/v1/key/delete/a":{}}}"#,
            r#"{"Allow":["/version","/v1/key/create/*"],"DENY":["/v1/key/delete/a"],"more":1}"#,
        ] {
            assert_eq!(policy(body.as_bytes()).unwrap(), expected, "{body}");
        }
        assert_eq!(policy(b"{}").unwrap(), Policy::default());
        assert_eq!(policy(br#"{"allow":null}"#).unwrap(), Policy::default());
        for bad in ["", "null", "[]", "{} x", r#"{"allow":"/x"}"#, r#"{"allow":[1]}"#] {
            assert_eq!(policy(bad.as_bytes()), Err(Refusal::Body), "{bad}");
        }
        let refused = policy(br#"{"allow":["/v1/*/create"]}"#).unwrap_err();
        assert!(refused.answer().1.contains("'/v1/*/create' can never match"), "{refused:?}");
    }

    #[test]
    fn a_new_identity_is_an_admin_or_has_a_policy() {
        assert_eq!(role(br#"{"admin":true}"#), Ok(Role::Admin));
        assert_eq!(role(br#"{"policy":"","Admin":true}"#), Ok(Role::Admin));
        let bound = Role::Policy(PolicyName::parse("app").unwrap());
        assert_eq!(role(br#"{"policy":"app"}"#), Ok(bound.clone()));
        assert_eq!(role(br#"{"policy":"app","admin":false}"#), Ok(bound));
        for bad in ["", "null", "{}", r#"{"admin":false}"#, r#"{"policy":"app","admin":true}"#, r#"{"admin":1}"#] {
            assert_eq!(role(bad.as_bytes()), Err(Refusal::Body), "{bad}");
        }
    }

    #[test]
    fn an_assignment_names_an_identity() {
        let identity = Identity::from_bytes([0xab; 32]);
        assert_eq!(assigned(format!(r#"{{"identity":"{identity}"}}"#).as_bytes()), Ok(identity));
        assert_eq!(assigned(b"{}"), Err(Refusal::Body));
        assert!(matches!(assigned(br#"{"identity":"me"}"#), Err(Refusal::Identity(_))));
    }
}
