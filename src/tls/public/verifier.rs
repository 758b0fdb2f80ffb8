//! Which client certificates the public listener takes (wire contract, "Identity and TLS").

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use webpki::{ExtendedKeyUsageValidator, InvalidNameContext};

use crate::tls::certificate;
use crate::tls::peer::PeerTls;
use crate::tls::verify::lenient_chain::{self, Rules};
use crate::tls::verify::purpose::Purpose;
use crate::tls::verify::signature;

/// Takes any certificate as proof of its key, or, with roots, those that chain to one; nodes' own never.
#[derive(Debug)]
pub struct PublicVerifier {
    /// Whether a client without a certificate fails in the handshake.
    pub mandatory: bool,
    /// With `tls.auth: on`, what chains must end in.
    pub roots: Option<Arc<RootCertStore>>,
    /// Whose certificates are refused here.
    pub peers: Option<Arc<PeerTls>>,
    /// The signatures offered and accepted.
    pub algorithms: WebPkiSupportedAlgorithms,
}

/// Verifies that a chain ends in one of the roots, is in date, and may be used by a client. Its first certificate may
/// also be of X.509 before version 3, or a CA's, which then stands for no client.
pub fn verify_chain(
    roots: &RootCertStore,
    algorithms: &WebPkiSupportedAlgorithms,
    client: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), Error> {
    let odd =
        || lenient_chain::verify(Rules { roots, algorithms, purpose: Purpose::Client, now }, client, intermediates);
    match verify_for(Purpose::Client, roots, algorithms, client, intermediates, now) {
        Err(webpki::Error::UnsupportedCertVersion) if certificate::is_old(client) => odd(),
        Err(webpki::Error::CaUsedAsEndEntity) => odd(),
        verified => verified.map_err(refusal),
    }
}

/// The same for a usage of the caller's choice, and by the rules of webpki alone.
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

/// The reason as the TLS alert carries it.
pub fn refusal(error: webpki::Error) -> Error {
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

impl ClientCertVerifier for PublicVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// None, ever: a client that is told names withholds a certificate that none of them issued.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        client: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        for certificate in intermediates {
            certificate::read(certificate)?;
        }
        if self.peers.as_ref().is_some_and(|peers| peers.issued(client, intermediates, now)) {
            return Err(Error::InvalidCertificate(CertificateError::InvalidPurpose));
        }
        if let Some(roots) = &self.roots {
            verify_chain(roots, &self.algorithms, client, intermediates, now)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_tls12(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_tls13(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
