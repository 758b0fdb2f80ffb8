//! Policies: reading and changing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;

use super::listing::{self, Listing};
use super::request::AuthorisedRequest;
use crate::clock;
use crate::http::error::ApiError;
use crate::http::wire::access_bodies;
use crate::http::wire::answers::{self, Answer};
use crate::kms::{self, Behind, Kms};
use crate::policy::{Author, Pattern, PolicyAction, PolicyEntry, PolicyName};
use crate::state::{PolicyTag, Replaces};

/// Does what the action says with a policy, or lists policies.
///
/// # Errors
/// The error to answer with.
pub async fn handle(action: PolicyAction, kms: &Arc<Kms>, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    match action {
        PolicyAction::List => listing::handle(Listing::Policies, kms, request).await,
        action => on_one(action, kms, request).await,
    }
}

async fn on_one(action: PolicyAction, kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let name = PolicyName::parse(request.action.name())?;
    let (kms, permit, by) = (kms, request.caller.permit()?, request.deadline.act_by);
    let behind = match action {
        PolicyAction::List => return Err(ApiError::UnknownPath),
        PolicyAction::Describe => {
            let entry = kms.policy(permit, &name, by).await?;
            return Ok(answers::json(&Described { name: name.as_str(), origin: Origin::of(&entry.author) }));
        }
        PolicyAction::Read => {
            let entry = kms.policy(permit, &name, by).await?;
            let mut answer = answers::json(&Read::new(&name, &entry));
            answer.headers_mut().insert(ETAG, etag(PolicyTag::of(&name, &entry)));
            return Ok(answer);
        }
        PolicyAction::Create => put(kms, request, name, Replaces::Nothing).await?,
        PolicyAction::Write => put(kms, request, name, replaces(&request.parts.headers)?).await?,
        PolicyAction::Assign => kms.assign_policy(permit, name, access_bodies::assigned(&request.body)?, by).await?,
        PolicyAction::Delete => kms.delete_policy(permit, name, by).await?,
    };
    Ok(answers::revoked(behind))
}

/// Creates or replaces a policy. Keeps patterns that no request can match, and logs a warning (wire contract,
/// "Policies").
async fn put(
    kms: &Kms,
    request: &AuthorisedRequest<'_>,
    name: PolicyName,
    replaces: Replaces,
) -> Result<Behind, ApiError> {
    let policy = access_bodies::policy(&request.body)?;
    let patterns = policy.allow.iter().chain(&policy.deny);
    let unreached: Vec<_> = patterns.filter(|pattern| !pattern.is_reached()).cloned().collect();
    let text = name.as_str().to_owned();
    let behind = kms.put_policy(request.caller.permit()?, name, policy, replaces, request.deadline.act_by).await?;
    if !unreached.is_empty() {
        let request_id = format_args!("{:016x}", request.request_id);
        tracing::warn!(
            %request_id,
            policy = text,
            patterns = ?unreached,
            "no request to this server can match these patterns of the policy; the node keeps them"
        );
    }
    Ok(behind)
}

/// The entity tag of a policy, with which a client replaces exactly this policy (RFC 9110, section 8.8.3).
fn etag(PolicyTag(tag): PolicyTag) -> HeaderValue {
    HeaderValue::try_from(format!("\"{}\"", hex::encode(tag))).expect("digits in quotes are a header's value")
}

/// Which policy a write may replace: any, or the one that `If-Match` names (RFC 9110, section 13.1.1).
fn replaces(headers: &HeaderMap) -> Result<Replaces, ApiError> {
    let Some(wanted) = headers.get(IF_MATCH) else { return Ok(Replaces::Anything) };
    let digits = wanted.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
    let mut tag = [0; 32];
    // A header that is not one of this server's tags matches no policy.
    let read = digits.and_then(|digits| hex::decode_to_slice(digits, &mut tag).ok());
    read.map(|()| Replaces::Only(PolicyTag(tag))).ok_or(ApiError::Kms(kms::Error::PolicyChanged))
}

/// Patterns as the API shows them: the keys of an object.
pub type PatternMap<'a> = BTreeMap<&'a str, EmptyObject>;

/// The value of a pattern: `{}`.
#[derive(Serialize)]
pub struct EmptyObject {}

/// When and by whom something was created. An unknown value is left out.
#[derive(Serialize)]
pub struct Origin {
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
}

#[derive(Serialize)]
struct Described<'a> {
    name: &'a str,
    #[serde(flatten)]
    origin: Origin,
}

#[derive(Serialize)]
struct Read<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    allow: PatternMap<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    deny: PatternMap<'a>,
    #[serde(flatten)]
    origin: Origin,
}

impl Origin {
    /// The origin by its author.
    pub fn of(author: &Author) -> Self {
        Self {
            created_at: author.created_at.map(|time| clock::rfc3339(Some(time))),
            created_by: author.created_by.map(|identity| identity.to_string()),
        }
    }
}

impl<'a> Read<'a> {
    fn new(name: &'a PolicyName, entry: &'a PolicyEntry) -> Self {
        let policy = &entry.policy;
        Self {
            name: name.as_str(),
            allow: patterns(&policy.allow),
            deny: patterns(&policy.deny),
            origin: Origin::of(&entry.author),
        }
    }
}

/// Patterns as the keys of an object.
pub fn patterns(patterns: &[Pattern]) -> PatternMap<'_> {
    patterns.iter().map(|pattern| (pattern.as_str(), EmptyObject {})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    #[test]
    fn a_policy_shows_its_patterns_as_objects_and_leaves_out_empty_lists() {
        let name = PolicyName::parse("app").unwrap();
        let pattern = |text| Pattern::parse(text).unwrap();
        let policy = Policy::new([pattern("/v1/status"), pattern("/v1/key/create/my-*")], []);
        let author = Author { created_at: Some(0), created_by: None };
        let shown = serde_json::to_string(&Read::new(&name, &PolicyEntry { policy, author })).unwrap();
        let expected = concat!(
            r#"{"name":"app","allow":{"/v1/key/create/my-*":{},"/v1/status":{}},"#,
            r#""created_at":"1970-01-01T00:00:00Z"}"#
        );
        assert_eq!(shown, expected);
    }
}
