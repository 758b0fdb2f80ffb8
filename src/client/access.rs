//! Requests about policies and identities.

use hyper::Method;
use serde_json::{Value, json};

use super::exchange::Call;
use super::listing::path;
use super::{ApiClient, Error, IdentityEntry, PolicyEntry, SelfEntry};
use crate::policy::{Identity, IdentityAction, Policy, PolicyAction};

/// The role of a new identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewRole {
    /// An admin, who may do everything.
    Admin,
    /// A client with the policy of this name.
    Policy(String),
}

impl ApiClient {
    /// The origin of a policy, without its patterns.
    ///
    /// # Errors
    /// Status 404 `policy does not exist`, 403, or no answer.
    pub async fn describe_policy(&self, name: &str) -> Result<PolicyEntry, Error> {
        self.fetch(&Call::new(Method::GET, path(PolicyAction::Describe, name))).await
    }

    /// A policy with its patterns.
    ///
    /// # Errors
    /// As [`ApiClient::describe_policy`].
    pub async fn read_policy(&self, name: &str) -> Result<PolicyEntry, Error> {
        self.read_tagged_policy(name).await.map(|(policy, _)| policy)
    }

    /// A policy with its patterns, and the tag with which [`ApiClient::replace_policy`] replaces just this version of it.
    /// `None` if the server sends no tags.
    ///
    /// # Errors
    /// As [`ApiClient::describe_policy`].
    pub async fn read_tagged_policy(&self, name: &str) -> Result<(PolicyEntry, Option<String>), Error> {
        let path = path(PolicyAction::Read, name);
        let answer = self.exchange(&Call::new(Method::GET, path.clone())).await?;
        Ok((answer.parse(&path)?, answer.tag))
    }

    /// The names of all policies that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// 403, or no answer.
    pub async fn list_policies(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.list(PolicyAction::List, prefix).await
    }

    /// The role and policy of an identity.
    ///
    /// # Errors
    /// Status 404 `identity does not exist`, 403, or no answer.
    pub async fn describe_identity(&self, identity: &str) -> Result<IdentityEntry, Error> {
        self.fetch(&Call::new(Method::GET, path(IdentityAction::Describe, identity))).await
    }

    /// The identity, role and policy of this client.
    ///
    /// # Errors
    /// No certificate, or no answer.
    pub async fn describe_self(&self) -> Result<SelfEntry, Error> {
        self.fetch(&Call::new(Method::GET, path(IdentityAction::DescribeSelf, ""))).await
    }

    /// All identities that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// 403, or no answer.
    pub async fn list_identities(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.list(IdentityAction::List, prefix).await
    }

    /// Creates a policy.
    ///
    /// # Errors
    /// Status 400 `policy already exists` or for a pattern that can never match, 413, 403, or no answer.
    pub async fn create_policy(&self, name: &str, policy: &Policy) -> Result<(), Error> {
        self.exchange(&Call::json(path(PolicyAction::Create, name), &patterns(policy))).await.map(drop)
    }

    /// Creates a policy, or replaces the one of that name.
    ///
    /// # Errors
    /// As [`ApiClient::create_policy`], except that the policy may exist.
    pub async fn write_policy(&self, name: &str, policy: &Policy) -> Result<(), Error> {
        self.exchange(&Call::json(path(PolicyAction::Write, name), &patterns(policy))).await.map(drop)
    }

    /// Replaces the policy if it still has this tag.
    ///
    /// # Errors
    /// As [`ApiClient::write_policy`], and status 412 if the policy was changed since it was read.
    pub async fn replace_policy(&self, name: &str, policy: &Policy, tag: Option<String>) -> Result<(), Error> {
        let call = Call { if_match: tag, ..Call::json(path(PolicyAction::Write, name), &patterns(policy)) };
        self.exchange(&call).await.map(drop)
    }

    /// Assigns a policy to an identity, in place of the one that it had.
    ///
    /// # Errors
    /// Status 404 `policy does not exist`, 400 for an admin, 403 (also for the client's own identity), or no answer.
    pub async fn assign_policy(&self, name: &str, identity: Identity) -> Result<(), Error> {
        let body = json!({ "identity": identity.to_string() });
        self.exchange(&Call::json(path(PolicyAction::Assign, name), &body)).await.map(drop)
    }

    /// Deletes a policy; identities that had it lose access.
    ///
    /// # Errors
    /// Status 404 `policy does not exist`, 403, or no answer.
    pub async fn delete_policy(&self, name: &str) -> Result<(), Error> {
        self.exchange(&Call::new(Method::DELETE, path(PolicyAction::Delete, name))).await.map(drop)
    }

    /// Creates an identity with a role.
    ///
    /// # Errors
    /// Status 400 `identity already exists`, 404 `policy does not exist`, 403, or no answer.
    pub async fn create_identity(&self, identity: Identity, role: &NewRole) -> Result<(), Error> {
        let body = match role {
            NewRole::Admin => json!({ "admin": true }),
            NewRole::Policy(name) => json!({ "policy": name }),
        };
        self.exchange(&Call::json(path(IdentityAction::Create, &identity.to_string()), &body)).await.map(drop)
    }

    /// Takes all access from an identity.
    ///
    /// # Errors
    /// Status 404 `identity does not exist`, 400 for the last admin, 403, or no answer.
    pub async fn delete_identity(&self, identity: &str) -> Result<(), Error> {
        self.exchange(&Call::new(Method::DELETE, path(IdentityAction::Delete, identity))).await.map(drop)
    }
}

fn patterns(policy: &Policy) -> Value {
    let object = |patterns: &[crate::policy::Pattern]| -> Value {
        patterns
            .iter()
            .map(|pattern| (pattern.as_str().to_owned(), json!({})))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({ "allow": object(&policy.allow), "deny": object(&policy.deny) })
}
