//! Making, describing, listing and deleting keys.

use std::time::Instant;

use zeroize::Zeroizing;

use super::{Error, Kms};
use crate::clock;
use crate::crypto::{Binding, Cipher, FIRST_VERSION, KeyMaterial, Kind, Secret, random};
use crate::policy::{Author, KeyName, Permit, Prefix};
use crate::state::{Command, CreationId, KeyRecord, Operation, Outcome, RequestId};

/// What describe tells of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDescription {
    /// Its cipher.
    pub cipher: Cipher,
    /// Who made it, and when.
    pub author: Author,
}

/// Key material to import.
pub struct Import {
    /// The cipher it is for.
    pub cipher: Cipher,
    /// The 32 bytes.
    pub key: Zeroizing<[u8; 32]>,
}

impl Kms {
    /// Makes a key with new random material.
    ///
    /// # Errors
    /// [`Error::KeyExists`], or that the write could not be done.
    pub async fn create_key(&self, permit: &Permit<'_>, name: KeyName<'_>, by: Instant) -> Result<(), Error> {
        self.put_key(permit, name, &KeyMaterial::random(Cipher::Aes256), by).await
    }

    /// Makes a key of the given material.
    ///
    /// # Errors
    /// As for [`Kms::create_key`].
    pub async fn import_key(
        &self,
        permit: &Permit<'_>,
        name: KeyName<'_>,
        import: Import,
        by: Instant,
    ) -> Result<(), Error> {
        let material = KeyMaterial::imported(import.cipher, Secret::from_bytes(&import.key));
        self.put_key(permit, name, &material, by).await
    }

    /// Deletes a key with all its versions.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], or that the write could not be done.
    pub async fn delete_key(&self, permit: &Permit<'_>, name: KeyName<'_>, by: Instant) -> Result<(), Error> {
        self.linearize(by).await?;
        let (creation_id, _) = self.cluster.view().newest(name).ok_or(Error::KeyNotFound)?;
        let operation = Operation::DeleteKey { name: name.as_str().to_owned(), creation_id };
        done(self.write(permit, operation, by).await?)
    }

    /// Tells what is known of a key without opening it.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], or that no leader answered.
    pub async fn describe_key(
        &self,
        _permit: &Permit<'_>,
        name: KeyName<'_>,
        by: Instant,
    ) -> Result<KeyDescription, Error> {
        self.linearize(by).await?;
        let record = self.cluster.view().record(name, FIRST_VERSION).ok_or(Error::KeyNotFound)?;
        match KeyRecord::decode(&record) {
            Ok(record) => Ok(KeyDescription { cipher: record.cipher, author: record.author }),
            Err(_) => Err(self.unopenable(name, FIRST_VERSION, by).await),
        }
    }

    /// At most `limit` key names that begin with `prefix`, sorted by bytes, from `from` on.
    ///
    /// # Errors
    /// That no leader answered.
    pub async fn key_names(
        &self,
        _permit: &Permit<'_>,
        prefix: Prefix<'_>,
        from: Option<&str>,
        limit: usize,
        by: Instant,
    ) -> Result<Vec<String>, Error> {
        self.linearize(by).await?;
        Ok(self.cluster.view().names(prefix, from, limit))
    }

    async fn put_key(
        &self,
        permit: &Permit<'_>,
        name: KeyName<'_>,
        material: &KeyMaterial,
        by: Instant,
    ) -> Result<(), Error> {
        loop {
            let record = self.sealed_record(permit, name, material)?;
            let operation = Operation::CreateKey { name: name.as_str().to_owned(), record: record.encode().into() };
            match self.write(permit, operation, by).await? {
                // Another ring version became active meanwhile: seal again under that one, as a new command.
                Outcome::RingInactive => {
                    self.linearize(by).await?;
                    self.reopen_ring()?;
                }
                outcome => return done(outcome),
            }
        }
    }

    /// A new key's record: everything in it is chosen here, once.
    fn sealed_record(
        &self,
        permit: &Permit<'_>,
        name: KeyName<'_>,
        material: &KeyMaterial,
    ) -> Result<KeyRecord, Error> {
        let (cluster, ring) = self.cluster_and_ring()?;
        let creation_id = CreationId(random::bytes());
        let binding = Binding {
            cluster: cluster.id.0,
            kind: Kind::Key,
            name: name.as_str(),
            creation_id: creation_id.0,
            version: FIRST_VERSION,
        };
        Ok(KeyRecord {
            creation_id,
            version: FIRST_VERSION,
            cipher: material.cipher,
            disabled: false,
            ring_version: ring.active(),
            author: Author { created_at: Some(clock::unix_ns()), created_by: permit.identity() },
            sealed: ring.seal_material(material, &binding),
        })
    }

    /// Sends one command; retries on the way carry the same bytes.
    async fn write(&self, permit: &Permit<'_>, operation: Operation, by: Instant) -> Result<Outcome, Error> {
        let command = Command {
            request_id: RequestId(random::bytes()),
            seen_index: self.cluster.seen_index(),
            time_ns: clock::unix_ns(),
            actor: permit.actor(),
            path: permit.path().to_owned(),
            file_names_admin: self.file_admin().is_some(),
            operation,
        };
        Ok(self.cluster.write(&command, by).await?)
    }
}

fn done(outcome: Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::KeyExists => Err(Error::KeyExists),
        Outcome::KeyNotFound => Err(Error::KeyNotFound),
        Outcome::Denied => Err(Error::Denied),
        Outcome::Expired => Err(Error::OutcomeUnknown),
        // A node serves once the cluster is initialised, and seals under the active ring version before it writes.
        Outcome::RingInactive | Outcome::AlreadyInitialised | Outcome::NotInitialised | Outcome::Malformed => {
            Err(Error::Stopping)
        }
    }
}
