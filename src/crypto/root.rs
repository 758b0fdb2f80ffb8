//! The root key, which wraps the ring. The cluster does not store it.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

use super::Secret;
use super::hmac::Hmac;

/// The key that a seal provides: 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKey(Secret<32>);

/// The text is not the base64 of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a root key is 32 bytes in base64")]
pub struct RootKeyError;

impl RootKey {
    /// A new root key.
    pub fn random() -> Self {
        Self(Secret::random())
    }

    /// The key as text, for the operator to store.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.expose()))
    }

    /// Identifies the root key, and does not help to find it.
    pub fn fingerprint(&self) -> [u8; 32] {
        *Hmac::new(&self.0).of(b"keyraft root key fingerprint 1")
    }

    /// The key that wraps ring keys.
    pub(super) fn wrapping_key(&self) -> Zeroizing<[u8; 32]> {
        self.derived(b"keyraft ring wrapping key 1")
    }

    /// The key for what this label says.
    pub(super) fn derived(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        Hmac::new(&self.0).of(label)
    }
}

impl FromStr for RootKey {
    type Err = RootKeyError;

    /// Reads standard base64, and ignores white space around it, such as the last newline of a file.
    fn from_str(text: &str) -> Result<Self, RootKeyError> {
        key_from_base64(text).map(Self)
    }
}

/// The key in this base64.
pub(super) fn key_from_base64(text: &str) -> Result<Secret<32>, RootKeyError> {
    // The decoder needs room for whole groups of three bytes.
    let mut bytes = Zeroizing::new([0; 33]);
    let length = STANDARD.decode_slice(text.trim(), &mut bytes[..]).map_err(|_| RootKeyError)?;
    bytes[..length].try_into().map(Secret::from_bytes).map_err(|_| RootKeyError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let key = RootKey::random();
        assert_eq!(key.to_base64().parse(), Ok(key.clone()));
        assert_eq!(format!(" {}\n", *key.to_base64()).parse(), Ok(key));
    }

    #[test]
    fn anything_but_32_bytes_of_base64_is_refused() {
        let bytes = |length| STANDARD.encode(vec![0xfb; length]);
        assert!(bytes(32).parse::<RootKey>().is_ok());
        for bad in [bytes(0), bytes(31), bytes(33), bytes(64), bytes(32).replace('=', ""), bytes(32).replace('+', "-")]
        {
            assert_eq!(bad.parse::<RootKey>(), Err(RootKeyError), "{bad}");
        }
    }

    #[test]
    fn a_fingerprint_differs_between_keys_and_from_the_wrapping_key() {
        let key = RootKey::random();
        assert_eq!(key.fingerprint(), key.clone().fingerprint());
        assert_ne!(key.fingerprint(), RootKey::random().fingerprint());
        assert_ne!(key.fingerprint(), *key.wrapping_key());
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", RootKey(Secret::from_bytes(&[65; 32]))), "RootKey(Secret<32>(..))");
    }
}
