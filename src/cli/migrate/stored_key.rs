//! Decodes the forms in which KES stores a key: base64 of a protobuf message, and older JSON (wire contract,
//! "Ciphertexts").

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost::Message;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::{Zeroize, Zeroizing};

use super::source::SourceKey;
use crate::crypto::{Cipher, KeyMaterial, Secret};
use crate::policy::Identity;

/// Why bytes are not a stored key. It never holds any of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// Neither JSON nor base64.
    #[error("not a KES key: neither JSON nor base64; a keystore may have encrypted it")]
    Encoding,
    /// The fields are not those of a stored key.
    #[error("not a KES key: it lacks the fields of one")]
    Fields,
    /// An unknown cipher, by number or name.
    #[error("its cipher '{0}' is not supported")]
    Cipher(String),
    /// An unknown hash for HMACs, by number.
    #[error("its HMAC uses hash {0}, which is not supported")]
    Hash(i32),
    /// A secret that is not 32 bytes long.
    #[error("a key has 32 bytes, and this one has {0}")]
    Length(usize),
    /// An invalid date.
    #[error("its date is not valid")]
    Date,
}

/// Reads a stored key of any form.
pub fn decode(name: &str, bytes: &[u8]) -> Result<SourceKey, StoredError> {
    let bytes = bytes.trim_ascii();
    if bytes.starts_with(b"{") { json(name, bytes) } else { protobuf(name, bytes) }
}

/// A key as KES stores it today.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct StoredKey {
    #[prost(message, optional, tag = "1")]
    key: Option<TypedSecret>,
    #[prost(message, optional, tag = "2")]
    hmac_key: Option<TypedSecret>,
    #[prost(message, optional, tag = "3")]
    created_at: Option<Timestamp>,
    #[prost(string, tag = "4")]
    created_by: String,
}

/// A secret and its algorithm.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct TypedSecret {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
    #[prost(int32, tag = "2")]
    algorithm: i32,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Drop for TypedSecret {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// A key as older releases of KES stored it.
#[derive(Deserialize)]
struct OldStoredKey {
    #[serde(deserialize_with = "wiped")]
    bytes: Zeroizing<String>,
    algorithm: Option<String>,
    created_at: Option<String>,
    created_by: Option<String>,
}

fn wiped<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(from).map(Zeroizing::new)
}

fn protobuf(name: &str, base64: &[u8]) -> Result<SourceKey, StoredError> {
    let bytes = BASE64_STANDARD.decode(base64).map(Zeroizing::new).map_err(|_| StoredError::Encoding)?;
    let stored = StoredKey::decode(&bytes[..]).map_err(|_| StoredError::Fields)?;
    let key = stored.key.as_ref().ok_or(StoredError::Fields)?;
    let cipher = match key.algorithm {
        1 => Cipher::Aes256,
        2 => Cipher::ChaCha20,
        other => return Err(StoredError::Cipher(other.to_string())),
    };
    let hmac = match &stored.hmac_key {
        None => None,
        Some(hmac) if hmac.algorithm == 1 => Some(secret(&hmac.bytes)?),
        Some(hmac) => return Err(StoredError::Hash(hmac.algorithm)),
    };
    let created_at = stored.created_at.map(|at| {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos))
    });
    let (created_by, remark) = creator(&stored.created_by);
    Ok(SourceKey {
        name: name.to_owned(),
        material: KeyMaterial { hmac, ..KeyMaterial::imported(cipher, secret(&key.bytes)?) },
        created_at: created_at.transpose().map_err(|_| StoredError::Date)?.and_then(date),
        created_by,
        remark,
    })
}

fn json(name: &str, bytes: &[u8]) -> Result<SourceKey, StoredError> {
    let stored: OldStoredKey = serde_json::from_slice(bytes).map_err(|_| StoredError::Fields)?;
    let cipher = match stored.algorithm.as_deref() {
        None | Some("") => Cipher::Aes256,
        Some(name) => name.parse().map_err(|_| StoredError::Cipher(name.to_owned()))?,
    };
    let key = BASE64_STANDARD.decode(stored.bytes.as_bytes()).map(Zeroizing::new).map_err(|_| StoredError::Encoding)?;
    let created_at =
        stored.created_at.filter(|text| !text.is_empty()).map(|text| OffsetDateTime::parse(&text, &Rfc3339));
    let (created_by, remark) = creator(stored.created_by.as_deref().unwrap_or_default());
    Ok(SourceKey {
        name: name.to_owned(),
        material: KeyMaterial { hmac: None, ..KeyMaterial::imported(cipher, secret(&key)?) },
        created_at: created_at.transpose().map_err(|_| StoredError::Date)?.and_then(date),
        created_by,
        remark,
    })
}

fn secret(bytes: &[u8]) -> Result<Secret<32>, StoredError> {
    bytes.try_into().map(Secret::from_bytes).map_err(|_| StoredError::Length(bytes.len()))
}

/// The creator, and a remark if the text is not an identity.
fn creator(text: &str) -> (Option<Identity>, Option<&'static str>) {
    let creator = text.parse().ok();
    let is_lost = creator.is_none() && !text.is_empty();
    (creator, is_lost.then_some("its creator is not an identity, so the import leaves the creator out"))
}

/// A date in RFC 3339; `None` for the year 1, which KES writes if it does not know the date.
fn date(at: OffsetDateTime) -> Option<String> {
    if at.year() > 1 { at.format(&Rfc3339).ok() } else { None }
}

#[cfg(test)]
mod tests;
