//! What is read out of a certificate: its public key, whether it is a CA's, and what it may be used for.

use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

/// The bytes are no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// What the server asks of a certificate; far less than a verifier does, so that odd ones still have an identity.
pub(super) struct Facts<'a> {
    /// Its DER SubjectPublicKeyInfo.
    pub spki: &'a [u8],
    /// Whether its basic constraints make it a CA.
    pub is_ca: bool,
    /// Whether its extended key usages name both serverAuth and clientAuth.
    pub for_peers: bool,
}

/// Reads a certificate of any version, whatever its extensions say.
pub(super) fn read<'a>(der: &'a CertificateDer<'_>) -> Result<Facts<'a>, Malformed> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Malformed)?;
    if !rest.is_empty() {
        return Err(Malformed);
    }
    let usages = certificate.extended_key_usage().ok().flatten().map(|usages| usages.value);
    Ok(Facts {
        spki: certificate.tbs_certificate.subject_pki.raw,
        is_ca: certificate.is_ca(),
        for_peers: usages.is_some_and(|usages| usages.server_auth && usages.client_auth),
    })
}

/// Whether it is a certificate of X.509 before version 3, which has no extensions.
pub(super) fn is_old(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.version() != X509Version::V3)
}

/// The public key in the form that signatures are verified with.
pub(super) fn public_key<'a>(der: &'a CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'a>, Malformed> {
    read(der).map(|facts| SubjectPublicKeyInfoDer::from(facts.spki))
}

impl From<Malformed> for rustls::Error {
    fn from(Malformed: Malformed) -> Self {
        Self::InvalidCertificate(rustls::CertificateError::BadEncoding)
    }
}
