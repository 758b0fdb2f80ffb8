//! Proves that a server has the same key as a file.

use std::fmt;

use super::source::SourceKey;
use crate::client::{ApiClient, Error};
use crate::crypto::{OpenedKey, random};
use crate::error_code::ErrorCode;

/// The context of probes, so that nobody can take a probe for anything else.
pub const PROBE_CONTEXT: &[u8] = b"keyraft migrate: a probe";

/// How the server's key differs from the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyDifference {
    /// It does not open what the file's key sealed.
    Key,
    /// It has another HMAC key, or lacks one.
    Hmac,
}

/// Seals a probe under the file's key, has the server open it, and compares HMACs. `None` if both agree.
///
/// The server does not seal, because after a rotation it would seal with a version that the file does not have.
pub async fn difference(client: &ApiClient, key: &SourceKey) -> Result<Option<KeyDifference>, Error> {
    let (opened, probe) = (OpenedKey::new(&key.material, 1), random::bytes::<32>());
    match client.decrypt(&key.name, &opened.seal(&probe, PROBE_CONTEXT), PROBE_CONTEXT).await {
        Ok(plaintext) if plaintext[..] == probe => {}
        Ok(_) => return Ok(Some(KeyDifference::Key)),
        Err(error) if error.has_code(ErrorCode::CiphertextNotAuthentic) => {
            return Ok(Some(KeyDifference::Key));
        }
        Err(error) => return Err(error),
    }
    // A key without an HMAC key must not have one on the server either, because MinIO would derive credentials from it.
    let expected = opened.hmac(&probe).map(Vec::from);
    let found = match client.hmac(&key.name, &probe).await {
        Ok(hmac) => Some(hmac),
        Err(error) if error.is_status(409) => None,
        Err(error) => return Err(error),
    };
    Ok((found != expected).then_some(KeyDifference::Hmac))
}

impl fmt::Display for KeyDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "the new server has another key of this name, and the command does not change it",
            Self::Hmac => {
                "the new server has this key with another HMAC key, so MinIO would derive other credentials from it"
            }
        })
    }
}
