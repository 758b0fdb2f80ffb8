//! Requests about the life of a key: its versions, rotation, and restoring it after a deletion.

use futures::future::join_all;
use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::exchange::Call;
use super::listing::path;
use super::{ApiClient, Error, KeyVersions};
use crate::policy::KeyAction;

#[derive(Deserialize)]
struct Rotated {
    version: String,
}

impl ApiClient {
    /// Adds a version, under which the server encrypts from now on. Older versions still decrypt what they encrypted. Once a
    /// server may have added one, the client asks no other server.
    ///
    /// # Errors
    /// Status 404 `key does not exist`, 403, or no answer. [`Error::may_be_done`] says whether the key may be rotated
    /// nevertheless.
    pub async fn rotate_key(&self, name: &str) -> Result<String, Error> {
        let call = Call { once: true, ..Call::new(Method::PUT, path(KeyAction::Rotate, name)) };
        let rotated: Rotated = self.fetch(&call).await?;
        Ok(rotated.version)
    }

    /// The versions of a key, and about when it was last used.
    ///
    /// # Errors
    /// As [`ApiClient::rotate_key`].
    pub async fn key_versions(&self, name: &str) -> Result<KeyVersions, Error> {
        self.fetch(&Call::new(Method::GET, path(KeyAction::Versions, name))).await
    }

    /// The versions of a key from every server that answers. Each server knows its own uses of the key at once, and those of
    /// the others after a while.
    ///
    /// # Errors
    /// As [`ApiClient::rotate_key`]. No answer means that none of the servers answered.
    pub async fn key_versions_everywhere(&self, name: &str) -> Result<Vec<KeyVersions>, Error> {
        let call = Call::new(Method::GET, path(KeyAction::Versions, name));
        let asked = self.servers.iter().map(|server| self.exchange_with(server, &call));
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        for (server, outcome) in self.servers.iter().zip(join_all(asked).await) {
            match outcome.and_then(|answer| answer.parse(&call.path)) {
                Ok(versions) => answers.push(versions),
                Err(error) if error.is_worth_another_server() => failures.push((server.endpoint.clone(), error)),
                Err(error) => return Err(error),
            }
        }
        if answers.is_empty() { Err(Error::from_all_servers(failures)) } else { Ok(answers) }
    }

    /// Disables a version: nothing can be decrypted with it until it is enabled again.
    ///
    /// # Errors
    /// As [`ApiClient::rotate_key`]; 404 `key version does not exist`, and 400 for the newest version that is enabled.
    pub async fn disable_version(&self, name: &str, version: &str) -> Result<(), Error> {
        self.exchange(&Call::json(path(KeyAction::Disable, name), &json!({ "version": version }))).await.map(drop)
    }

    /// Enables a disabled version.
    ///
    /// # Errors
    /// As [`ApiClient::disable_version`].
    pub async fn enable_version(&self, name: &str, version: &str) -> Result<(), Error> {
        self.exchange(&Call::json(path(KeyAction::Enable, name), &json!({ "version": version }))).await.map(drop)
    }

    /// Restores a deleted key within its deletion window.
    ///
    /// # Errors
    /// Status 404 unless a deleted key of this name exists, 403, or no answer.
    pub async fn restore_key(&self, name: &str) -> Result<(), Error> {
        self.exchange(&Call::new(Method::PUT, path(KeyAction::Restore, name))).await.map(drop)
    }

    /// Deletes a deleted key for good, before its deletion window ends.
    ///
    /// # Errors
    /// As [`ApiClient::restore_key`].
    pub async fn purge_key(&self, name: &str) -> Result<(), Error> {
        self.exchange(&Call::new(Method::DELETE, path(KeyAction::Purge, name))).await.map(drop)
    }
}
