//! API keys: a client's Ed25519 seed as one line of text, which stands for a self-signed certificate (wire contract,
//! "Identity and TLS").

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::ed25519::{self, SEED_LEN};
use crate::clock;
use crate::policy::Identity;

const PREFIX: &str = "kes:v1:";
/// The only type of key that exists: an Ed25519 seed.
const TYPE_ED25519: u8 = 0;
const VALIDITY: Duration = Duration::days(90);

/// An API key. It is a private key, and only [`ApiKey::expose`] shows it.
#[derive(Clone)]
pub struct ApiKey {
    seed: Zeroizing<[u8; SEED_LEN]>,
    identity: Identity,
}

/// The certificate that an API key stands for, with its private key.
pub struct ClientCertificate {
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// The private key as PKCS#8 in PEM.
    pub key_pem: Zeroizing<String>,
}

/// Why a text is not an API key, or why the node cannot use one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ApiKeyError {
    /// The text is not `kes:v1:` and the base64 of 33 bytes.
    #[error("not an API key: an API key is 'kes:v1:' and 44 characters of base64")]
    Malformed,
    /// The key has a type that this version does not know.
    #[error("an API key of the unknown type {0}: this version reads type 0 only")]
    UnknownType(u8),
    /// The cryptographic library refused to make or use a key.
    #[error("the cryptographic library refused the API key")]
    Unusable,
}

impl ApiKey {
    /// Makes a random key.
    ///
    /// # Errors
    /// [`ApiKeyError::Unusable`] when the system returns no random bytes.
    pub fn generate() -> Result<Self, ApiKeyError> {
        let seed = ed25519::random_seed().map_err(|_| ApiKeyError::Unusable)?;
        Self::from_seed(&*seed)
    }

    /// Returns the key as text. Show it only to the user who asked for it, and never log it.
    pub fn expose(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([TYPE_ED25519; 1 + SEED_LEN]);
        bytes[1..].copy_from_slice(&*self.seed);
        Zeroizing::new(format!("{PREFIX}{}", &*Zeroizing::new(BASE64_STANDARD.encode(*bytes))))
    }

    /// Returns the identity by which a server knows the key.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Makes a self-signed client certificate of this key, valid for 90 days.
    ///
    /// # Errors
    /// [`ApiKeyError::Unusable`] when the cryptographic library refuses.
    pub fn certificate(&self) -> Result<ClientCertificate, ApiKeyError> {
        let pair = key_pair(&self.seed)?;
        let certificate = self.parameters().self_signed(&pair).map_err(|_| ApiKeyError::Unusable)?;
        Ok(ClientCertificate { certificate_pem: certificate.pem(), key_pem: Zeroizing::new(pair.serialize_pem()) })
    }

    fn parameters(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, self.identity.to_string());
        params.serial_number = Some(SerialNumber::from_slice(&crate::crypto::random::bytes::<16>()));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        // Clocks of other machines may be a little behind this one.
        params.not_before = now() - Duration::minutes(5);
        params.not_after = now() + VALIDITY;
        params
    }

    fn from_seed(seed: &[u8]) -> Result<Self, ApiKeyError> {
        let seed = Zeroizing::new(<[u8; SEED_LEN]>::try_from(seed).map_err(|_| ApiKeyError::Malformed)?);
        let identity = Identity::of_public_key(&key_pair(&seed)?.subject_public_key_info());
        Ok(Self { seed, identity })
    }
}

impl FromStr for ApiKey {
    type Err = ApiKeyError;

    /// Parses a key, with or without its prefix.
    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        let text = text.trim();
        let encoded = text.strip_prefix(PREFIX).unwrap_or(text);
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(encoded).map_err(|_| ApiKeyError::Malformed)?);
        match bytes.split_first() {
            Some((&TYPE_ED25519, seed)) => Self::from_seed(seed),
            Some((other, seed)) if seed.len() == SEED_LEN => Err(ApiKeyError::UnknownType(*other)),
            _ => Err(ApiKeyError::Malformed),
        }
    }
}

fn key_pair(seed: &[u8; SEED_LEN]) -> Result<KeyPair, ApiKeyError> {
    ed25519::key_pair(seed).map_err(|_| ApiKeyError::Unusable)
}

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(clock::unix_ns().into()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey(… of {})", self.identity)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certificate_identity;

    /// The vector of wire contract, "Identity and TLS".
    const KEY: &str = "kes:v1:AGaV6VXHasF0FnaB60WdCOeTZ8eTIDikL4zlN16c8NAs";
    const IDENTITY: &str = "ea9826089311fe44d7590408ede9150f7c637b6cab0a91ee6fe1aa5d9fb366f6";

    #[test]
    fn the_vector_of_the_contract_holds_with_and_without_prefix() {
        for text in [KEY, KEY.strip_prefix(PREFIX).unwrap()] {
            let key: ApiKey = text.parse().unwrap();
            assert_eq!(key.identity().to_string(), IDENTITY);
            assert_eq!(*key.expose(), KEY);
        }
    }

    #[test]
    fn its_certificate_has_its_identity_and_shape() {
        let pem = KEY.parse::<ApiKey>().unwrap().certificate().unwrap();
        assert_eq!(certificate_identity(pem.certificate_pem.as_bytes()).unwrap().identity.to_string(), IDENTITY);
        let (_, der) = x509_parser::pem::parse_x509_pem(pem.certificate_pem.as_bytes()).unwrap();
        let certificate = der.parse_x509().unwrap();
        assert_eq!(certificate.subject().iter_common_name().next().unwrap().as_str().unwrap(), IDENTITY);
        assert!(!certificate.is_ca());
        assert!(certificate.extended_key_usage().unwrap().unwrap().value.client_auth);
        assert!(certificate.key_usage().unwrap().unwrap().value.digital_signature());
    }

    #[test]
    fn a_generated_key_reads_back_and_is_never_shown_by_debug() {
        let key = ApiKey::generate().unwrap();
        let again: ApiKey = key.expose().parse().unwrap();
        assert_eq!(again.identity(), key.identity());
        assert_ne!(ApiKey::generate().unwrap().identity(), key.identity());
        assert!(!format!("{key:?}").contains(&key.expose()[PREFIX.len()..]));
    }

    #[test]
    fn a_malformed_key_is_refused() {
        let other = BASE64_STANDARD.encode([[1u8].as_slice(), &[7; 32]].concat());
        assert_eq!(other.parse::<ApiKey>().unwrap_err(), ApiKeyError::UnknownType(1));
        for bad in ["", "kes:v1:", "kes:v2:AGaV", "AGaV6VXHasF0FnaB60WdCOeTZ8eTIDikL4zlN16c8NA", "AAAA"] {
            assert_eq!(bad.parse::<ApiKey>().unwrap_err(), ApiKeyError::Malformed, "{bad}");
        }
    }
}
