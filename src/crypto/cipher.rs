//! The ciphers that keys can have, and their names.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The cipher of a key (wire contract, "Ciphertexts").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// AES-256-GCM under a sub-key derived with HMAC-SHA-256.
    Aes256,
    /// ChaCha20-Poly1305 under a sub-key derived with HChaCha20.
    ChaCha20,
}

/// No cipher has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("algorithm '{0}' is not supported")]
pub struct CipherError(pub String);

impl Cipher {
    /// The name in answers of the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256 => "AES256",
            Self::ChaCha20 => "ChaCha20",
        }
    }

    /// The cipher with this name or alias.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "AES256" | "AES256-GCM_SHA256" => Some(Self::Aes256),
            "ChaCha20" | "XCHACHA20-POLY1305" => Some(Self::ChaCha20),
            _ => None,
        }
    }
}

impl FromStr for Cipher {
    type Err = CipherError;

    fn from_str(name: &str) -> Result<Self, CipherError> {
        Self::named(name).ok_or_else(|| CipherError(name.to_owned()))
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cipher_has_its_name_and_one_alias() {
        for (name, cipher) in [
            ("AES256", Cipher::Aes256),
            ("AES256-GCM_SHA256", Cipher::Aes256),
            ("ChaCha20", Cipher::ChaCha20),
            ("XCHACHA20-POLY1305", Cipher::ChaCha20),
        ] {
            assert_eq!(name.parse(), Ok(cipher));
            assert_eq!(cipher.name().parse(), Ok(cipher));
        }
        for bad in ["", "aes256", "AES-256", "AES256 ", "chacha20"] {
            assert_eq!(bad.parse::<Cipher>(), Err(CipherError(bad.to_owned())));
        }
    }
}
