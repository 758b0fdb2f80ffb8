//! The versions of a key: rotating, listing, disabling and enabling.

use std::time::Instant;

use super::keys::author_of;
use super::write::result_of;
use super::{Behind, Error, Kms};
use crate::crypto::{FIRST_VERSION, KeyMaterial, Secret};
use crate::policy::permitted::{DisableVersion, EnableVersion, ListVersions, RotateKey};
use crate::policy::{Author, KeyName, Permit};
use crate::state::{CreationId, KeySeen, Operation, Outcome};

/// The description of one version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyVersion {
    /// Its number, from 1.
    pub version: u32,
    /// Who made it, and when.
    pub author: Author,
    /// Whether it is disabled.
    pub disabled: bool,
}

/// The versions of a key, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVersions {
    /// Every version.
    pub versions: Vec<KeyVersion>,
    /// About when the key was last used, in Unix minutes.
    pub last_used: Option<u32>,
}

impl Kms {
    /// Makes a new version of a key, which becomes the newest, and returns its number.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::TooManyVersions`], or that the write could not be done.
    pub async fn rotate_key(&self, permit: &Permit<'_, RotateKey>, by: Instant) -> Result<u32, Error> {
        let (name, permission) = (*permit.target(), permit.permission());
        loop {
            let (seen, newest) = self.current_key(name, by).await?;
            let version = newest + 1;
            let record = self.readable(name, newest, by).await.map_err(Error::of_whole_key)?;
            let material = KeyMaterial { encryption: Secret::random(), ..self.openable(name, &record, by).await? };
            let record = self.sealed_record(name, seen.creation_id, version, &material, author_of(permission))?;
            let operation = Operation::RotateKey { name: seen.name, record: record.encode().into() };
            match self.write(permission, operation, by).await? {
                Outcome::RingInactive => self.take_active_ring(by).await?,
                // Another client has rotated the key meanwhile. This version comes after that one.
                Outcome::VersionTaken => {}
                outcome => return result_of(outcome).map(|()| version),
            }
        }
    }

    /// The versions of a key.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], or that no leader answered.
    pub async fn key_versions(&self, permit: &Permit<'_, ListVersions>, by: Instant) -> Result<KeyVersions, Error> {
        let name = *permit.target();
        let (seen, newest) = self.current_key(name, by).await?;
        let mut versions = Vec::new();
        let mut noted = None;
        for version in FIRST_VERSION..=newest {
            let record = self.readable(name, version, by).await.map_err(Error::of_whole_key)?;
            noted = record.last_used;
            versions.push(KeyVersion { version, author: record.author, disabled: record.disabled });
        }
        Ok(KeyVersions { versions, last_used: noted.max(self.opened.uses.noted(&seen)) })
    }

    /// Disables a version of a key. Until it is enabled again, its ciphertexts cannot be decrypted.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::VersionNotFound`], [`Error::VersionNewest`], [`Error::NotEverywhere`], or why the
    /// write was not done.
    pub async fn disable_version(
        &self,
        permit: &Permit<'_, DisableVersion>,
        version: u32,
        by: Instant,
    ) -> Result<Behind, Error> {
        let (key, _) = self.current_key(*permit.target(), by).await?;
        self.revoke(permit.permission(), Operation::SetVersion { key, version, disabled: true }, by).await
    }

    /// Enables a disabled version of a key.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::VersionNotFound`], or why the write was not done.
    pub async fn enable_version(
        &self,
        permit: &Permit<'_, EnableVersion>,
        version: u32,
        by: Instant,
    ) -> Result<(), Error> {
        let (key, _) = self.current_key(*permit.target(), by).await?;
        let operation = Operation::SetVersion { key, version, disabled: false };
        result_of(self.write(permit.permission(), operation, by).await?)
    }

    /// The creation that has this name now, and its newest version.
    pub(super) async fn current_key(&self, name: KeyName<'_>, by: Instant) -> Result<(KeySeen, u32), Error> {
        self.linearize(by).await?;
        let (creation_id, newest) = self.cluster.view().newest(name).ok_or(Error::KeyNotFound)?;
        Ok((key_seen(name, creation_id), newest))
    }
}

/// A key as an operation names it.
pub(super) fn key_seen(name: KeyName<'_>, creation_id: CreationId) -> KeySeen {
    KeySeen { name: name.as_str().to_owned(), creation_id }
}
