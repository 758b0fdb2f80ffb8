//! Verifies handshake signatures with the public key alone, so that a certificate that webpki refuses still proves its
//! key.
//!
//! rustls's own helpers first parse the whole certificate strictly. With `tls.auth: off` a certificate only carries a
//! key (wire contract, "Identity and TLS").

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved};
use webpki::RawPublicKeyEntity;

use crate::tls::certificate;

/// Verifies a TLS 1.3 handshake signature.
pub fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    verify_tls13_signature_with_raw_key(message, &certificate::public_key(certificate)?, signed, algorithms)
}

/// Verifies a TLS 1.2 handshake signature. There a scheme stands for several algorithms, and it tries those of the key.
pub fn verify_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = certificate::public_key(certificate)?;
    let key = RawPublicKeyEntity::try_from(&spki).map_err(|_| certificate::MalformedCertificate)?;
    for algorithm in candidates(signed, algorithms)? {
        match key.verify_signature(*algorithm, message, signed.signature()) {
            Ok(()) => return Ok(HandshakeSignatureValid::assertion()),
            Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => {}
            Err(_) => break,
        }
    }
    Err(Error::InvalidCertificate(CertificateError::BadSignature))
}

fn candidates(
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<&'static [&'static dyn SignatureVerificationAlgorithm], Error> {
    let offered = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
    offered
        .map(|(_, candidates)| *candidates)
        .ok_or_else(|| PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
}
