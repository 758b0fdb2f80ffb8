//! The root key, which wraps the ring. The cluster does not store it.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

use super::LockedSecret;
use super::hmac::Hmac;

/// The key that a seal provides: 32 bytes. Keep it only as long as you wrap or unwrap something with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKey(LockedSecret<32>);

/// The text is not the base64 of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a root key is 32 bytes in base64")]
pub struct RootKeyError;

impl RootKey {
    /// A new root key.
    pub fn random() -> Self {
        Self(LockedSecret::random())
    }

    /// The key as text, for the operator to store.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.expose()))
    }

    /// Identifies the root key, and does not help to find it.
    pub fn fingerprint(&self) -> [u8; 32] {
        *Hmac::of_locked(&self.0).of(b"keyraft root key fingerprint 1")
    }

    /// The key that wraps ring keys.
    pub(super) fn wrapping_key(&self) -> Zeroizing<[u8; 32]> {
        self.derived(b"keyraft ring wrapping key 1")
    }

    /// The key for what this label says.
    pub(super) fn derived(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        Hmac::of_locked(&self.0).of(label)
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
pub(super) fn key_from_base64(text: &str) -> Result<LockedSecret<32>, RootKeyError> {
    // The decoder needs room for whole groups of three bytes. No byte of the key leaves locked memory.
    let mut bytes = LockedSecret::<33>::zeros();
    let length = STANDARD.decode_slice(text.trim(), bytes.expose_mut()).map_err(|_| RootKeyError)?;
    bytes.expose()[..length].try_into().map(LockedSecret::from_bytes).map_err(|_| RootKeyError)
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
        assert_eq!(format!("{:?}", RootKey(LockedSecret::from_bytes(&[65; 32]))), "RootKey(LockedSecret<32>(..))");
    }
}
