//! Encrypted private keys in PEM files: PKCS#8 (RFC 5958), and blocks with a `DEK-Info` header, which KES also reads.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::crypto::{DekInfo, DekInfoError};

/// The labels of blocks that hold a private key.
const LABELS: [&[u8]; 4] = [b"PRIVATE KEY", b"EC PRIVATE KEY", b"RSA PRIVATE KEY", PKCS8];
const PKCS8: &[u8] = b"ENCRYPTED PRIVATE KEY";

/// A private key that a password encrypts.
pub struct EncryptedKey {
    form: Encryption,
    sealed: Vec<u8>,
}

/// Why an encrypted private key cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptedKeyError {
    /// The block is not what its label says.
    Malformed,
    /// The key is encrypted with an algorithm that Keyraft does not read.
    UnknownAlgorithm,
    /// The password does not open it.
    WrongPassword,
}

enum Encryption {
    Pkcs8,
    /// The value of the `DEK-Info` header.
    DekInfo(String),
}

impl EncryptedKey {
    /// Finds the first private key of a PEM file, and returns it when it is encrypted.
    pub fn first_of(pem: &[u8]) -> Option<Self> {
        let mut lines = pem.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let label = lines.find_map(label_of)?;
        let rest: Vec<_> = lines.collect();
        let end = rest.iter().position(|line| line.starts_with(b"-----"));
        let body = &rest[..end.unwrap_or(rest.len())];
        let form = if label == PKCS8 { Encryption::Pkcs8 } else { Encryption::DekInfo(dek_info(body)?) };
        let base64: Vec<_> = body.iter().filter(|line| !line.contains(&b':')).copied().collect();
        // A key that is cut off, or is not base64, becomes empty here. Opening it then fails as malformed.
        let sealed = end.and_then(|_| BASE64_STANDARD.decode(base64.concat()).ok()).unwrap_or_default();
        Some(Self { form, sealed })
    }

    /// Decrypts the key.
    pub fn open(&self, password: &str) -> Result<PrivateKeyDer<'static>, EncryptedKeyError> {
        match &self.form {
            Encryption::Pkcs8 => self.open_pkcs8(password),
            Encryption::DekInfo(value) => self.open_dek_info(value, password),
        }
    }

    fn open_pkcs8(&self, password: &str) -> Result<PrivateKeyDer<'static>, EncryptedKeyError> {
        if !is_one_sequence(&self.sealed) {
            return Err(EncryptedKeyError::Malformed);
        }
        // If the crate cannot parse the sequence, it does not know the algorithm, such as one of PKCS#12.
        let sealed = pkcs8::EncryptedPrivateKeyInfo::try_from(self.sealed.as_slice())
            .map_err(|_| EncryptedKeyError::UnknownAlgorithm)?;
        let opened = sealed.decrypt(password).map_err(|error| match error {
            pkcs8::Error::EncryptedPrivateKey(
                pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. }
                | pkcs8::pkcs5::Error::NoPbes1CryptSupport
                | pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. },
            ) => EncryptedKeyError::UnknownAlgorithm,
            _ => EncryptedKeyError::WrongPassword,
        })?;
        Ok(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into())
    }

    fn open_dek_info(&self, value: &str, password: &str) -> Result<PrivateKeyDer<'static>, EncryptedKeyError> {
        if self.sealed.is_empty() {
            return Err(EncryptedKeyError::Malformed);
        }
        let opened: Zeroizing<Vec<u8>> = DekInfo::parse(value)?.open(&self.sealed, password.as_bytes())?;
        let key = PrivateKeyDer::try_from(opened.as_slice()).map_err(|_| EncryptedKeyError::WrongPassword)?;
        // Nothing authenticates the block, so one of 256 wrong passwords gets this far.
        if is_one_sequence(&opened) { Ok(key.clone_key()) } else { Err(EncryptedKeyError::WrongPassword) }
    }
}

/// Returns the label of a line that begins a private key.
fn label_of(line: &[u8]) -> Option<&[u8]> {
    let label = line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----")?;
    LABELS.contains(&label).then_some(label)
}

fn dek_info(body: &[&[u8]]) -> Option<String> {
    let value = body.iter().find_map(|line| line.strip_prefix(b"DEK-Info:"))?;
    Some(String::from_utf8_lossy(value).trim().to_owned())
}

/// Whether the DER bytes are one SEQUENCE with nothing after it.
fn is_one_sequence(der: &[u8]) -> bool {
    let length = match der {
        [0x30, length @ 0..=0x7f, rest @ ..] => Some((usize::from(*length), rest)),
        [0x30, 0x81, length, rest @ ..] => Some((usize::from(*length), rest)),
        [0x30, 0x82, high, low, rest @ ..] => Some((usize::from(u16::from_be_bytes([*high, *low])), rest)),
        _ => None,
    };
    length.is_some_and(|(length, rest)| rest.len() == length)
}

impl From<DekInfoError> for EncryptedKeyError {
    fn from(error: DekInfoError) -> Self {
        match error {
            DekInfoError::UnknownCipher => Self::UnknownAlgorithm,
            DekInfoError::Malformed => Self::Malformed,
            DekInfoError::WrongPassword => Self::WrongPassword,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    const PASSWORD: &str = "123456";

    fn file(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/encrypted_keys");
        std::fs::read(format!("{folder}/{name}.key")).unwrap()
    }

    fn opened(pem: &[u8], password: &str) -> Result<PrivateKeyDer<'static>, EncryptedKeyError> {
        EncryptedKey::first_of(pem).expect("an encrypted key").open(password)
    }

    #[test]
    fn keys_that_openssl_encrypted_open_to_what_they_were() {
        for (plain, sealed) in [
            ("ec", ["ec-aes128", "ec-aes192", "ec-aes256", "ec-des3", "ec-des"].as_slice()),
            ("rsa", &["rsa-aes256"]),
            ("pkcs8", &["pkcs8-aes256", "pkcs8-des3"]),
        ] {
            assert!(EncryptedKey::first_of(&file(plain)).is_none());
            let plain = PrivateKeyDer::from_pem_slice(&file(plain)).unwrap();
            for name in sealed {
                assert_eq!(opened(&file(name), PASSWORD).as_ref(), Ok(&plain), "{name}");
                assert_eq!(opened(&file(name), "12345"), Err(EncryptedKeyError::WrongPassword), "{name}");
                assert_eq!(opened(&file(name), ""), Err(EncryptedKeyError::WrongPassword), "{name}");
            }
        }
    }

    #[test]
    fn only_the_key_in_a_file_counts() {
        let plain = PrivateKeyDer::from_pem_slice(&file("ec")).unwrap();
        let parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let text = b"Key of the server, \xe9dition 2\n";
        for name in ["ec-aes256", "ec-des3"] {
            let pem = [text.as_slice(), parameters, &file(name), &file("rsa")].concat();
            assert_eq!(opened(&pem, PASSWORD).as_ref(), Ok(&plain), "{name}");
            let lines = pem.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(b"\r\n".as_slice());
            assert_eq!(opened(&lines, PASSWORD).as_ref(), Ok(&plain), "{name} with CRLF");
        }
        let pem = [parameters.as_slice(), &file("ec"), &file("ec-aes256")].concat();
        assert!(EncryptedKey::first_of(&pem).is_none(), "the first key is not encrypted");
    }

    #[test]
    fn no_wrong_password_opens_a_key() {
        let pem = file("ec-aes128");
        for number in 0..2000 {
            assert_eq!(opened(&pem, &format!("wrong {number}")), Err(EncryptedKeyError::WrongPassword), "{number}");
        }
    }

    #[test]
    fn errors_distinguish_an_unknown_algorithm_from_a_damaged_block() {
        assert_eq!(opened(&file("ec-unknown"), PASSWORD), Err(EncryptedKeyError::UnknownAlgorithm));
        assert_eq!(opened(&file("pkcs8-unknown"), PASSWORD), Err(EncryptedKeyError::UnknownAlgorithm));
        for name in ["ec-aes256", "pkcs8-aes256"] {
            let text = String::from_utf8(file(name)).unwrap();
            let (begin, _) = text.split_once("\n\n").or(text.split_once('\n')).unwrap();
            for broken in [begin.to_owned(), format!("{begin}\n\n!!!\n-----END -----"), format!("{begin}\n\nAAAA\n")] {
                assert!(opened(broken.as_bytes(), PASSWORD).is_err(), "{broken}");
            }
            let cut: Vec<_> = text.lines().take(5).collect();
            assert_eq!(opened(cut.join("\n").as_bytes(), PASSWORD), Err(EncryptedKeyError::Malformed), "{name}");
        }
    }
}
