//! The key routes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::exchange::Call;
use super::listing::path;
use super::{Client, DataKey, Error, KeyEntry};

impl Client {
    /// Makes a key of new random material.
    ///
    /// # Errors
    /// Status 400 `key already exists`, 403, or no answer.
    pub async fn create_key(&self, name: &str) -> Result<(), Error> {
        self.exchange(&Call::new(Method::PUT, path("/v1/key/create/", name))).await.map(drop)
    }

    /// Makes a key of the given material; `cipher` is `AES256` when absent.
    ///
    /// # Errors
    /// As [`Client::create_key`], and 406 for material that does not fit.
    pub async fn import_key(&self, name: &str, material: &[u8], cipher: Option<&str>) -> Result<(), Error> {
        let encoded = BASE64_STANDARD.encode(material);
        let mut body = json!({ "key": encoded, "bytes": encoded });
        if let Some(cipher) = cipher {
            body["cipher"] = cipher.into();
            body["algorithm"] = cipher.into();
        }
        self.exchange(&Call::json(path("/v1/key/import/", name), &body)).await.map(drop)
    }

    /// Tells what is known of a key.
    ///
    /// # Errors
    /// Status 404 `key does not exist`, 403, or no answer.
    pub async fn describe_key(&self, name: &str) -> Result<KeyEntry, Error> {
        self.fetch(&Call::new(Method::GET, path("/v1/key/describe/", name))).await
    }

    /// Deletes a key and everything ever sealed under it.
    ///
    /// # Errors
    /// As [`Client::describe_key`].
    pub async fn delete_key(&self, name: &str) -> Result<(), Error> {
        self.exchange(&Call::new(Method::DELETE, path("/v1/key/delete/", name))).await.map(drop)
    }

    /// The names of all keys that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// 403, or no answer.
    pub async fn list_keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.list("/v1/key/list/", prefix).await
    }

    /// Makes a data key bound to `context`.
    ///
    /// # Errors
    /// As [`Client::describe_key`].
    pub async fn generate(&self, name: &str, context: &[u8]) -> Result<DataKey, Error> {
        // KES reads a missing context as an empty one, but no body at all is a trap (contract, section 2).
        let body = json!({ "context": BASE64_STANDARD.encode(context) });
        let call = Call::json(path("/v1/key/generate/", name), &body);
        let made: Made = self.fetch(&call).await?;
        let plaintext = decode(&call, &made.plaintext)?;
        Ok(DataKey { plaintext: Zeroizing::new(plaintext), ciphertext: decode(&call, &made.ciphertext)? })
    }

    /// Seals `plaintext`, bound to `context`.
    ///
    /// # Errors
    /// As [`Client::describe_key`].
    pub async fn encrypt(&self, name: &str, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>, Error> {
        let call = Call::json(path("/v1/key/encrypt/", name), &with_context("plaintext", plaintext, context));
        let made: Made = self.fetch(&call).await?;
        decode(&call, &made.ciphertext)
    }

    /// Opens a ciphertext that was bound to `context`.
    ///
    /// # Errors
    /// As [`Client::describe_key`], and 400 for a ciphertext of another key or context.
    pub async fn decrypt(&self, name: &str, ciphertext: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let call = Call::json(path("/v1/key/decrypt/", name), &with_context("ciphertext", ciphertext, context));
        let made: Made = self.fetch(&call).await?;
        decode(&call, &made.plaintext).map(Zeroizing::new)
    }

    /// HMAC-SHA-256 of `message` under the name's HMAC key.
    ///
    /// # Errors
    /// As [`Client::describe_key`], and 409 for a key without one.
    pub async fn hmac(&self, name: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
        let call = Call::json(path("/v1/key/hmac/", name), &json!({ "message": BASE64_STANDARD.encode(message) }));
        let made: Made = self.fetch(&call).await?;
        decode(&call, &made.hmac)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Made {
    plaintext: Zeroized,
    ciphertext: Zeroized,
    hmac: Zeroized,
}

/// Text that is wiped, since it may be a secret.
#[derive(Default)]
struct Zeroized(Zeroizing<String>);

impl<'de> Deserialize<'de> for Zeroized {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Zeroizing::new).map(Self)
    }
}

fn with_context(field: &str, bytes: &[u8], context: &[u8]) -> Value {
    let mut body = json!({ field: BASE64_STANDARD.encode(bytes) });
    if !context.is_empty() {
        body["context"] = BASE64_STANDARD.encode(context).into();
    }
    body
}

fn decode(call: &Call, text: &Zeroized) -> Result<Vec<u8>, Error> {
    BASE64_STANDARD
        .decode(text.0.as_bytes())
        .map_err(|error| Error::Malformed { path: call.path.clone(), reason: error.to_string() })
}
