//! The key routes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::exchange::Call;
use super::listing::path;
use super::{ApiClient, DataKey, Error, KeyEntry};
use crate::policy::Identity;

/// Key material to import, and what goes with it; what is absent the server chooses.
#[derive(Default)]
pub struct Import<'a> {
    /// The 32 bytes.
    pub material: &'a [u8],
    /// `AES256` when absent.
    pub cipher: Option<&'a str>,
    /// 32 bytes of an HMAC key, or none of it for a key without one; a random one when absent. Only Keyraft takes it.
    pub hmac: Option<&'a [u8]>,
    /// When it was made first, in RFC 3339; only Keyraft takes it, and from admins alone.
    pub created_at: Option<&'a str>,
    /// Who made it first; only Keyraft takes it, and from admins alone.
    pub created_by: Option<Identity>,
}

impl Import<'_> {
    /// The request's body, wiped when it is dropped. The names of older and newer servers stand in it.
    fn encoded(&self) -> Bytes {
        #[derive(Serialize)]
        struct Body<'a> {
            key: &'a str,
            bytes: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            cipher: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            algorithm: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            hmac: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            created_at: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            created_by: Option<String>,
        }
        let key = Zeroizing::new(BASE64_STANDARD.encode(self.material));
        let hmac = self.hmac.map(|hmac| Zeroizing::new(BASE64_STANDARD.encode(hmac)));
        let body = Body {
            key: &key,
            bytes: &key,
            cipher: self.cipher,
            algorithm: self.cipher,
            hmac: hmac.as_ref().map(|hmac| hmac.as_str()),
            created_at: self.created_at,
            created_by: self.created_by.map(|identity| identity.to_string()),
        };
        // Room for all of it from the start: a buffer that grows leaves copies behind.
        let mut encoded = Zeroizing::new(Vec::with_capacity(1024 + 4 * self.material.len()));
        serde_json::to_writer(&mut *encoded, &body).expect("texts are JSON");
        Bytes::from_owner(encoded)
    }
}

impl ApiClient {
    /// Makes a key of new random material.
    ///
    /// # Errors
    /// Status 400 `key already exists`, 403, or no answer.
    pub async fn create_key(&self, name: &str) -> Result<(), Error> {
        self.exchange(&Call::new(Method::PUT, path("/v1/key/create/", name))).await.map(drop)
    }

    /// Makes a key of the given material.
    ///
    /// # Errors
    /// As [`ApiClient::create_key`], 406 for material that does not fit, and 403 for a date or maker from one who is no
    /// admin.
    pub async fn import_key(&self, name: &str, import: &Import<'_>) -> Result<(), Error> {
        let call = Call { body: import.encoded(), ..Call::new(Method::PUT, path("/v1/key/import/", name)) };
        self.exchange(&call).await.map(drop)
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
    /// As [`ApiClient::describe_key`].
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
    /// As [`ApiClient::describe_key`].
    pub async fn generate(&self, name: &str, context: &[u8]) -> Result<DataKey, Error> {
        // KES reads a missing context as an empty one, but no body at all is a trap (wire contract, "Bodies and
        // headers").
        let body = json!({ "context": BASE64_STANDARD.encode(context) });
        let call = Call::json(path("/v1/key/generate/", name), &body);
        let made: Made = self.fetch(&call).await?;
        let plaintext = decode(&call, &made.plaintext)?;
        Ok(DataKey { plaintext: Zeroizing::new(plaintext), ciphertext: decode(&call, &made.ciphertext)? })
    }

    /// Seals `plaintext`, bound to `context`.
    ///
    /// # Errors
    /// As [`ApiClient::describe_key`].
    pub async fn encrypt(&self, name: &str, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>, Error> {
        let call = Call::json(path("/v1/key/encrypt/", name), &with_context("plaintext", plaintext, context));
        let made: Made = self.fetch(&call).await?;
        decode(&call, &made.ciphertext)
    }

    /// Opens a ciphertext that was bound to `context`.
    ///
    /// # Errors
    /// As [`ApiClient::describe_key`], and 400 for a ciphertext of another key or context.
    pub async fn decrypt(&self, name: &str, ciphertext: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let call = Call::json(path("/v1/key/decrypt/", name), &with_context("ciphertext", ciphertext, context));
        let made: Made = self.fetch(&call).await?;
        decode(&call, &made.plaintext).map(Zeroizing::new)
    }

    /// HMAC-SHA-256 of `message` under the name's HMAC key.
    ///
    /// # Errors
    /// As [`ApiClient::describe_key`], and 409 for a key without one.
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
