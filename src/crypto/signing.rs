//! Signatures with Ed25519 (RFC 8032), so that anybody can check a node's audit trail without a secret.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use thiserror::Error;

use super::Secret;

/// A key that signs. The node derives it each time the key ring opens, and never stores it.
pub struct SigningKey(Ed25519KeyPair);

/// A key that checks signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey([u8; 32]);

/// A text is not a verifying key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a key is 64 lower-case hexadecimal digits")]
pub struct VerifyingKeyError;

impl SigningKey {
    /// The key of a seed.
    pub(super) fn of_seed(seed: &Secret<32>) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose());
        Self(pair.expect("any 32 bytes are a seed (RFC 8032, section 5.1.5)"))
    }

    /// A random key.
    pub fn random() -> Self {
        Self::of_seed(&Secret::random())
    }

    /// The key that checks its signatures.
    pub fn verifying_key(&self) -> VerifyingKey {
        let bytes = self.0.public_key().as_ref();
        VerifyingKey(bytes.try_into().expect("a public key has 32 bytes (RFC 8032, section 5.1.5)"))
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.0.sign(message);
        signature.as_ref().try_into().expect("a signature has 64 bytes (RFC 8032, section 5.1.6)")
    }
}

impl VerifyingKey {
    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Whether the holder of its signing key signed the message.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for VerifyingKey {
    type Err = VerifyingKeyError;

    fn from_str(text: &str) -> Result<Self, VerifyingKeyError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| VerifyingKeyError)?;
        let canonical = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        canonical.then_some(Self(bytes)).ok_or(VerifyingKeyError)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.verifying_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn signatures_are_those_of_the_rfc() {
        let seed: [u8; 32] = hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
            .unwrap()
            .try_into()
            .unwrap();
        let key = SigningKey::of_seed(&Secret::from_bytes(&seed));
        let public = key.verifying_key();
        assert_eq!(public.to_string(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(public.to_string().parse(), Ok(public));
        let signature = key.sign(&[0x72]);
        assert!(hex::encode(signature).starts_with("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"));
        assert!(public.verifies(&[0x72], &signature) && !public.verifies(&[0x73], &signature));
        assert!(!SigningKey::random().verifying_key().verifies(&[0x72], &signature));
        assert!(!format!("{key:?}").contains("4ccd"));
    }
}
