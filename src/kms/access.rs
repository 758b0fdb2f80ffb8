//! Reading policies and identities.

use std::sync::Arc;
use std::time::Instant;

use super::{Error, Kms};
use crate::policy::permitted::{DescribeIdentity, DescribePolicy, ListIdentities, ListPolicies, ReadPolicy};
use crate::policy::{Author, Identity, Permit, PolicyEntry, PolicyName, Prefix, Role, Rules};

/// What the cluster knows about an identity, for `self/describe` and `identity/describe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityDescription {
    /// Whether it is an admin.
    pub admin: bool,
    /// When somebody assigned it, and who did.
    pub author: Author,
    /// The name of its policy, if it has one.
    pub policy: Option<PolicyName>,
    /// That policy, if it exists.
    pub entry: Option<Arc<PolicyEntry>>,
}

impl Kms {
    /// The rules that this node has applied.
    pub fn rules(&self) -> Arc<Rules> {
        self.cluster.view().rules()
    }

    /// The origin of a policy.
    ///
    /// # Errors
    /// [`Error::PolicyNotFound`], or that no leader answered.
    pub async fn describe_policy(&self, permit: &Permit<'_, DescribePolicy>, by: Instant) -> Result<Author, Error> {
        Ok(self.policy(permit.target(), by).await?.author)
    }

    /// A policy and its origin.
    ///
    /// # Errors
    /// [`Error::PolicyNotFound`], or that no leader answered.
    pub async fn read_policy(&self, permit: &Permit<'_, ReadPolicy>, by: Instant) -> Result<Arc<PolicyEntry>, Error> {
        self.policy(permit.target(), by).await
    }

    async fn policy(&self, name: &PolicyName, by: Instant) -> Result<Arc<PolicyEntry>, Error> {
        self.linearize(by).await?;
        self.rules().policies.get(name).cloned().ok_or(Error::PolicyNotFound)
    }

    /// Policy names, as [`Kms::key_names`].
    ///
    /// # Errors
    /// That no leader answered.
    pub async fn policy_names(
        &self,
        permit: &Permit<'_, ListPolicies>,
        from: Option<&str>,
        limit: usize,
        by: Instant,
    ) -> Result<Vec<String>, Error> {
        self.linearize(by).await?;
        let rules = self.rules();
        let names = rules.policies.keys().map(|name| name.as_str().to_owned());
        Ok(page(names, *permit.target(), from, limit))
    }

    /// Describes an identity, which may be the file's admin.
    ///
    /// # Errors
    /// [`Error::IdentityNotFound`], or that no leader answered.
    pub async fn identity(
        &self,
        permit: &Permit<'_, DescribeIdentity>,
        by: Instant,
    ) -> Result<IdentityDescription, Error> {
        let identity = permit.target().ok_or(Error::IdentityNotFound)?;
        self.linearize(by).await?;
        self.description(identity).ok_or(Error::IdentityNotFound)
    }

    /// Identities as hexadecimal text, with the file's admin. Otherwise as [`Kms::key_names`].
    ///
    /// # Errors
    /// That no leader answered.
    pub async fn identity_names(
        &self,
        permit: &Permit<'_, ListIdentities>,
        from: Option<&str>,
        limit: usize,
        by: Instant,
    ) -> Result<Vec<String>, Error> {
        self.linearize(by).await?;
        let rules = self.rules();
        let mut identities: Vec<Identity> = rules.identities.keys().copied().collect();
        identities.extend(self.file_admin());
        identities.sort_unstable();
        identities.dedup();
        Ok(page(identities.into_iter().map(|identity| identity.to_string()), *permit.target(), from, limit))
    }

    /// Describes the client's own identity, or returns `None` if the cluster does not know it. A client needs no permit
    /// for this, only a certificate.
    ///
    /// # Errors
    /// That no leader answered.
    pub async fn own_identity(&self, identity: Identity, by: Instant) -> Result<Option<IdentityDescription>, Error> {
        self.linearize(by).await?;
        Ok(self.description(identity))
    }

    fn description(&self, identity: Identity) -> Option<IdentityDescription> {
        if self.file_admin() == Some(identity) {
            // It has been an admin since the cluster began (wire contract, "Identity and TLS").
            let created_at = self.cluster.view().cluster().and_then(|cluster| cluster.created_at);
            let author = Author { created_at, created_by: None };
            return Some(IdentityDescription { admin: true, author, policy: None, entry: None });
        }
        let rules = self.rules();
        let assignment = rules.identities.get(&identity)?;
        let policy = match &assignment.role {
            Role::Admin => None,
            Role::Policy(name) => Some(name.clone()),
        };
        let entry = policy.as_ref().and_then(|name| rules.policies.get(name)).cloned();
        Some(IdentityDescription { admin: policy.is_none(), author: assignment.author, policy, entry })
    }
}

fn page(names: impl Iterator<Item = String>, prefix: Prefix<'_>, from: Option<&str>, limit: usize) -> Vec<String> {
    let from = from.unwrap_or_default();
    names.filter(|name| name.starts_with(prefix.as_str()) && name.as_str() >= from).take(limit).collect()
}
