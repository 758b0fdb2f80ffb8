//! Changing policies and identities.

use std::time::Instant;

use super::{Behind, Error, Kms};
use crate::policy::{Author, Identity, MAX_POLICY_BYTES, Permit, Policy, PolicyEntry, PolicyName, Role};
use crate::state::{AccessChange, Operation, Replaces, encode_policy};

impl Kms {
    /// Makes a policy; replaces one that it may.
    ///
    /// # Errors
    /// [`Error::PolicyExists`], [`Error::PolicyChanged`], [`Error::PolicyTooLarge`], [`Error::NotEverywhere`], or that the write could not be done.
    pub async fn put_policy(
        &self,
        permit: &Permit<'_>,
        name: PolicyName,
        policy: Policy,
        replaces: Replaces,
        by: Instant,
    ) -> Result<Behind, Error> {
        // As large as it will be stored, whoever writes it and when.
        let author = Author { created_at: Some(0), created_by: Some(Identity::from_bytes([0; Identity::LEN])) };
        let entry = PolicyEntry { policy, author };
        if encode_policy(&name, &entry).len() > MAX_POLICY_BYTES {
            return Err(Error::PolicyTooLarge);
        }
        self.change(permit, AccessChange::PutPolicy { name, policy: entry.policy, replaces }, by).await
    }

    /// Deletes a policy; whoever is assigned to it loses access.
    ///
    /// # Errors
    /// [`Error::PolicyNotFound`], [`Error::NotEverywhere`], or that the write could not be done.
    pub async fn delete_policy(&self, permit: &Permit<'_>, name: PolicyName, by: Instant) -> Result<Behind, Error> {
        self.change(permit, AccessChange::DeletePolicy { name }, by).await
    }

    /// Assigns an identity to a policy, away from any other.
    ///
    /// # Errors
    /// [`Error::PolicyNotFound`], [`Error::IdentityIsAdmin`], [`Error::Denied`] to oneself, [`Error::NotEverywhere`], or that the
    /// write could not be done.
    pub async fn assign_policy(
        &self,
        permit: &Permit<'_>,
        policy: PolicyName,
        identity: Identity,
        by: Instant,
    ) -> Result<Behind, Error> {
        if self.file_admin() == Some(identity) && permit.identity() != Some(identity) {
            self.linearize(by).await?;
            let known = self.rules().policies.contains_key(&policy);
            return Err(if known { Error::IdentityIsAdmin } else { Error::PolicyNotFound });
        }
        self.change(permit, AccessChange::AssignPolicy { policy, identity }, by).await
    }

    /// Makes an identity known: bound to a policy, or an admin, which only an admin makes.
    ///
    /// # Errors
    /// [`Error::IdentityExists`], [`Error::PolicyNotFound`], [`Error::Denied`], [`Error::NotEverywhere`], or that the write could not be done.
    pub async fn create_identity(
        &self,
        permit: &Permit<'_>,
        identity: Identity,
        role: Role,
        by: Instant,
    ) -> Result<Behind, Error> {
        if self.file_admin() == Some(identity) {
            return Err(Error::IdentityExists);
        }
        self.change(permit, AccessChange::CreateIdentity { identity, role }, by).await
    }

    /// Forgets an identity.
    ///
    /// # Errors
    /// [`Error::IdentityNotFound`], [`Error::LastAdmin`], [`Error::AdminOfFile`], [`Error::Denied`],
    /// [`Error::NotEverywhere`], or that the write could not be done.
    pub async fn delete_identity(&self, permit: &Permit<'_>, identity: Identity, by: Instant) -> Result<Behind, Error> {
        let replicated = self.rules().identities.contains_key(&identity);
        if self.file_admin() == Some(identity) && !replicated {
            return Err(Error::AdminOfFile);
        }
        self.change(permit, AccessChange::DeleteIdentity { identity }, by).await
    }

    /// Every change of access counts as a revocation, grants too.
    async fn change(&self, permit: &Permit<'_>, change: AccessChange, by: Instant) -> Result<Behind, Error> {
        self.revoke(permit, Operation::Access(change), by).await
    }
}
