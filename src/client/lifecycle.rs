//! The routes of a key's life: versions, rotation, and the way back from a deletion.

use futures::future::join_all;
use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::exchange::Call;
use super::listing::path;
use super::{ApiClient, Error, KeyVersions};

#[derive(Deserialize)]
struct Rotated {
    version: String,
}

impl ApiClient {
    /// Adds a version, which everything new is sealed under; older ones still open what they sealed. Once a server
    /// may have done it, no other one is asked.
    ///
    /// # Errors
    /// Status 404 `key does not exist`, 403, or no answer: [`Error::may_be_done`] tells whether it is rotated, perhaps.
    pub async fn rotate_key(&self, name: &str) -> Result<String, Error> {
        let call = Call { once: true, ..Call::new(Method::PUT, path("/v1/key/rotate/", name)) };
        let rotated: Rotated = self.fetch(&call).await?;
        Ok(rotated.version)
    }

    /// The versions of a key, and about when it was used last.
    ///
    /// # Errors
    /// As [`ApiClient::rotate_key`].
    pub async fn key_versions(&self, name: &str) -> Result<KeyVersions, Error> {
        self.fetch(&Call::new(Method::GET, path("/v1/key/versions/", name))).await
    }

    /// The same from every server that answers: each notes uses of its own and hears of the others' after a while.
    ///
    /// # Errors
    /// As [`ApiClient::rotate_key`], and none of them answers.
    pub async fn key_versions_everywhere(&self, name: &str) -> Result<Vec<KeyVersions>, Error> {
        let call = Call::new(Method::GET, path("/v1/key/versions/", name));
        let asked = self.servers.iter().map(|server| self.exchange_with(server, &call));
        let (mut told, mut failures) = (Vec::new(), Vec::new());
        for (server, outcome) in self.servers.iter().zip(join_all(asked).await) {
            match outcome.and_then(|answer| answer.parse(&call.path)) {
                Ok(versions) => told.push(versions),
                Err(error) if error.concerns_one_server() => failures.push((server.endpoint.clone(), error)),
                Err(error) => return Err(error),
            }
        }
        if told.is_empty() { Err(Error::of_all(failures)) } else { Ok(told) }
    }

    /// Makes a version unusable until it is enabled again.
    ///
    /// # Errors
    /// As [`ApiClient::rotate_key`]; 404 `key version does not exist`, and 400 for the newest one that is enabled.
    pub async fn disable_version(&self, name: &str, version: &str) -> Result<(), Error> {
        self.exchange(&Call::json(path("/v1/key/disable/", name), &json!({ "version": version }))).await.map(drop)
    }

    /// Makes a disabled version usable again.
    ///
    /// # Errors
    /// As [`ApiClient::disable_version`].
    pub async fn enable_version(&self, name: &str, version: &str) -> Result<(), Error> {
        self.exchange(&Call::json(path("/v1/key/enable/", name), &json!({ "version": version }))).await.map(drop)
    }

    /// Brings a deleted key back while it waits for its deletion.
    ///
    /// # Errors
    /// Status 404 when none of that name waits, 403, or no answer.
    pub async fn restore_key(&self, name: &str) -> Result<(), Error> {
        self.exchange(&Call::new(Method::PUT, path("/v1/key/restore/", name))).await.map(drop)
    }

    /// Ends a deleted key's wait: it cannot be brought back.
    ///
    /// # Errors
    /// As [`ApiClient::restore_key`].
    pub async fn purge_key(&self, name: &str) -> Result<(), Error> {
        self.exchange(&Call::new(Method::DELETE, path("/v1/key/purge/", name))).await.map(drop)
    }
}
