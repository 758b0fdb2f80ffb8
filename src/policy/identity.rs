//! An identity: the SHA-256 of a certificate's public key, by which nodes know clients and each other.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

/// SHA-256 of a certificate's DER SubjectPublicKeyInfo; shown as 64 lower-case hexadecimal digits (wire contract,
/// "Identity and TLS").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity([u8; Self::LEN]);

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an identity is 64 lower-case hexadecimal digits, as `keyraft identity of` prints it")]
pub struct IdentityError;

impl Identity {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The identity of a public key, given as DER SubjectPublicKeyInfo.
    pub fn of_public_key(spki_der: &[u8]) -> Self {
        Self(Sha256::digest(spki_der).into())
    }

    /// The identity with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Identity {
    type Error = IdentityError;

    fn try_from(bytes: &[u8]) -> Result<Self, IdentityError> {
        bytes.try_into().map(Self).map_err(|_| IdentityError)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(IdentityError);
        }
        let mut bytes = [0; Self::LEN];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdentityError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 2 * Self::LEN];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ea9826089311fe44d7590408ede9150f7c637b6cab0a91ee6fe1aa5d9fb366f6";

    #[test]
    fn text_round_trips() {
        assert_eq!(HEX.parse::<Identity>().unwrap().to_string(), HEX);
    }

    #[test]
    fn anything_but_lower_case_hex_of_the_right_length_is_refused() {
        for bad in ["", "ea98", &HEX.to_uppercase(), &format!("{HEX}00"), &HEX.replace('e', "g")] {
            assert_eq!(bad.parse::<Identity>(), Err(IdentityError), "{bad}");
        }
    }
}
