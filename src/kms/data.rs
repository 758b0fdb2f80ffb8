//! Using keys: generate, encrypt, decrypt, hmac. A node uses a key that it knows without asking any other node.

use std::time::Instant;

use zeroize::Zeroizing;

use super::resolve::VersionChoice;
use super::{Error, Kms};
use crate::crypto::{Ciphertext, FIRST_VERSION, candidates};
use crate::policy::permitted::{BulkDecrypt, Decrypt, Encrypt, Generate, Hmac};
use crate::policy::{KeyName, Permit};

/// A data key: 32 random bytes, and the same bytes sealed under the named key.
pub struct DataKey {
    /// The random bytes.
    pub plaintext: Zeroizing<[u8; 32]>,
    /// 76 bytes in the format of wire contract, "Ciphertexts".
    pub ciphertext: Vec<u8>,
}

/// A ciphertext to open, and what the client says about it.
struct Sealed<'a> {
    name: KeyName<'a>,
    choice: VersionChoice,
    ciphertext: Ciphertext<'a>,
    context: &'a [u8],
}

impl Kms {
    /// Makes a data key, and seals it with `version` of the key or its newest, bound to `context`.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::VersionNotFound`], [`Error::VersionDisabled`].
    pub async fn generate(
        &self,
        permit: &Permit<'_, Generate>,
        version: Option<u32>,
        context: &[u8],
        by: Instant,
    ) -> Result<DataKey, Error> {
        let key = self.key(*permit.target(), version.into(), by).await?;
        let (plaintext, ciphertext) = key.generate(context);
        Ok(DataKey { plaintext, ciphertext })
    }

    /// Seals `plaintext` with `version` of the key or its newest, bound to `context`.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::VersionNotFound`], [`Error::VersionDisabled`].
    pub async fn encrypt(
        &self,
        permit: &Permit<'_, Encrypt>,
        version: Option<u32>,
        plaintext: &[u8],
        context: &[u8],
        by: Instant,
    ) -> Result<Vec<u8>, Error> {
        Ok(self.key(*permit.target(), version.into(), by).await?.seal(plaintext, context))
    }

    /// Opens a ciphertext of any form that `version` of the key made, or else any of its versions.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::VersionNotFound`], [`Error::VersionDisabled`], [`Error::NotAuthentic`].
    pub async fn decrypt(
        &self,
        permit: &Permit<'_, Decrypt>,
        version: Option<u32>,
        ciphertext: &[u8],
        context: &[u8],
        by: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.decrypt_one(*permit.target(), version, ciphertext, context, by).await
    }

    /// Decrypts ciphertexts, each with its context, in their order, and stops at the first error.
    ///
    /// # Errors
    /// As [`Kms::decrypt`]. Without ciphertexts, [`Error::KeyNotFound`] if the key does not exist.
    pub async fn bulk_decrypt<T: AsRef<[u8]>>(
        &self,
        permit: &Permit<'_, BulkDecrypt>,
        ciphertexts: &[(T, T)],
        by: Instant,
    ) -> Result<Vec<Zeroizing<Vec<u8>>>, Error> {
        let name = *permit.target();
        if ciphertexts.is_empty() {
            self.key(name, VersionChoice::Newest, by).await?;
        }
        let mut plaintexts = Vec::with_capacity(ciphertexts.len());
        for (ciphertext, context) in ciphertexts {
            plaintexts.push(self.decrypt_one(name, None, ciphertext.as_ref(), context.as_ref(), by).await?);
        }
        Ok(plaintexts)
    }

    async fn decrypt_one(
        &self,
        name: KeyName<'_>,
        version: Option<u32>,
        ciphertext: &[u8],
        context: &[u8],
        by: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let sealed = Sealed { name, choice: version.into(), ciphertext: Ciphertext::parse(ciphertext), context };
        match self.decrypt_locally(&sealed) {
            Some(plaintext) => Ok(plaintext),
            // Boxed because it is rare, and each future that is awaited in place makes the future of every request larger.
            None => Box::pin(self.decrypt_asking_others(&sealed, by)).await,
        }
    }

    /// HMAC-SHA-256 of `message` under the name's HMAC key, which no rotation changes.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::VersionNotFound`], [`Error::VersionDisabled`], [`Error::NoHmac`].
    pub async fn hmac(
        &self,
        permit: &Permit<'_, Hmac>,
        version: Option<u32>,
        message: &[u8],
        by: Instant,
    ) -> Result<[u8; 32], Error> {
        self.key(*permit.target(), version.into(), by).await?.hmac(message).ok_or(Error::NoHmac)
    }

    /// Decrypts if this node needs nobody's help, and one version of the key is sure to be the right one.
    fn decrypt_locally(&self, sealed: &Sealed<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let &Sealed { name, choice, ref ciphertext, context } = sealed;
        let key = self.known(name, choice)?;
        let fits = choice != VersionChoice::Newest
            || key.version() == FIRST_VERSION
            || ciphertext.version(key.mask()) == Some(key.version());
        if fits { key.open(ciphertext, context).ok() } else { None }
    }

    /// Decrypts, and asks the leader or a peer about what this node does not know.
    async fn decrypt_asking_others(&self, sealed: &Sealed<'_>, by: Instant) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.check_standing().await?;
        let newest = || self.cluster.view().newest(sealed.name);
        let seen = newest();
        let decrypted = self.decrypt_by_version(sealed, by).await;
        // Another node may have deleted the key and made it again. That is worth one question to the leader.
        if matches!(decrypted, Err(Error::NotAuthentic))
            && self.cluster.holds_lease()
            && self.second_look(by).await.is_ok()
            && newest() != seen
        {
            return self.decrypt_by_version(sealed, by).await;
        }
        decrypted
    }

    /// Decrypts with the version that the client named, or else with the one that the ciphertext leads to.
    async fn decrypt_by_version(&self, sealed: &Sealed<'_>, by: Instant) -> Result<Zeroizing<Vec<u8>>, Error> {
        let &Sealed { name, choice, ref ciphertext, context } = sealed;
        let key = self.resolve(name, choice, by).await?;
        if choice != VersionChoice::Newest {
            return key.open(ciphertext, context).map_err(|_| Error::NotAuthentic);
        }
        let mut refusal = None;
        for version in candidates(ciphertext.version(key.mask())) {
            let key = match self.resolve(name, VersionChoice::Carried(version), by).await {
                Ok(key) => key,
                // One in 2³² ciphertexts from elsewhere seems to carry a version. The first one may open it, even if
                // nobody can say whether that version exists.
                Err(Error::VersionNotFound) => continue,
                Err(error) => {
                    refusal.get_or_insert(error);
                    continue;
                }
            };
            if let Ok(plaintext) = key.open(ciphertext, context) {
                // A ciphertext that is not authentic gets that answer even if its version is disabled.
                self.resolve(name, VersionChoice::Named(version), by).await.map_err(Error::of_whole_key)?;
                return Ok(plaintext);
            }
        }
        Err(refusal.unwrap_or(Error::NotAuthentic))
    }
}
