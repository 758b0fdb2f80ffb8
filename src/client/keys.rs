//! Requests about keys, and requests that use them.

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
use crate::policy::{Identity, KeyAction};

/// Key material to import, and its origin. The server chooses the values that are absent.
#[derive(Default)]
pub struct Import<'a> {
    /// The 32 bytes.
    pub material: &'a [u8],
    /// `AES256` when absent.
    pub cipher: Option<&'a str>,
    /// The 32 bytes of an HMAC key, or an empty slice for a key without one. If absent, the server draws a random one. Only
    /// Keyraft reads this.
    pub hmac: Option<&'a [u8]>,
    /// When the key was first created, in RFC 3339. Only Keyraft reads this, and only from admins.
    pub created_at: Option<&'a str>,
    /// Who first created the key. Only Keyraft reads this, and only from admins.
    pub created_by: Option<Identity>,
}

impl Import<'_> {
    /// The body of the request, which wipes itself when it is dropped. It has the field names of older and of newer servers.
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
        // Reserve room for all of it: a buffer that grows leaves copies of the key behind.
        let mut encoded = Zeroizing::new(Vec::with_capacity(1024 + 4 * self.material.len()));
        serde_json::to_writer(&mut *encoded, &body).expect("strings can be written as JSON");
        Bytes::from_owner(encoded)
    }
}

impl ApiClient {
    /// Creates a key with new random material.
    ///
    /// # Errors
    /// Status 400 `key already exists`, 403, or no answer.
    pub async fn create_key(&self, name: &str) -> Result<(), Error> {
        self.exchange(&Call::new(Method::PUT, path(KeyAction::Create, name))).await.map(drop)
    }

    /// Creates a key with the given material.
    ///
    /// # Errors
    /// As [`ApiClient::create_key`], 406 for material of the wrong size, and 403 if a client that is not an admin sends
    /// `created_at` or `created_by`.
    pub async fn import_key(&self, name: &str, import: &Import<'_>) -> Result<(), Error> {
        let call = Call { body: import.encoded(), ..Call::new(Method::PUT, path(KeyAction::Import, name)) };
        self.exchange(&call).await.map(drop)
    }

    /// Returns the cipher and origin of a key.
    ///
    /// # Errors
    /// Status 404 `key does not exist`, 403, or no answer.
    pub async fn describe_key(&self, name: &str) -> Result<KeyEntry, Error> {
        self.fetch(&Call::new(Method::GET, path(KeyAction::Describe, name))).await
    }

    /// Deletes a key. Nobody can then decrypt what it encrypted.
    ///
    /// # Errors
    /// As [`ApiClient::describe_key`].
    pub async fn delete_key(&self, name: &str) -> Result<(), Error> {
        self.exchange(&Call::new(Method::DELETE, path(KeyAction::Delete, name))).await.map(drop)
    }

    /// The names of all keys that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// 403, or no answer.
    pub async fn list_keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.list(KeyAction::List, prefix).await
    }

    /// Generates a data key that is bound to `context`.
    ///
    /// # Errors
    /// As [`ApiClient::describe_key`].
    pub async fn generate(&self, name: &str, context: &[u8]) -> Result<DataKey, Error> {
        // Always send the context, also an empty one: an empty body can mean that the body got lost on the way (wire
        // contract, "Bodies and headers").
        let body = json!({ "context": BASE64_STANDARD.encode(context) });
        let call = Call::json(path(KeyAction::Generate, name), &body);
        let output: KeyOutput = self.fetch(&call).await?;
        let plaintext = decode(&call, &output.plaintext)?;
        Ok(DataKey { plaintext: Zeroizing::new(plaintext), ciphertext: decode(&call, &output.ciphertext)? })
    }

    /// Encrypts `plaintext`, bound to `context`.
    ///
    /// # Errors
    /// As [`ApiClient::describe_key`].
    pub async fn encrypt(&self, name: &str, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>, Error> {
        let call = Call::json(path(KeyAction::Encrypt, name), &with_context("plaintext", plaintext, context));
        let output: KeyOutput = self.fetch(&call).await?;
        decode(&call, &output.ciphertext)
    }

    /// Decrypts a ciphertext that was bound to `context`.
    ///
    /// # Errors
    /// As [`ApiClient::describe_key`], and 400 for a ciphertext of another key or context.
    pub async fn decrypt(&self, name: &str, ciphertext: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let call = Call::json(path(KeyAction::Decrypt, name), &with_context("ciphertext", ciphertext, context));
        let output: KeyOutput = self.fetch(&call).await?;
        decode(&call, &output.plaintext).map(Zeroizing::new)
    }

    /// The HMAC-SHA-256 of `message` under the HMAC key of this name.
    ///
    /// # Errors
    /// As [`ApiClient::describe_key`], and 409 for a key without an HMAC key.
    pub async fn hmac(&self, name: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
        let call = Call::json(path(KeyAction::Hmac, name), &json!({ "message": BASE64_STANDARD.encode(message) }));
        let output: KeyOutput = self.fetch(&call).await?;
        decode(&call, &output.hmac)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct KeyOutput {
    plaintext: Zeroized,
    ciphertext: Zeroized,
    hmac: Zeroized,
}

/// A text that is wiped when it is dropped, since it may be a secret.
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
