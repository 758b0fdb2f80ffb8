//! API keys and the certificates made from them, written from the wire contract alone, to check `keyraft::tls`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519};
use rustls::pki_types::PrivatePkcs8KeyDer;
use time::{Duration, OffsetDateTime};

use super::certificates::{self, Authority, Credential};

/// The bytes before the 32 bytes of the seed in the PKCS #8 form of an Ed25519 key (RFC 8410, section 7).
const PKCS8_BEFORE_SEED: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// An API key (wire contract, "Identity and TLS").
pub struct ApiKey(KeyPair);

/// The times from when and until when a certificate is valid.
pub type Validity = (OffsetDateTime, OffsetDateTime);

impl ApiKey {
    /// Parses `kes:v1:` and the standard base64 of a zero byte and a seed.
    pub fn parse(text: &str) -> Self {
        let encoded = text.strip_prefix("kes:v1:").unwrap_or(text);
        let bytes = BASE64_STANDARD.decode(encoded).expect("an API key is base64");
        assert!(bytes.len() == 33 && bytes[0] == 0, "an API key is a zero byte and 32 bytes");
        let pkcs8 = PrivatePkcs8KeyDer::from([&PKCS8_BEFORE_SEED, &bytes[1..]].concat());
        Self(KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519).expect("every seed is a key"))
    }

    /// The self-signed certificate that clients make from it, valid for 90 days from now.
    pub fn credential(&self) -> Credential {
        let now = certificates::now();
        self.credential_valid((now - Duration::minutes(1), now + Duration::days(90)))
    }

    /// A certificate of its key that an authority signed. It has the same identity, and a chain that verifies.
    pub fn issued_by(&self, authority: &Authority) -> Credential {
        authority.issue_for(&self.0, &certificates::for_client(CertificateParams::default()))
    }

    /// The self-signed certificate, valid at this time.
    pub fn credential_valid(&self, (not_before, not_after): Validity) -> Credential {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, certificates::identity_of_key(&self.0));
        params.not_before = not_before;
        params.not_after = not_after;
        certificates::self_signed(&certificates::for_client(params), &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_contract_has_its_identity() {
        let key = ApiKey::parse("kes:v1:AGaV6VXHasF0FnaB60WdCOeTZ8eTIDikL4zlN16c8NAs");
        let identity = "ea9826089311fe44d7590408ede9150f7c637b6cab0a91ee6fe1aa5d9fb366f6";
        assert_eq!(certificates::identity_of_key(&key.0), identity);
        assert_eq!(key.credential().identity(), identity);
    }
}
