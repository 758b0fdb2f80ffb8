//! Changing the key ring: a new version is added first, and made active once every member has opened and noted it.

use std::time::Instant;

use thiserror::Error as ThisError;

use super::cluster_keys::reseal;
use super::ring::{SealError, encode};
use super::ring_follow::seals_of;
use super::{Error, Kms};
use crate::crypto::{RootKey, random};
use crate::state::{Operation, Outcome, RingChange, RingLink, RingNote, RingVersion, Seal, SealId};

/// Why the key ring was not changed.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum RingChangeError {
    /// This node cannot read its root key, or cannot open the keys of the cluster.
    #[error("this node cannot make a ring version: {0}")]
    Seal(#[from] SealError),
    /// No seal has the root key of this node.
    #[error("the root key of this node belongs to no seal of the cluster, so a new ring version could not be wrapped")]
    NoSeal,
    /// The ring has changed since this node looked.
    #[error("somebody else changed the key ring at the same time; look at it, and try again if that is still needed")]
    Changed,
    /// The ring has no such version.
    #[error("the key ring has no version {0}")]
    VersionNotFound(u32),
    /// The version is active, or a later one is.
    #[error("version {0} of the key ring, or a later one, is active")]
    VersionActive(u32),
    /// Members have not noted that they open the ring in a way that the change leaves.
    #[error(
        "the key ring stays as it is, because these members have not said that they can open it afterwards: {}. Start them \
         with a root key of the cluster, or remove them from the cluster, and try again",
        .0.join(", ")
    )]
    NotOpened(Vec<String>),
    /// Something is sealed under the version.
    #[error("version {0} of the key ring still seals keys")]
    VersionInUse(u32),
    /// The ring has as many versions or seals as it may have.
    #[error("the key ring has as many versions and seals as it may have; drop one that is not needed any more")]
    TooMany,
    /// A seal of this name exists.
    #[error("a seal of this name exists")]
    SealExists,
    /// The cluster has no such seal.
    #[error("the cluster has no such seal")]
    SealNotFound,
    /// The cluster refused the command for another reason.
    #[error("the cluster refused the change, with outcome {0:?}")]
    Refused(Outcome),
    /// The command was not carried out, or its outcome is unknown.
    #[error(transparent)]
    Write(#[from] Error),
}

impl Kms {
    /// Adds a version to the ring, and returns its number. It seals nothing before it is activated.
    ///
    /// # Errors
    /// Why it was not added.
    pub async fn add_ring_version(&self, by: Instant) -> Result<u32, RingChangeError> {
        let root = self.read_root_key().await?;
        self.linearize(by).await?;
        let ring = self.reopen_ring(Some(&root))?;
        let state = self.cluster.view().cluster().ok_or(Error::Stopping)?;
        let version = state.last_ring_version + 1;
        let ring = ring.with_new_version(version);
        let seals = seals_of(&state, &ring, &root);
        let wrap = |seal: SealId| ring.wrap(version, &root, seal.0, &state.id.0);
        let wraps: Vec<_> = seals.into_iter().filter_map(wrap).map(|wrap| encode(&wrap)).collect();
        if wraps.is_empty() {
            return Err(RingChangeError::NoSeal);
        }
        let sealed = ring.link(version, &state.id.0).ok_or(Error::Stopping)?.into();
        let link = Some(RingLink { previous: ring.active(), sealed });
        let resealed = Some(reseal(&state, &ring, version)?);
        self.change_ring(RingChange::AddVersion(RingVersion { version, wraps, link, resealed }), by).await?;
        Ok(version)
    }

    /// Makes a version of the ring seal new records.
    ///
    /// # Errors
    /// Why it did not become active.
    pub async fn activate_ring_version(&self, version: u32, by: Instant) -> Result<(), RingChangeError> {
        self.change_ring(RingChange::ActivateVersion { version }, by).await
    }

    /// Drops a version of the ring that seals nothing any more.
    ///
    /// # Errors
    /// Why it was not dropped.
    pub async fn drop_ring_version(&self, version: u32, by: Instant) -> Result<(), RingChangeError> {
        self.change_ring(RingChange::DropVersion { version }, by).await
    }

    /// Adds a seal that has this root key, and returns its id.
    ///
    /// # Errors
    /// Why it was not added.
    pub async fn add_seal(&self, name: &str, root: &RootKey, by: Instant) -> Result<SealId, RingChangeError> {
        self.linearize(by).await?;
        let ring = self.reopen_ring(None)?;
        let state = self.cluster.view().cluster().ok_or(Error::Stopping)?;
        let seal = Seal { id: SealId(random::bytes()), name: name.to_owned() };
        let wrap = |version| Some((version, encode(&ring.wrap(version, root, seal.id.0, &state.id.0)?)));
        let id = seal.id;
        let wraps = ring.versions().filter_map(wrap).collect();
        self.change_ring(RingChange::AddSeal { seal, wraps }, by).await?;
        Ok(id)
    }

    /// Removes a seal. Afterwards its root key does not open the ring any more.
    ///
    /// # Errors
    /// Why it was not removed.
    pub async fn remove_seal(&self, id: SealId, by: Instant) -> Result<(), RingChangeError> {
        self.change_ring(RingChange::RemoveSeal { id }, by).await
    }

    async fn change_ring(&self, change: RingChange, by: Instant) -> Result<(), RingChangeError> {
        let outcome = self.write_by_itself(Operation::Ring(change.clone()), by).await?;
        match outcome {
            Outcome::Done => Ok(()),
            outcome => Err(self.ring_change_error(&change, outcome)),
        }
    }

    fn ring_change_error(&self, change: &RingChange, outcome: Outcome) -> RingChangeError {
        let version = match change {
            RingChange::AddVersion(version) => version.version,
            RingChange::ActivateVersion { version } | RingChange::DropVersion { version } => *version,
            _ => 0,
        };
        match outcome {
            Outcome::RingVersionExists | Outcome::RingChanged => RingChangeError::Changed,
            Outcome::RingVersionNotFound => RingChangeError::VersionNotFound(version),
            Outcome::RingVersionActive => RingChangeError::VersionActive(version),
            Outcome::RingNotOpened => RingChangeError::NotOpened(self.members_in_the_way(change)),
            Outcome::RingVersionInUse => RingChangeError::VersionInUse(version),
            Outcome::TooManyVersions => RingChangeError::TooMany,
            Outcome::SealExists => RingChangeError::SealExists,
            Outcome::SealNotFound => RingChangeError::SealNotFound,
            other => RingChangeError::Refused(other),
        }
    }

    /// The names of the members because of whose notes the cluster refused this change.
    fn members_in_the_way(&self, change: &RingChange) -> Vec<String> {
        let Some(state) = self.cluster.view().cluster() else { return Vec::new() };
        let is_ready = |note: &RingNote| match change {
            RingChange::ActivateVersion { version } => note.versions.contains(version),
            RingChange::RemoveSeal { id } => note.seals.iter().any(|seal| seal != id),
            _ => !note.seals.is_empty(),
        };
        let ready = |node| state.ring_notes.iter().any(|note| note.node == node && is_ready(note));
        let members = self.cluster.status().members.into_iter().filter(|member| !ready(member.id));
        members.map(|member| member.name).collect()
    }
}
