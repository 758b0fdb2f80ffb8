//! Making, describing and listing keys.

use std::fmt::Display;
use std::time::Instant;

use zeroize::Zeroizing;

use super::write::result_of;
use super::{Error, Kms};
use crate::clock;
use crate::crypto::{Binding, Cipher, FIRST_VERSION, KeyMaterial, RecordKind, Secret, random};
use crate::policy::permitted::{CreateKey, DescribeKey, ImportKey, ListKeys};
use crate::policy::{Author, KeyName, Permission, Permit};
use crate::state::{ClusterId, CreationId, KeyRecord, Operation, Outcome};

/// The description of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDescription {
    /// Its cipher.
    pub cipher: Cipher,
    /// Who made it, and when.
    pub author: Author,
}

/// Key material to import.
pub struct Import {
    /// The cipher that the key is for.
    pub cipher: Cipher,
    /// The 32 bytes.
    pub key: Zeroizing<[u8; 32]>,
    /// The name's HMAC key.
    pub hmac: ImportedHmac,
    /// Who made it elsewhere, and when. Only an admin may name another author.
    pub author: Option<Author>,
}

/// The HMAC key of an imported key.
pub enum ImportedHmac {
    /// A new random one.
    Random,
    /// The key never had one, and clients rely on that.
    Absent,
    /// The 32 bytes it had.
    Given(Zeroizing<[u8; 32]>),
}

impl Kms {
    /// Makes a key with new random material.
    ///
    /// # Errors
    /// [`Error::KeyExists`], or that the write could not be done.
    pub async fn create_key(&self, permit: &Permit<'_, CreateKey>, by: Instant) -> Result<(), Error> {
        self.put_key(permit.permission(), *permit.target(), &KeyMaterial::random(Cipher::Aes256), None, by).await
    }

    /// Makes a key from the given material.
    ///
    /// # Errors
    /// As [`Kms::create_key`], and [`Error::Denied`] if a client that is not an admin names another author.
    pub async fn import_key(&self, permit: &Permit<'_, ImportKey>, import: Import, by: Instant) -> Result<(), Error> {
        if import.author.is_some() && !self.rules().acts_as_admin(permit.permission().actor()) {
            return Err(Error::Denied);
        }
        let mut material = KeyMaterial::imported(import.cipher, Secret::from_bytes(&import.key));
        match import.hmac {
            ImportedHmac::Random => {}
            ImportedHmac::Absent => material.hmac = None,
            ImportedHmac::Given(key) => material.hmac = Some(Secret::from_bytes(&key)),
        }
        self.put_key(permit.permission(), *permit.target(), &material, import.author, by).await
    }

    /// Describes a key without opening it.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], or that no leader answered.
    pub async fn describe_key(&self, permit: &Permit<'_, DescribeKey>, by: Instant) -> Result<KeyDescription, Error> {
        let name = *permit.target();
        self.linearize(by).await?;
        self.cluster.view().newest(name).ok_or(Error::KeyNotFound)?;
        let record = self.readable(name, FIRST_VERSION, by).await.map_err(Error::of_whole_key)?;
        Ok(KeyDescription { cipher: record.cipher, author: record.author })
    }

    /// At most `limit` key names that begin with `prefix`, sorted by bytes and starting with `from`.
    ///
    /// # Errors
    /// That no leader answered.
    pub async fn key_names(
        &self,
        permit: &Permit<'_, ListKeys>,
        from: Option<&str>,
        limit: usize,
        by: Instant,
    ) -> Result<Vec<String>, Error> {
        self.linearize(by).await?;
        Ok(self.cluster.view().names(*permit.target(), from, limit))
    }

    async fn put_key(
        &self,
        permission: Permission,
        name: KeyName<'_>,
        material: &KeyMaterial,
        author: Option<Author>,
        by: Instant,
    ) -> Result<(), Error> {
        let author = author.unwrap_or_else(|| author_of(permission));
        loop {
            let record = self.sealed_record(name, CreationId(random::bytes()), FIRST_VERSION, material, author)?;
            let operation = Operation::CreateKey { name: name.as_str().to_owned(), record: record.encode().into() };
            let outcome = match self.write(permission, operation, by).await {
                Err(Error::NoRoom) => return Err(self.refusal_without_room(name, by).await),
                written => written?,
            };
            match outcome {
                Outcome::RingInactive => self.take_active_ring(by).await?,
                Outcome::KeyWaiting => return Err(self.waiting_error(name)),
                outcome => return result_of(outcome),
            }
        }
    }

    /// Why the cluster does not make a key while it lacks room: the same as otherwise, if the name is taken.
    async fn refusal_without_room(&self, name: KeyName<'_>, by: Instant) -> Error {
        if self.linearize(by).await.is_err() {
            return Error::NoRoom;
        }
        match self.cluster.view().newest_record(name) {
            Some(record) if KeyRecord::is_waiting(&record) => self.waiting_error(name),
            Some(_) => Error::KeyExists,
            None => Error::NoRoom,
        }
    }

    /// Opens the key ring after another version of it became active. The caller then seals again under that version,
    /// and writes a new command.
    pub(super) async fn take_active_ring(&self, by: Instant) -> Result<(), Error> {
        self.linearize(by).await?;
        self.reopen_ring(None).map(drop)
    }

    /// A new record for a version. This node chooses everything in it once, before it sends the command.
    pub(super) fn sealed_record(
        &self,
        name: KeyName<'_>,
        creation_id: CreationId,
        version: u32,
        material: &KeyMaterial,
        author: Author,
    ) -> Result<KeyRecord, Error> {
        let ring = self.ring.load();
        let binding = key_binding(self.cluster_id, name, creation_id, version);
        Ok(KeyRecord {
            creation_id,
            version,
            cipher: material.cipher,
            disabled: false,
            ring_version: ring.active(),
            author,
            last_used: None,
            delete_at: None,
            sealed: ring.seal_material(material, &binding),
        })
    }

    /// The record of a version, as this node has applied it.
    pub(super) fn record(&self, name: KeyName<'_>, version: u32) -> Result<KeyRecord, Error> {
        let record = self.cluster.view().record(name, version).ok_or(Error::VersionNotFound)?;
        KeyRecord::decode(&record).map_err(|error| does_not_open(name, &error))
    }

    /// As [`Kms::record`]. If the node cannot read the record, it compares it with a peer's.
    pub(super) async fn readable(&self, name: KeyName<'_>, version: u32, by: Instant) -> Result<KeyRecord, Error> {
        match self.record(name, version) {
            Err(Error::KeyUnopenable) => Err(self.compared_with_peer(name, version, by).await),
            read => read,
        }
    }

    /// As [`Kms::open_record`]. If the record does not open, the node compares it with a peer's.
    pub(super) async fn openable(
        &self,
        name: KeyName<'_>,
        record: &KeyRecord,
        by: Instant,
    ) -> Result<KeyMaterial, Error> {
        match self.open_record(name, record) {
            Err(Error::KeyUnopenable) => Err(self.compared_with_peer(name, record.version, by).await),
            opened => opened,
        }
    }

    /// The material in a record.
    pub(super) fn open_record(&self, name: KeyName<'_>, record: &KeyRecord) -> Result<KeyMaterial, Error> {
        let ring = self.ring.load();
        let binding = key_binding(self.cluster_id, name, record.creation_id, record.version);
        ring.open_material(record.ring_version, &record.sealed, &binding, record.cipher)
            .map_err(|error| does_not_open(name, &error))
    }
}

/// The client with this permission, and the time now.
pub(super) fn author_of(permission: Permission) -> Author {
    Author { created_at: Some(clock::unix_ns()), created_by: permission.identity() }
}

/// Where the record of a key version belongs. Sealing and opening must agree on it.
fn key_binding(cluster: ClusterId, name: KeyName<'_>, creation_id: CreationId, version: u32) -> Binding<'_> {
    let (cluster, creation_id) = (cluster.0, creation_id.0);
    Binding { cluster, kind: RecordKind::Key, name: name.as_str(), creation_id, version }
}

/// Logs a record that this node cannot read or open. A comparison with a peer's then shows what is damaged.
fn does_not_open(name: KeyName<'_>, error: &dyn Display) -> Error {
    tracing::warn!(key = name.as_str(), %error, "this node cannot open the sealed record of a key");
    Error::KeyUnopenable
}
