//! Finding the version of a key that a request needs, and opening it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Error, Kms};
use crate::crypto::OpenedKey;
use crate::policy::KeyName;
use crate::state::CreationId;

/// How long a request waits for the leader if this node could refuse it by what it knows already.
const SECOND_LOOK: Duration = Duration::from_millis(500);

/// The version of a key that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VersionChoice {
    /// The newest one, which is always enabled.
    Newest,
    /// The one that the client named. It must be enabled.
    Named(u32),
    /// The one that a ciphertext may be from. It may be disabled, because that matters only once it opens the
    /// ciphertext.
    Carried(u32),
}

impl Kms {
    /// The opened key: at once if this node knows it, and otherwise as [`Kms::resolve`] finds it.
    pub(super) async fn key(
        &self,
        name: KeyName<'_>,
        choice: VersionChoice,
        by: Instant,
    ) -> Result<Arc<OpenedKey>, Error> {
        if let Some(key) = self.known(name, choice) {
            return Ok(key);
        }
        // Boxed because it is rare. Each future that is awaited in place makes the future of every request larger.
        let resolved = async {
            self.check_standing().await?;
            self.resolve(name, choice, by).await
        };
        Box::pin(resolved).await
    }

    /// The opened key, if this node has a lease and needs nobody's help to find and open it.
    pub(super) fn known(&self, name: KeyName<'_>, choice: VersionChoice) -> Option<Arc<OpenedKey>> {
        if !self.cluster.holds_lease() {
            return None;
        }
        let (creation, version) = self.find(name, choice).ok()?;
        self.open(name, creation, version).ok()
    }

    /// Looks in the view and opens what it finds there. The leader is asked at most once about what this node does not
    /// know, and a peer about a record that does not open.
    pub(super) async fn resolve(
        &self,
        name: KeyName<'_>,
        choice: VersionChoice,
        by: Instant,
    ) -> Result<Arc<OpenedKey>, Error> {
        let mut asked = false;
        loop {
            let refusal = match self.find(name, choice) {
                Err(unknown) => unknown,
                Ok((creation, version)) => match self.open(name, creation, version) {
                    Ok(key) => return Ok(key),
                    Err(Error::KeyUnopenable) => self.compared_with_peer(name, version, by).await,
                    Err(error) => error,
                },
            };
            match refusal {
                // The cluster may have it, and this node may not have applied that yet.
                Error::KeyNotFound | Error::VersionNotFound if !asked => self.linearize(by).await?,
                // Somebody may have enabled it since. If the leader does not answer soon, it stays disabled.
                Error::VersionDisabled if !asked && self.cluster.holds_lease() => {
                    self.second_look(by).await.map_err(|_| refusal)?;
                }
                // The key went away after it was found. The client did not ask about versions.
                refusal if choice == VersionChoice::Newest => return Err(refusal.of_whole_key()),
                refusal => return Err(refusal),
            }
            asked = true;
        }
    }

    /// As [`Kms::linearize`], but it waits for a short time only.
    pub(super) async fn second_look(&self, by: Instant) -> Result<(), Error> {
        self.linearize(by.min(Instant::now() + SECOND_LOOK)).await
    }

    /// The creation that has the name now, and the number of the version.
    fn find(&self, name: KeyName<'_>, choice: VersionChoice) -> Result<(CreationId, u32), Error> {
        let view = self.cluster.view();
        let (creation, newest) = view.newest(name).ok_or(Error::KeyNotFound)?;
        match choice {
            VersionChoice::Newest => Ok((creation, newest)),
            VersionChoice::Named(version) if view.is_disabled(name, version) => Err(Error::VersionDisabled),
            VersionChoice::Named(version) | VersionChoice::Carried(version) => Ok((creation, version)),
        }
    }

    /// Takes a version from the cache of opened keys, or opens its record with the key ring.
    fn open(&self, name: KeyName<'_>, creation: CreationId, version: u32) -> Result<Arc<OpenedKey>, Error> {
        if let Some(key) = self.opened.find(name, creation, version) {
            return Ok(key);
        }
        let record = self.record(name, version)?;
        if record.creation_id != creation {
            // Somebody deleted the key and made it again after `find` had looked.
            return Err(Error::VersionNotFound);
        }
        let key = Arc::new(OpenedKey::new(&self.open_record(name, &record)?, version));
        self.opened.keep(name, creation, Arc::clone(&key));
        Ok(key)
    }
}

impl From<Option<u32>> for VersionChoice {
    /// The choice of a client that may name a version.
    fn from(named: Option<u32>) -> Self {
        named.map_or(Self::Newest, Self::Named)
    }
}
