//! Changing policies and identities.

use std::time::Instant;

use super::{Behind, Error, Kms};
use crate::policy::permitted::{AssignPolicy, CreateIdentity, CreatePolicy, DeleteIdentity, DeletePolicy, WritePolicy};
use crate::policy::{
    Author, Identity, MAX_POLICY_BYTES, Permission, Permit, Policy, PolicyName, PolicyTag, Role, Rules,
};
use crate::state::{AccessChange, Operation, Replaces, stored_policy};

impl Kms {
    /// Makes a policy.
    ///
    /// # Errors
    /// [`Error::PolicyExists`], [`Error::PolicyTooLarge`], [`Error::NotEverywhere`], or why the write was not done.
    pub async fn create_policy(
        &self,
        permit: &Permit<'_, CreatePolicy>,
        policy: Policy,
        by: Instant,
    ) -> Result<Behind, Error> {
        let name = permit.target();
        let change = put_policy(name, policy, Replaces::Nothing)?;
        let created = self.change(permit.permission(), change, by).await;
        let is_taken = |rules: &Rules| rules.policies.contains_key(name);
        self.or_taken(created, Error::PolicyExists, is_taken, by).await
    }

    /// Makes a policy, or replaces it: any policy of this name, or only the one with this tag.
    ///
    /// # Errors
    /// [`Error::PolicyChanged`], [`Error::PolicyTooLarge`], [`Error::NotEverywhere`], or why the write was not done.
    pub async fn write_policy(
        &self,
        permit: &Permit<'_, WritePolicy>,
        policy: Policy,
        only: Option<PolicyTag>,
        by: Instant,
    ) -> Result<Behind, Error> {
        let change = put_policy(permit.target(), policy, only.map_or(Replaces::Anything, Replaces::Only))?;
        self.change(permit.permission(), change, by).await
    }

    /// Deletes a policy. Identities that are assigned to it lose access.
    ///
    /// # Errors
    /// [`Error::PolicyNotFound`], [`Error::NotEverywhere`], or why the write was not done.
    pub async fn delete_policy(&self, permit: &Permit<'_, DeletePolicy>, by: Instant) -> Result<Behind, Error> {
        let change = AccessChange::DeletePolicy { name: permit.target().clone() };
        self.change(permit.permission(), change, by).await
    }

    /// Assigns a policy to an identity, in place of its former policy.
    ///
    /// # Errors
    /// [`Error::PolicyNotFound`], [`Error::IdentityIsAdmin`], [`Error::Denied`] if the client assigns it to itself,
    /// [`Error::NotEverywhere`], or why the write was not done.
    pub async fn assign_policy(
        &self,
        permit: &Permit<'_, AssignPolicy>,
        identity: Identity,
        by: Instant,
    ) -> Result<Behind, Error> {
        let (policy, permission) = (permit.target().clone(), permit.permission());
        if self.file_admin() == Some(identity) && permission.identity() != Some(identity) {
            self.linearize(by).await?;
            let known = self.rules().policies.contains_key(&policy);
            return Err(if known { Error::IdentityIsAdmin } else { Error::PolicyNotFound });
        }
        self.change(permission, AccessChange::AssignPolicy { policy, identity }, by).await
    }

    /// Gives an unknown identity a role. Only an admin makes an admin.
    ///
    /// # Errors
    /// [`Error::IdentityExists`], [`Error::PolicyNotFound`], [`Error::Denied`], [`Error::NotEverywhere`], or why the write
    /// was not done.
    pub async fn create_identity(
        &self,
        permit: &Permit<'_, CreateIdentity>,
        role: Role,
        by: Instant,
    ) -> Result<Behind, Error> {
        let identity = *permit.target();
        if self.file_admin() == Some(identity) {
            return Err(Error::IdentityExists);
        }
        let created = self.change(permit.permission(), AccessChange::CreateIdentity { identity, role }, by).await;
        let is_taken = |rules: &Rules| rules.identities.contains_key(&identity);
        self.or_taken(created, Error::IdentityExists, is_taken, by).await
    }

    /// Takes the role of an identity away.
    ///
    /// # Errors
    /// [`Error::IdentityNotFound`], [`Error::LastAdmin`], [`Error::AdminOfFile`], [`Error::Denied`],
    /// [`Error::NotEverywhere`], or why the write was not done.
    pub async fn delete_identity(&self, permit: &Permit<'_, DeleteIdentity>, by: Instant) -> Result<Behind, Error> {
        let identity = permit.target().ok_or(Error::IdentityNotFound)?;
        let replicated = self.rules().identities.contains_key(&identity);
        if self.file_admin() == Some(identity) && !replicated {
            return Err(Error::AdminOfFile);
        }
        self.change(permit.permission(), AccessChange::DeleteIdentity { identity }, by).await
    }

    /// Writes a change. Each counts as a revocation, also one that grants access.
    /// The same, or `taken` where the cluster lacks room for what exists already: that needs no room.
    async fn or_taken(
        &self,
        created: Result<Behind, Error>,
        taken: Error,
        is_taken: impl Fn(&Rules) -> bool,
        by: Instant,
    ) -> Result<Behind, Error> {
        let is_refused = matches!(created, Err(Error::NoRoom)) && self.linearize(by).await.is_ok();
        if is_refused && is_taken(&self.rules()) { Err(taken) } else { created }
    }

    async fn change(&self, permission: Permission, change: AccessChange, by: Instant) -> Result<Behind, Error> {
        self.revoke(permission, Operation::Access(change), by).await
    }
}

fn put_policy(name: &PolicyName, policy: Policy, replaces: Replaces) -> Result<AccessChange, Error> {
    // It is stored with an author and a time, whose encoding has always the same size.
    let author = Author { created_at: Some(0), created_by: Some(Identity::from_bytes([0; Identity::LEN])) };
    let stored = stored_policy(name, policy, author);
    if stored.bytes.len() > MAX_POLICY_BYTES {
        return Err(Error::PolicyTooLarge);
    }
    Ok(AccessChange::PutPolicy { name: name.clone(), policy: stored.value.policy, replaces })
}
