//! Verifies what the other side of a handshake shows: the certificate chain, its purpose, and the signature.

pub mod lenient_chain;
pub mod peers;
pub mod purpose;
pub mod signature;

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};
use webpki::{ExtendedKeyUsageValidator, InvalidNameContext};

use self::lenient_chain::ChainRules;
use self::purpose::CertificatePurpose;
use super::certificate;
use crate::clock;

/// Verifies a client's chain up to one of the roots, its dates, and that a client may use it. The first certificate may
/// also be of X.509 before version 3, or belong to a CA (which then does not identify a client).
pub fn verify_client_chain(
    roots: &RootCertStore,
    algorithms: &WebPkiSupportedAlgorithms,
    client: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), Error> {
    let odd = || {
        lenient_chain::verify(
            ChainRules { roots, algorithms, purpose: CertificatePurpose::Client, now },
            client,
            intermediates,
        )
    };
    match verify_for(CertificatePurpose::Client, roots, algorithms, client, intermediates, now) {
        Err(webpki::Error::UnsupportedCertVersion) if certificate::is_old(client) => odd(),
        Err(webpki::Error::CaUsedAsEndEntity) => odd(),
        verified => verified.map_err(rejection),
    }
}

/// Verifies a chain for any usage, by the rules of webpki alone.
pub fn verify_for(
    usage: impl ExtendedKeyUsageValidator,
    roots: &RootCertStore,
    algorithms: &WebPkiSupportedAlgorithms,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), webpki::Error> {
    let leaf = webpki::EndEntityCert::try_from(leaf)?;
    leaf.verify_for_usage(algorithms.all, &roots.roots, intermediates, now, usage, None, None).map(drop)
}

/// Converts a reason of webpki to that of rustls, which chooses the TLS alert by it.
pub fn rejection(error: webpki::Error) -> Error {
    Error::InvalidCertificate(match error {
        webpki::Error::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        webpki::Error::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        webpki::Error::CertNotValidForName(InvalidNameContext { expected, presented }) => {
            CertificateError::NotValidForNameContext { expected, presented }
        }
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(rustls::OtherError(Arc::new(other))),
    })
}

/// Returns the wall time in the form that verification takes.
pub fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_nanos(clock::unix_ns().unsigned_abs()))
}
