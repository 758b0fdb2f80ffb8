//! The seal: where the root key comes from.

use std::fs;

use zeroize::Zeroizing;

use crate::config::SealConfig;
use crate::crypto::RootKey;
use crate::kms::SealError;

/// The root key that the configuration names.
///
/// # Errors
/// It is not there, or is no root key; the node stays sealed and says so.
pub(super) fn root_key(seal: &SealConfig) -> Result<RootKey, SealError> {
    let (text, from) = match seal {
        SealConfig::File(path) => {
            let from = format!("seal.file {}", path.display());
            let read = fs::read_to_string(path).map_err(|error| missing(&format!("{from} cannot be read: {error}")))?;
            (Zeroizing::new(read), from)
        }
        SealConfig::Env(name) => {
            let from = format!("seal.env {name}");
            let read = std::env::var(name).map_err(|_| missing(&format!("{from}: the variable is not set")))?;
            (Zeroizing::new(read), from)
        }
    };
    text.parse().map_err(|_| missing(&format!("{from} is no root key: it must hold 32 bytes in base64")))
}

fn missing(why: &str) -> SealError {
    SealError::NoRootKey(why.to_owned())
}
