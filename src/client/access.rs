//! The policy and identity routes that read.

use hyper::Method;

use super::exchange::Call;
use super::listing::path;
use super::{Client, Error, IdentityEntry, PolicyEntry, SelfEntry};

impl Client {
    /// What is known of a policy, without its patterns.
    ///
    /// # Errors
    /// Status 404 `policy does not exist`, 403, or no answer.
    pub async fn describe_policy(&self, name: &str) -> Result<PolicyEntry, Error> {
        self.fetch(&Call::new(Method::GET, path("/v1/policy/describe/", name))).await
    }

    /// A policy with its patterns.
    ///
    /// # Errors
    /// As [`Client::describe_policy`].
    pub async fn read_policy(&self, name: &str) -> Result<PolicyEntry, Error> {
        self.fetch(&Call::new(Method::GET, path("/v1/policy/read/", name))).await
    }

    /// The names of all policies that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// 403, or no answer.
    pub async fn list_policies(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.list("/v1/policy/list/", prefix).await
    }

    /// What an identity is.
    ///
    /// # Errors
    /// Status 404 `identity does not exist`, 403, or no answer.
    pub async fn describe_identity(&self, identity: &str) -> Result<IdentityEntry, Error> {
        self.fetch(&Call::new(Method::GET, path("/v1/identity/describe/", identity))).await
    }

    /// What this client is.
    ///
    /// # Errors
    /// No certificate, or no answer.
    pub async fn describe_self(&self) -> Result<SelfEntry, Error> {
        self.fetch(&Call::new(Method::GET, "/v1/identity/self/describe")).await
    }

    /// All identities that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// 403, or no answer.
    pub async fn list_identities(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.list("/v1/identity/list/", prefix).await
    }
}
