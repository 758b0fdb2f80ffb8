//! Writing: sending one command to the cluster, and translating its outcome for the caller.

use std::time::Instant;

use super::{Behind, Error, Kms};
use crate::clock;
use crate::crypto::random;
use crate::policy::{ActionKind, Actor, Permission};
use crate::state::{Command, LOWEST_LEVEL, Operation, Outcome, RequestId, UnknownOutcome};

impl Kms {
    /// Writes what an actor may do. Retries on the way carry the same bytes.
    pub(super) async fn write(
        &self,
        permission: Permission,
        operation: Operation,
        by: Instant,
    ) -> Result<Outcome, Error> {
        self.write_as(permission.actor(), Some(permission.kind()), operation, by).await
    }

    /// Writes what this node does by itself, and no client may do.
    pub(super) async fn write_by_itself(&self, operation: Operation, by: Instant) -> Result<Outcome, Error> {
        self.write_as(Actor::Node, None, operation, by).await
    }

    async fn write_as(
        &self,
        actor: Actor,
        action: Option<ActionKind>,
        operation: Operation,
        by: Instant,
    ) -> Result<Outcome, Error> {
        let command = Command {
            time_ns: clock::unix_ns(),
            actor,
            action,
            file_names_admin: self.file_admin().is_some(),
            operation,
        };
        loop {
            let (level, seen_index) = (self.cluster.view().level().unwrap_or(LOWEST_LEVEL), self.cluster.seen_index());
            let encoded = command.encode(level, RequestId(random::bytes()), seen_index);
            match self.cluster.write(&encoded, by).await?.known() {
                // The level was raised meanwhile. This command never takes effect, so the next one has another id.
                Ok(Outcome::LevelNotActive) => {}
                Ok(outcome) => return Ok(outcome),
                Err(UnknownOutcome(number)) => return Err(Error::UnknownOutcome(number)),
            }
        }
    }

    /// As [`Kms::write`], for a command that takes something away or changes a policy or an identity. When this returns, the
    /// change holds everywhere.
    pub(super) async fn revoke(
        &self,
        permission: Permission,
        operation: Operation,
        by: Instant,
    ) -> Result<Behind, Error> {
        match result_of(self.write(permission, operation, by).await?) {
            Ok(()) => self.wait_until_everywhere(by).await,
            Err(error) => self.refuse_revocation(error, by).await,
        }
    }

    /// Refuses a revocation. If the thing to remove does not exist, another client may have just removed it. Then this
    /// waits too, until that revocation holds everywhere.
    pub(super) async fn refuse_revocation(&self, error: Error, by: Instant) -> Result<Behind, Error> {
        if error.is_absence() {
            self.wait_until_everywhere(by).await?;
        }
        Err(error)
    }
}

/// Translates an outcome into a result.
pub(super) fn result_of(outcome: Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::KeyExists => Err(Error::KeyExists),
        Outcome::KeyNotFound => Err(Error::KeyNotFound),
        Outcome::Denied => Err(Error::Denied),
        Outcome::Expired => Err(Error::OutcomeUnknown),
        Outcome::NothingWaiting => Err(Error::NothingWaiting),
        Outcome::VersionNotFound => Err(Error::VersionNotFound),
        Outcome::VersionNewest => Err(Error::VersionNewest),
        Outcome::TooManyVersions => Err(Error::TooManyVersions),
        Outcome::PolicyExists => Err(Error::PolicyExists),
        Outcome::PolicyNotFound => Err(Error::PolicyNotFound),
        Outcome::PolicyChanged => Err(Error::PolicyChanged),
        Outcome::IdentityExists => Err(Error::IdentityExists),
        Outcome::IdentityNotFound => Err(Error::IdentityNotFound),
        Outcome::IdentityIsAdmin => Err(Error::IdentityIsAdmin),
        Outcome::LastAdmin => Err(Error::LastAdmin),
        // These never reach a client. The node serves only once the cluster is initialised, no client raises the level
        // or changes the ring, and the callers that can get `RingInactive`, `VersionTaken`, `KeyWaiting` or `LevelNotActive` handle them.
        Outcome::RingInactive
        | Outcome::AlreadyInitialised
        | Outcome::NotInitialised
        | Outcome::Malformed
        | Outcome::VersionTaken
        | Outcome::KeyWaiting
        | Outcome::LevelNotActive
        | Outcome::LevelNotNext
        | Outcome::RingVersionExists
        | Outcome::RingVersionNotFound
        | Outcome::RingVersionActive
        | Outcome::RingNotOpened
        | Outcome::RingVersionInUse
        | Outcome::RingChanged
        | Outcome::SealExists
        | Outcome::SealNotFound => Err(Error::Stopping),
        #[cfg(feature = "level-2")]
        Outcome::Noted => Err(Error::Stopping),
    }
}
