//! Reads from a certificate its public key, whether it belongs to a CA, and what it may be used for.

pub mod dates;
pub mod identity;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

/// The bytes cannot be read as a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedCertificate;

/// What the server needs to know of a certificate. It asks far less than a verifier, so that a certificate that webpki
/// refuses still has an identity.
pub struct CertificateFacts<'a> {
    /// The public key, as SubjectPublicKeyInfo in DER.
    pub spki: &'a [u8],
    /// Whether the basic constraints say that the certificate belongs to a CA.
    pub is_ca: bool,
    /// Whether the extended key usages name both serverAuth and clientAuth.
    pub for_peers: bool,
}

/// Returns the certificates of a PEM file, in its order, and skips everything else in it.
///
/// # Errors
/// A certificate in the file is cut off or damaged.
pub fn in_pem(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let mut inside = false;
    let mut blocks = Vec::with_capacity(file.len());
    for line in file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if inside || line == BEGIN {
            blocks.extend_from_slice(line);
            blocks.push(b'\n');
            inside = !line.starts_with(b"-----END ");
        }
    }
    CertificateDer::pem_slice_iter(&blocks).collect()
}

/// Reads a certificate of any version and does not check its extensions.
pub fn read<'a>(der: &'a CertificateDer<'_>) -> Result<CertificateFacts<'a>, MalformedCertificate> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| MalformedCertificate)?;
    if !rest.is_empty() {
        return Err(MalformedCertificate);
    }
    let usages = certificate.extended_key_usage().ok().flatten().map(|usages| usages.value);
    Ok(CertificateFacts {
        spki: certificate.tbs_certificate.subject_pki.raw,
        is_ca: certificate.is_ca(),
        for_peers: usages.is_some_and(|usages| usages.server_auth && usages.client_auth),
    })
}

/// Whether the certificate is of X.509 before version 3, which knows no extensions.
pub fn is_old(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.version() != X509Version::V3)
}

/// Returns the public key in the form with which webpki verifies signatures.
pub fn public_key<'a>(der: &'a CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'a>, MalformedCertificate> {
    read(der).map(|facts| SubjectPublicKeyInfoDer::from(facts.spki))
}

impl From<MalformedCertificate> for rustls::Error {
    fn from(MalformedCertificate: MalformedCertificate) -> Self {
        Self::InvalidCertificate(rustls::CertificateError::BadEncoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::TestAuthority;

    #[test]
    fn only_the_certificates_of_a_file_count() {
        let authority = TestAuthority::new();
        let leaf = authority.client();
        let key = include_str!("../../../tests/vectors/encrypted_keys/ec-aes256.key");
        let (leaf_pem, ca_pem) = (leaf.pem(), authority.pem());
        for file in [
            format!("{leaf_pem}{ca_pem}"),
            format!("{key}{leaf_pem}{ca_pem}"),
            format!("{leaf_pem}{key}{ca_pem}{key}"),
            format!("Subject: CN=app\n{leaf_pem}{ca_pem}").replace('\n', "\r\n"),
        ] {
            assert_eq!(in_pem(file.as_bytes()).unwrap(), [leaf.der(), authority.der()], "{file}");
        }
        assert!(in_pem(key.as_bytes()).unwrap().is_empty());
        for cut in [&leaf_pem[..100], &format!("{}{ca_pem}", &leaf_pem[..100]), &format!("{key}{}", &leaf_pem[..100])] {
            assert!(in_pem(cut.as_bytes()).is_err(), "{cut}");
        }
    }
}
