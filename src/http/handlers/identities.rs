//! Identities: describing, creating and deleting them, and describing the client's own.

use std::sync::Arc;

use serde::Serialize;

use super::listing;
use super::request::AuthorisedRequest;
use crate::http::error::ApiError;
use crate::http::wire::access_bodies;
use crate::http::wire::answers::{self, Answer};
use crate::http::wire::authorship::Authorship;
use crate::http::wire::listing::Listing;
use crate::http::wire::pattern_map::{PatternMap, patterns};
use crate::kms::{IdentityDescription, Kms};
use crate::policy::permitted::{CreateIdentity, DeleteIdentity, DescribeIdentity};
use crate::policy::{Author, Identity, IdentityAction, PolicyName};

/// Does what the action says with an identity, or lists identities.
///
/// # Errors
/// The error to answer with.
pub async fn handle(
    action: IdentityAction,
    kms: &Arc<Kms>,
    request: &AuthorisedRequest<'_>,
) -> Result<Answer, ApiError> {
    match action {
        IdentityAction::Describe => describe(kms, request).await,
        IdentityAction::DescribeSelf => self_describe(kms, request).await,
        IdentityAction::Create => create(kms, request).await,
        IdentityAction::Delete => delete(kms, request).await,
        IdentityAction::List => listing::handle(Listing::Identities, kms, request).await,
    }
}

async fn create(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<CreateIdentity>()?;
    let role = access_bodies::role(&request.body)?;
    let behind = kms.create_identity(&permit, role, request.deadline.act_by).await?;
    Ok(answers::revoked(behind))
}

async fn delete(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<DeleteIdentity>()?;
    let behind = kms.delete_identity(&permit, request.deadline.act_by).await?;
    Ok(answers::revoked(behind))
}

async fn describe(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let permit = request.caller.permit::<DescribeIdentity>()?;
    let client = kms.identity(&permit, request.deadline.act_by).await?;
    Ok(answers::json(&DescribedIdentity::new(&client)))
}

async fn self_describe(kms: &Kms, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let identity = request.caller.identity()?;
    let client = kms.own_identity(identity, request.deadline.act_by).await?.unwrap_or_else(unknown_client);
    Ok(answers::json(&SelfDescribed::new(identity, &client)))
}

fn unknown_client() -> IdentityDescription {
    IdentityDescription { admin: false, author: Author::default(), policy: None, entry: None }
}

#[derive(Serialize)]
struct DescribedIdentity<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    admin: bool,
    #[serde(flatten)]
    origin: Authorship,
}

#[derive(Serialize)]
struct SelfDescribed<'a> {
    identity: String,
    admin: bool,
    #[serde(flatten)]
    origin: Authorship,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "PatternMap::is_empty")]
    allow: PatternMap<'a>,
    #[serde(skip_serializing_if = "PatternMap::is_empty")]
    deny: PatternMap<'a>,
}

impl<'a> DescribedIdentity<'a> {
    fn new(client: &'a IdentityDescription) -> Self {
        Self {
            policy: client.policy.as_ref().map(PolicyName::as_str),
            admin: client.admin,
            origin: Authorship::of(&client.author),
        }
    }
}

impl<'a> SelfDescribed<'a> {
    fn new(identity: Identity, client: &'a IdentityDescription) -> Self {
        let policy = client.entry.as_ref().map(|entry| &entry.policy);
        Self {
            identity: identity.to_string(),
            admin: client.admin,
            origin: Authorship::of(&client.author),
            policy: client.policy.as_ref().map(PolicyName::as_str),
            allow: policy.map(|policy| patterns(&policy.allow)).unwrap_or_default(),
            deny: policy.map(|policy| patterns(&policy.deny)).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Pattern, Policy, PolicyEntry, PolicyTag};

    #[test]
    fn a_stranger_sees_its_identity_and_that_it_is_not_an_admin() {
        let identity = Identity::from_bytes([0xab; 32]);
        let shown = serde_json::to_string(&SelfDescribed::new(identity, &unknown_client())).unwrap();
        assert_eq!(shown, format!(r#"{{"identity":"{identity}","admin":false}}"#));
    }

    #[test]
    fn a_client_sees_the_name_and_the_patterns_of_its_policy() {
        let policy = Policy::new([], [Pattern::parse("/v1/status").unwrap()]);
        let client = IdentityDescription {
            policy: Some(PolicyName::parse("app").unwrap()),
            entry: Some(Arc::new(PolicyEntry { policy, author: Author::default(), tag: PolicyTag::default() })),
            ..unknown_client()
        };
        let shown = serde_json::to_value(SelfDescribed::new(Identity::from_bytes([1; 32]), &client)).unwrap();
        assert_eq!(shown["policy"], "app");
        assert_eq!(shown["deny"], serde_json::json!({"/v1/status": {}}));
        assert!(shown.get("allow").is_none());
        assert_eq!(
            serde_json::to_string(&DescribedIdentity::new(&client)).unwrap(),
            r#"{"policy":"app","admin":false}"#
        );
    }
}
