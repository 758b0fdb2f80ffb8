//! Using keys: generate, encrypt, decrypt, hmac. A known key is used at once and locally.

use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::{Error, Kms};
use crate::crypto::{Ciphertext, FIRST_VERSION, OpenedKey, candidates, random};
use crate::policy::permitted::{BulkDecrypt, Decrypt, Encrypt, Generate, Hmac};
use crate::policy::{KeyName, Permit};
use crate::state::CreationId;

/// How long a ciphertext that does not open here may wait for the leader before it is refused.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A data key: 32 random bytes, and the same bytes sealed under the named key.
pub struct DataKey {
    /// The bytes.
    pub plaintext: Zeroizing<[u8; 32]>,
    /// 76 bytes in the format of wire contract, "Ciphertexts".
    pub ciphertext: Vec<u8>,
}

/// A ciphertext to open, and what it says that it was made with.
struct Sealed<'a> {
    name: KeyName<'a>,
    /// The one version to open it with; the ciphertext leads to its own when there is none.
    version: Option<u32>,
    ciphertext: Ciphertext<'a>,
    context: &'a [u8],
}

impl Kms {
    /// Makes a data key bound to `context`, sealed under `version` of the key or its newest.
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
        let key = self.key(*permit.target(), version, by).await?;
        let mut plaintext = Zeroizing::new([0; 32]);
        random::fill(&mut *plaintext);
        let ciphertext = key.seal(&*plaintext, context);
        Ok(DataKey { plaintext, ciphertext })
    }

    /// Seals `plaintext`, bound to `context`.
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
        Ok(self.key(*permit.target(), version, by).await?.seal(plaintext, context))
    }

    /// Opens a ciphertext of any form, made by any version of the key (or by `version` only).
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

    /// Decrypts ciphertexts, each with its context, in their order. The first error ends it.
    ///
    /// # Errors
    /// As for [`Kms::decrypt`]. Without ciphertexts, [`Error::KeyNotFound`].
    pub async fn bulk_decrypt<T: AsRef<[u8]>>(
        &self,
        permit: &Permit<'_, BulkDecrypt>,
        ciphertexts: &[(T, T)],
        by: Instant,
    ) -> Result<Vec<Zeroizing<Vec<u8>>>, Error> {
        let name = *permit.target();
        if ciphertexts.is_empty() {
            self.key(name, None, by).await?;
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
        let sealed = Sealed { name, version, ciphertext: Ciphertext::parse(ciphertext), context };
        match self.decrypt_at_once(&sealed) {
            Some(plaintext) => Ok(plaintext),
            None => Box::pin(self.decrypt_with_questions(&sealed, by)).await,
        }
    }

    /// Decrypts with the newest version of a known key, or the one that is asked for, if nothing has to be awaited.
    fn decrypt_at_once(&self, sealed: &Sealed<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let &Sealed { name, version, ref ciphertext, context } = sealed;
        let key = self.key_at_once(name, version)?;
        // With one version, or when told which, there is nothing to find out.
        let fits = version.is_some()
            || key.version() == FIRST_VERSION
            || ciphertext.version(key.mask()) == Some(key.version());
        if fits { key.open(ciphertext, context).ok() } else { None }
    }

    async fn decrypt_with_questions(&self, sealed: &Sealed<'_>, by: Instant) -> Result<Zeroizing<Vec<u8>>, Error> {
        let seen = self.cluster.view().newest(sealed.name);
        match self.decrypt_here(sealed, by).await {
            Err(Error::NotAuthentic) => self.decrypt_after_a_look(sealed, seen, by).await,
            decrypted => decrypted,
        }
    }

    /// Decrypts once more, if this node may not know what the ciphertext was made with.
    async fn decrypt_after_a_look(
        &self,
        sealed: &Sealed<'_>,
        seen: Option<(CreationId, u32)>,
        by: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let later = sealed.version.is_none() && self.carries_later_version(sealed, by).await?;
        if later {
            self.linearize(by).await?;
        }
        // Deleted and made again on another node, perhaps: that is worth one question to the leader.
        if later || self.cluster.holds_lease() && self.changed_since(sealed.name, seen, by).await {
            return self.decrypt_here(sealed, by).await;
        }
        Err(Error::NotAuthentic)
    }

    /// Whether a ciphertext carries a version that is not known here. Like a name, it is not missing before the leader
    /// has said so (wire contract, "Unavailability"). One in 2³² ciphertexts from elsewhere seems to carry one.
    async fn carries_later_version(&self, sealed: &Sealed<'_>, by: Instant) -> Result<bool, Error> {
        let newest = self.key(sealed.name, None, by).await?;
        Ok(sealed.ciphertext.version(newest.mask()).is_some_and(|carried| carried > newest.version()))
    }

    async fn changed_since(&self, name: KeyName<'_>, seen: Option<(CreationId, u32)>, by: Instant) -> bool {
        let by = by.min(Instant::now() + LOOK_AGAIN);
        self.linearize(by).await.is_ok() && self.cluster.view().newest(name) != seen
    }

    async fn decrypt_here(&self, sealed: &Sealed<'_>, by: Instant) -> Result<Zeroizing<Vec<u8>>, Error> {
        let newest = self.key(sealed.name, sealed.version, by).await?;
        if sealed.version.is_some() || newest.version() == FIRST_VERSION {
            return newest.open(&sealed.ciphertext, sealed.context).map_err(|_| Error::NotAuthentic);
        }
        self.decrypt_by_version(sealed, &newest, by).await
    }

    /// HMAC-SHA-256 of `message` under the name's own HMAC key, which no rotation changes.
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
        self.key(*permit.target(), version, by).await?.hmac(message).ok_or(Error::NoHmac)
    }

    /// Lets the ciphertext lead to its version: masked in its iv, or the first one for an imported ciphertext.
    async fn decrypt_by_version(
        &self,
        sealed: &Sealed<'_>,
        newest: &OpenedKey,
        by: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let &Sealed { name, ref ciphertext, context, .. } = sealed;
        let (creation, _) = self.cluster.view().newest(name).ok_or(Error::KeyNotFound)?;
        let masked = ciphertext.version(newest.mask());
        for version in candidates(masked, |version| self.cluster.view().record(name, version).is_some()) {
            let key = self.opened(name, creation, version, by).await?;
            if let Ok(plaintext) = key.open(ciphertext, context) {
                // Only what is authentic is told from what is not: garbage is not the version's fault.
                self.check_enabled(name, version, by).await?;
                return Ok(plaintext);
            }
        }
        Err(Error::NotAuthentic)
    }

    /// The key under a name, opened: at once when it is known here, else after asking the leader whether it exists.
    async fn key(&self, name: KeyName<'_>, version: Option<u32>, by: Instant) -> Result<Arc<OpenedKey>, Error> {
        match self.key_at_once(name, version) {
            Some(key) => Ok(key),
            // Boxed, as all that is rare: what is awaited here makes every request's future larger, and it is moved.
            None => Box::pin(self.key_with_questions(name, version, by)).await,
        }
    }

    /// The key, if this node holds a lease, knows the version and finds nothing wrong with it.
    fn key_at_once(&self, name: KeyName<'_>, version: Option<u32>) -> Option<Arc<OpenedKey>> {
        if !self.cluster.holds_lease() {
            return None;
        }
        let (creation, newest) = self.cluster.view().newest(name)?;
        if version.is_some_and(|version| self.cluster.view().is_disabled(name, version)) {
            return None;
        }
        self.opened_here(name, creation, version.unwrap_or(newest)).ok()
    }

    async fn key_with_questions(
        &self,
        name: KeyName<'_>,
        version: Option<u32>,
        by: Instant,
    ) -> Result<Arc<OpenedKey>, Error> {
        self.check_standing().await?;
        let (creation, newest) = match self.cluster.view().newest(name) {
            Some(known) => known,
            None => {
                self.linearize(by).await?;
                self.cluster.view().newest(name).ok_or(Error::KeyNotFound)?
            }
        };
        let Some(version) = version else { return self.newest_opened(name, creation, newest, by).await };
        self.check_enabled(name, version, by).await?;
        match self.opened(name, creation, version, by).await {
            // Not applied here yet, perhaps: a version that was just made.
            Err(Error::VersionNotFound) => {
                self.linearize(by).await?;
                let (creation, _) = self.cluster.view().newest(name).ok_or(Error::KeyNotFound)?;
                self.check_enabled(name, version, by).await?;
                self.opened(name, creation, version, by).await
            }
            opened => opened,
        }
    }

    /// The newest version of a key. One that is deleted, or deleted and made again, while it is looked for is looked for
    /// once more: no request that names no version is told about versions.
    async fn newest_opened(
        &self,
        name: KeyName<'_>,
        creation: CreationId,
        newest: u32,
        by: Instant,
    ) -> Result<Arc<OpenedKey>, Error> {
        match self.opened(name, creation, newest, by).await {
            Err(Error::VersionNotFound) => {
                self.linearize(by).await?;
                let (creation, newest) = self.cluster.view().newest(name).ok_or(Error::KeyNotFound)?;
                self.opened(name, creation, newest, by).await.map_err(Error::of_whole_key)
            }
            opened => opened,
        }
    }

    /// The newest version is always enabled; any other is looked at when it is used. One that is disabled here may have
    /// been enabled since: that is asked of the leader, unless there is none.
    async fn check_enabled(&self, name: KeyName<'_>, version: u32, by: Instant) -> Result<(), Error> {
        let is_disabled = || self.cluster.view().is_disabled(name, version);
        if is_disabled() && self.cluster.holds_lease() {
            // A leader that does not answer in time leaves the version as it is here.
            drop(self.linearize(by.min(Instant::now() + LOOK_AGAIN)).await);
        }
        if is_disabled() { Err(Error::VersionDisabled) } else { Ok(()) }
    }

    /// One version of a creation. A record that does not open is compared with a peer's.
    async fn opened(
        &self,
        name: KeyName<'_>,
        creation: CreationId,
        version: u32,
        by: Instant,
    ) -> Result<Arc<OpenedKey>, Error> {
        match self.opened_here(name, creation, version) {
            Err(Error::KeyUnopenable) => Err(self.unopenable(name, version, by).await),
            opened => opened,
        }
    }

    /// One version of a creation, from the cache or from its sealed record.
    fn opened_here(&self, name: KeyName<'_>, creation: CreationId, version: u32) -> Result<Arc<OpenedKey>, Error> {
        if let Some(key) = self.opened.find(name, creation, version) {
            return Ok(key);
        }
        let record = self.record(name, version)?;
        if record.creation_id != creation {
            // Deleted and made again since the name was resolved.
            return Err(Error::VersionNotFound);
        }
        let material = self.open_record(name, &record)?;
        let key = Arc::new(OpenedKey::new(&material, version));
        self.opened.keep(name, creation, Arc::clone(&key));
        Ok(key)
    }
}
