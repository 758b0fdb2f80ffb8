//! Decides which client certificates the public listener accepts (wire contract, "Identity and TLS").

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use crate::tls::certificate;
use crate::tls::peer::PeerTls;
use crate::tls::verify::{signature, verify_client_chain};

/// Accepts any certificate as proof of its key. With roots it accepts only those that chain to one. It never accepts
/// the certificate of a node.
#[derive(Debug)]
pub struct PublicVerifier {
    /// Whether the handshake fails for a client without a certificate.
    pub mandatory: bool,
    /// The roots that chains must end in, with `tls.auth: on`.
    pub roots: Option<Arc<RootCertStore>>,
    /// The nodes, whose certificates this verifier refuses.
    pub peers: Option<Arc<PeerTls>>,
    /// The signature algorithms that the server offers and accepts.
    pub algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for PublicVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// Sends no names of CAs: a client that received some would withhold a certificate that another CA issued.
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
        if self.peers.as_ref().is_some_and(|peers| peers.is_of_node(client, intermediates, now)) {
            return Err(Error::InvalidCertificate(CertificateError::InvalidPurpose));
        }
        if let Some(roots) = &self.roots {
            verify_client_chain(roots, &self.algorithms, client, intermediates, now)?;
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
