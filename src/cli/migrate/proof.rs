//! KeyProof that a server has the very key that a file has.

use std::fmt;

use super::source::SourceKey;
use crate::client::{ApiClient, Error};
use crate::crypto::{OpenedKey, random};
use crate::error_code::ErrorCode;

/// What probes are bound to, so that they are good for nothing else.
const CONTEXT: &[u8] = b"keyraft migrate: a probe";

/// Why a key of that name is not the one of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyDifference {
    /// It does not open what the file's key seals.
    Key,
    /// It has another HMAC key, or none.
    Hmac,
}

/// Seals a probe under the file's key and has the server open it, and compares HMACs; none when both agree.
///
/// This way round, and not the other: once a key has been rotated, only older versions are the file's.
pub async fn difference(client: &ApiClient, key: &SourceKey) -> Result<Option<KeyDifference>, Error> {
    let (opened, probe) = (OpenedKey::new(&key.material, 1), random::bytes::<32>());
    match client.decrypt(&key.name, &opened.seal(&probe, CONTEXT), CONTEXT).await {
        Ok(plaintext) if plaintext[..] == probe => {}
        Ok(_) => return Ok(Some(KeyDifference::Key)),
        Err(error) if error.has_code(ErrorCode::CiphertextNotAuthentic) => {
            return Ok(Some(KeyDifference::Key));
        }
        Err(error) => return Err(error),
    }
    // A key without an HMAC key must have none there either: MinIO derives credentials from one where there is one.
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
            Self::Key => "the server has another key of this name, which stays as it is",
            Self::Hmac => "the server has this key with another HMAC key; MinIO would derive other credentials from it",
        })
    }
}
