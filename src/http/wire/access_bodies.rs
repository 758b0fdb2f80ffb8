//! The bodies of changes of policies and identities (wire contract, "Endpoints").

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json;
use crate::http::error::ApiError;
use crate::kms;
use crate::policy::{Identity, NameKind, Pattern, PatternError, Policy, PolicyName, Role};

/// Reads a policy: `allow` and `deny`, each an object whose keys are patterns, or an array of patterns.
///
/// # Errors
/// The body is anything else, or a pattern can never match.
pub fn policy(body: &[u8]) -> Result<Policy, ApiError> {
    let [allow, deny] = json::raw_object(body, ["allow", "deny"])?;
    Ok(Policy::new(patterns(allow)?, patterns(deny)?))
}

/// Reads the identity that a request assigns a policy to.
///
/// # Errors
/// The body does not name an identity that a client can have.
pub fn assigned(body: &[u8]) -> Result<Identity, ApiError> {
    let [identity] = json::raw_object(body, ["identity"])?;
    let text = text(identity)?.ok_or(ApiError::Body)?;
    NameKind::Identity.check(&text)?;
    // A valid name that is not an identity is 404 (wire contract, "Errors").
    Ok(text.parse().map_err(|_| kms::Error::IdentityNotFound)?)
}

/// Reads the role of a new identity: a policy, or admin.
///
/// # Errors
/// The body has neither, or both.
pub fn role(body: &[u8]) -> Result<Role, ApiError> {
    let [policy, admin] = json::raw_object(body, ["policy", "admin"])?;
    let admin = admin.map_or(Ok(false), value)?;
    match (text(policy)?, admin) {
        (Some(policy), false) => Ok(Role::Policy(PolicyName::parse(&policy)?)),
        (None, true) => Ok(Role::Admin),
        (Some(_), true) | (None, false) => Err(ApiError::Body),
    }
}

fn value<'b, T: Deserialize<'b>>(written: &'b RawValue) -> Result<T, ApiError> {
    serde_json::from_str(written.get()).map_err(|_| ApiError::Body)
}

/// Reads a text. An empty one counts as absent.
fn text(field: Option<&RawValue>) -> Result<Option<String>, ApiError> {
    Ok(field.map(value::<String>).transpose()?.filter(|text| !text.is_empty()))
}

fn patterns(field: Option<&RawValue>) -> Result<Vec<Pattern>, ApiError> {
    let PatternTexts(texts) = field.map(value).transpose()?.unwrap_or_default();
    Ok(texts.iter().map(|text| Pattern::written(text)).collect::<Result<_, PatternError>>()?)
}

/// The patterns of a policy: the keys of an object whose values are objects, or the texts of an array.
#[derive(Default)]
struct PatternTexts(Vec<String>);

impl<'de> Deserialize<'de> for PatternTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PatternsVisitor)
    }
}

struct PatternsVisitor;

impl<'de> Visitor<'de> for PatternsVisitor {
    type Value = PatternTexts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose keys are patterns, or an array of patterns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PatternTexts, A::Error> {
        let mut patterns = Vec::new();
        while let Some((pattern, _)) = map.next_entry::<String, Option<Rule>>()? {
            patterns.push(pattern);
        }
        Ok(PatternTexts(patterns))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<PatternTexts, A::Error> {
        let mut patterns = Vec::new();
        while let Some(pattern) = items.next_element()? {
            patterns.push(pattern);
        }
        Ok(PatternTexts(patterns))
    }
}

/// The value of a pattern: an object, whose fields are ignored.
struct Rule;

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for Rule {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self)
    }
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
        let bad = ["", "null", "[]", "{} x", r#"{"allow":"/x"}"#, r#"{"allow":[1]}"#, r#"{"allow":[null]}"#];
        for bad in bad.into_iter().chain([r#"{"allow":{"/x":5}}"#, r#"{"deny":{"/x":[]}}"#, r#"{"deny":true}"#]) {
            assert_eq!(policy(bad.as_bytes()), Err(ApiError::Body), "{bad}");
        }
        for impossible in ["/v1/key/decrypt/a[0-9]*", "/v1/key/decrypt/a%2Db", "/v1/key/decrypt"] {
            let body = format!(r#"{{"deny":["{impossible}"]}}"#);
            assert!(matches!(policy(body.as_bytes()), Err(ApiError::Pattern(_))), "{impossible}");
        }
        let refused = policy(br#"{"allow":["/v1/*/create"]}"#).unwrap_err();
        assert!(refused.answer().2.contains("'/v1/*/create' can never match"), "{refused:?}");
    }

    #[test]
    fn the_last_of_equal_fields_counts_and_unknown_fields_may_hold_anything() {
        let pattern = |text| Pattern::parse(text).unwrap();
        let (deep, end) = ("[".repeat(1000), "]".repeat(1000));
        for body in [
            r#"{"Allow":["/a"],"allow":["/b"]}"#,
            r#"{"allow":["/a"],"ALLOW":{"/b":null}}"#,
            r#"{"deny":["/a"],"allow":["/b"],"deny":null}"#,
            r#"{"x":1e999,"allow":{"/b":{"y":[{}]}},"z":"\ud800"}"#,
            &format!(r#"{{"allow":["/b"],"x":{deep}{end}}}"#),
        ] {
            assert_eq!(policy(body.as_bytes()), Ok(Policy::new([pattern("/b")], [])), "{body}");
        }
        assert_eq!(role(br#"{"Policy":"b","policy":"a"}"#), Ok(Role::Policy(PolicyName::parse("a").unwrap())));
        assert_eq!(role(br#"{"admin":false,"Admin":true}"#), Ok(Role::Admin));
    }

    #[test]
    fn a_new_identity_is_an_admin_or_has_a_policy() {
        assert_eq!(role(br#"{"admin":true}"#), Ok(Role::Admin));
        assert_eq!(role(br#"{"policy":"","Admin":true}"#), Ok(Role::Admin));
        let bound = Role::Policy(PolicyName::parse("app").unwrap());
        assert_eq!(role(br#"{"policy":"app"}"#), Ok(bound.clone()));
        assert_eq!(role(br#"{"policy":"app","admin":false}"#), Ok(bound));
        for bad in ["", "null", "{}", r#"{"admin":false}"#, r#"{"policy":"app","admin":true}"#, r#"{"admin":1}"#] {
            assert_eq!(role(bad.as_bytes()), Err(ApiError::Body), "{bad}");
        }
    }

    #[test]
    fn an_assignment_must_name_an_identity() {
        let identity = Identity::from_bytes([0xab; 32]);
        assert_eq!(assigned(format!(r#"{{"identity":"{identity}"}}"#).as_bytes()), Ok(identity));
        let upper = format!(r#"{{"identity":"{}"}}"#, identity.to_string().to_uppercase());
        for nobody in [r#"{"identity":"me"}"#, &upper] {
            assert_eq!(assigned(nobody.as_bytes()), Err(kms::Error::IdentityNotFound.into()), "{nobody}");
        }
        assert!(matches!(assigned(br#"{"identity":"-x"}"#), Err(ApiError::Name(_))));
        for bad in ["{}", r#"{"identity":5}"#, r#"{"identity":""}"#, r#"{"identity":null}"#] {
            assert_eq!(assigned(bad.as_bytes()), Err(ApiError::Body), "{bad}");
        }
    }
}
