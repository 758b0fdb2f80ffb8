//! Which client certificates the public listener takes (wire contract, "Identity and TLS").

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use crate::tls::certificate;
use crate::tls::peer::PeerTls;
use crate::tls::verify::{signature, verify_chain};

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
