//! The encryption of a PEM block with a `DEK-Info` header (RFC 1421), as OpenSSL writes it: CBC, and a key from MD5.
//!
//! It protects little: one round of MD5 makes the key, and nothing authenticates the block. Keyraft reads it because
//! KES reads encrypted private keys in this form alone, and never writes it.

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit, KeySizeUser};
use des::{Des, TdesEde3};
use md5::{Digest, Md5};
use zeroize::{Zeroize, Zeroizing};

/// The bytes of the IV that are the salt of the key.
const SALT: usize = 8;

/// The content of a `DEK-Info` header: the cipher and its IV.
pub struct DekInfo {
    cipher: Cbc,
    iv: Vec<u8>,
}

/// Why an encrypted block cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DekInfoError {
    /// The header names a cipher that Keyraft does not read.
    UnknownCipher,
    /// The header lacks an IV of the cipher's length.
    Malformed,
    /// The block was encrypted with another password.
    WrongPassword,
}

#[derive(Clone, Copy)]
enum Cbc {
    Des,
    TripleDes,
    Aes128,
    Aes192,
    Aes256,
}

impl DekInfo {
    /// Reads the value of the header, such as `AES-256-CBC,3EC3…`.
    ///
    /// # Errors
    /// [`DekInfoError::UnknownCipher`] or [`DekInfoError::Malformed`].
    pub fn parse(value: &str) -> Result<Self, DekInfoError> {
        let (name, iv) = value.split_once(',').ok_or(DekInfoError::Malformed)?;
        let cipher = Cbc::named(name.trim()).ok_or(DekInfoError::UnknownCipher)?;
        let iv = hex::decode(iv.trim()).map_err(|_| DekInfoError::Malformed)?;
        if iv.len() == cipher.block() { Ok(Self { cipher, iv }) } else { Err(DekInfoError::Malformed) }
    }

    /// Decrypts the block. In about one of 256 cases this succeeds with a wrong password, so the caller checks that the
    /// result is a private key.
    ///
    /// # Errors
    /// [`DekInfoError::WrongPassword`], also for a block that was cut off.
    pub fn open(&self, sealed: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, DekInfoError> {
        match self.cipher {
            Cbc::Des => self.open_with::<Decryptor<Des>>(sealed, password),
            Cbc::TripleDes => self.open_with::<Decryptor<TdesEde3>>(sealed, password),
            Cbc::Aes128 => self.open_with::<Decryptor<Aes128>>(sealed, password),
            Cbc::Aes192 => self.open_with::<Decryptor<Aes192>>(sealed, password),
            Cbc::Aes256 => self.open_with::<Decryptor<Aes256>>(sealed, password),
        }
    }

    fn open_with<D>(&self, sealed: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, DekInfoError>
    where
        D: BlockDecryptMut + KeyIvInit,
    {
        let key = derive(password, &self.iv[..SALT], <D as KeySizeUser>::key_size());
        let cipher = D::new_from_slices(&key, &self.iv).map_err(|_| DekInfoError::Malformed)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let opened = cipher.decrypt_padded_mut::<Pkcs7>(&mut buffer).map_err(|_| DekInfoError::WrongPassword)?.len();
        buffer.truncate(opened);
        Ok(buffer)
    }
}

impl Cbc {
    fn named(name: &str) -> Option<Self> {
        const NAMES: [(&str, Cbc); 5] = [
            ("DES-CBC", Cbc::Des),
            ("DES-EDE3-CBC", Cbc::TripleDes),
            ("AES-128-CBC", Cbc::Aes128),
            ("AES-192-CBC", Cbc::Aes192),
            ("AES-256-CBC", Cbc::Aes256),
        ];
        NAMES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, cipher)| cipher)
    }

    fn block(self) -> usize {
        match self {
            Self::Des | Self::TripleDes => 8,
            Self::Aes128 | Self::Aes192 | Self::Aes256 => 16,
        }
    }
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round: it hashes the digest before, the password and the salt.
fn derive(password: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + Md5::output_size()));
    let mut last = Zeroizing::new(Vec::new());
    while key.len() < length {
        let mut digest = Md5::new().chain_update(&*last).chain_update(password).chain_update(salt).finalize();
        last = Zeroizing::new(digest.to_vec());
        digest.zeroize();
        key.extend_from_slice(&last);
    }
    key.truncate(length);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_malformed_headers_are_refused() {
        let parsed = |value: &str| DekInfo::parse(value).map(drop);
        assert_eq!(parsed("DES-EDE3-CBC,0011223344556677"), Ok(()));
        assert_eq!(parsed("aes-128-cbc, 00112233445566778899aabbccddeeff"), Ok(()));
        for unknown in ["CAMELLIA-256-CBC,00112233445566778899AABBCCDDEEFF", "RC2-CBC,0011223344556677", ",", "x,00"] {
            assert_eq!(parsed(unknown), Err(DekInfoError::UnknownCipher), "{unknown}");
        }
        for malformed in ["", "AES-256-CBC", "AES-256-CBC,", "AES-256-CBC,0011", "AES-256-CBC,zz", "DES-CBC,00"] {
            assert_eq!(parsed(malformed), Err(DekInfoError::Malformed), "{malformed}");
        }
    }

    #[test]
    fn a_block_that_was_cut_off_does_not_open() {
        let info = DekInfo::parse("AES-256-CBC,00112233445566778899AABBCCDDEEFF").unwrap();
        for length in [0, 1, 15, 17] {
            assert_eq!(info.open(&vec![0; length], b"secret").err(), Some(DekInfoError::WrongPassword), "{length}");
        }
    }
}
