//! Policies: reading and changing them.

use std::sync::Arc;

use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;

use super::listing;
use super::request::AuthorisedRequest;
use crate::http::error::ApiError;
use crate::http::wire::access_bodies;
use crate::http::wire::answers::{self, Answer};
use crate::http::wire::authorship::Authorship;
use crate::http::wire::listing::Listing;
use crate::http::wire::pattern_map::{PatternMap, patterns};
use crate::kms::{self, Kms};
use crate::policy::permitted::{AssignPolicy, CreatePolicy, DeletePolicy, DescribePolicy, ReadPolicy, WritePolicy};
use crate::policy::{Pattern, Policy, PolicyAction, PolicyEntry, PolicyName, PolicyTag};

/// Does what the action says with a policy, or lists policies.
///
/// # Errors
/// The error to answer with.
pub async fn handle(action: PolicyAction, kms: &Arc<Kms>, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    match action {
        PolicyAction::List => listing::handle(Listing::Policies, kms, request).await,
        PolicyAction::Describe => describe(kms, request).await,
        PolicyAction::Read => read(kms, request).await,
        PolicyAction::Create => create(kms, request).await,
        PolicyAction::Write => write(kms, request).await,
        PolicyAction::Assign => assign(kms, request).await,
        PolicyAction::Delete => delete(kms, request).await,
    }
}

async fn describe(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<DescribePolicy>()?;
    let author = kms.describe_policy(&permit, request.deadline.act_by).await?;
    Ok(answers::json(&DescribedPolicy { name: permit.target().as_str(), origin: Authorship::of(&author) }))
}

async fn read(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<ReadPolicy>()?;
    let (name, entry) = (permit.target(), kms.read_policy(&permit, request.deadline.act_by).await?);
    let mut answer = answers::json(&FullPolicy::new(name, &entry));
    answer.headers_mut().insert(ETAG, etag(entry.tag));
    Ok(answer)
}

async fn create(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<CreatePolicy>()?;
    let policy = access_bodies::policy(&request.body)?;
    let unreached = unreached_patterns(&policy);
    let behind = kms.create_policy(&permit, policy, request.deadline.act_by).await?;
    warn_of(&unreached, permit.target(), request.request_id);
    Ok(answers::revoked(behind))
}

async fn write(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<WritePolicy>()?;
    let only = wanted_tag(&request.parts.headers)?;
    let policy = access_bodies::policy(&request.body)?;
    let unreached = unreached_patterns(&policy);
    let behind = kms.write_policy(&permit, policy, only, request.deadline.act_by).await?;
    warn_of(&unreached, permit.target(), request.request_id);
    Ok(answers::revoked(behind))
}

async fn assign(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<AssignPolicy>()?;
    let identity = access_bodies::assigned(&request.body)?;
    Ok(answers::revoked(kms.assign_policy(&permit, identity, request.deadline.act_by).await?))
}

async fn delete(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<DeletePolicy>()?;
    Ok(answers::revoked(kms.delete_policy(&permit, request.deadline.act_by).await?))
}

/// Patterns that no request can match. The node keeps them, and logs a warning (wire contract, "Policies").
fn unreached_patterns(policy: &Policy) -> Vec<Pattern> {
    policy.allow.iter().chain(&policy.deny).filter(|pattern| !pattern.is_reached()).cloned().collect()
}

fn warn_of(unreached: &[Pattern], policy: &PolicyName, request_id: u64) {
    if !unreached.is_empty() {
        let request_id = format_args!("{request_id:016x}");
        tracing::warn!(
            %request_id,
            policy = policy.as_str(),
            patterns = ?unreached,
            "no request to this server can match these patterns of the policy; the node keeps them"
        );
    }
}

/// The entity tag of a policy, with which a client replaces exactly this policy (RFC 9110, section 8.8.3).
fn etag(PolicyTag(tag): PolicyTag) -> HeaderValue {
    HeaderValue::try_from(format!("\"{}\"", hex::encode(tag))).expect("digits in quotes are a header's value")
}

/// The tag of the only policy that a write may replace, if `If-Match` names one (RFC 9110, section 13.1.1).
fn wanted_tag(headers: &HeaderMap) -> Result<Option<PolicyTag>, ApiError> {
    let Some(wanted) = headers.get(IF_MATCH) else { return Ok(None) };
    let digits = wanted.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
    let mut tag = [0; 32];
    // A header that is not one of this server's tags matches no policy.
    let read = digits.and_then(|digits| hex::decode_to_slice(digits, &mut tag).ok());
    read.map(|()| Some(PolicyTag(tag))).ok_or(ApiError::Kms(kms::Error::PolicyChanged))
}

#[derive(Serialize)]
struct DescribedPolicy<'a> {
    name: &'a str,
    #[serde(flatten)]
    origin: Authorship,
}

#[derive(Serialize)]
struct FullPolicy<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "PatternMap::is_empty")]
    allow: PatternMap<'a>,
    #[serde(skip_serializing_if = "PatternMap::is_empty")]
    deny: PatternMap<'a>,
    #[serde(flatten)]
    origin: Authorship,
}

impl<'a> FullPolicy<'a> {
    fn new(name: &'a PolicyName, entry: &'a PolicyEntry) -> Self {
        let policy = &entry.policy;
        Self {
            name: name.as_str(),
            allow: patterns(&policy.allow),
            deny: patterns(&policy.deny),
            origin: Authorship::of(&entry.author),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Author;

    #[test]
    fn a_policy_shows_its_patterns_as_objects_and_leaves_out_empty_lists() {
        let name = PolicyName::parse("app").unwrap();
        let pattern = |text| Pattern::parse(text).unwrap();
        let policy = Policy::new([pattern("/v1/status"), pattern("/v1/key/create/my-*")], []);
        let author = Author { created_at: Some(0), created_by: None };
        let shown =
            serde_json::to_string(&FullPolicy::new(&name, &PolicyEntry { policy, author, tag: PolicyTag::default() }))
                .unwrap();
        let expected = concat!(
            r#"{"name":"app","allow":{"/v1/key/create/my-*":{},"/v1/status":{}},"#,
            r#""created_at":"1970-01-01T00:00:00Z"}"#
        );
        assert_eq!(shown, expected);
    }
}
