//! Decides which certificates nodes accept from each other. With a CA: what that CA issued to a node, with valid dates
//! and for both usages. Without one: any certificate, because it only carries the key that the handshake proves.
//!
//! It does not look at names. The membership binds a node to its certificate's key (design, "Nodes, clusters and
//! keys"). The nodes check that on every call, and it says more than a name would.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::{rejection, signature, verify_for};
use crate::tls::certificate;
use crate::tls::common::provider;

/// Verifies the other node, as the server and as the client of a connection.
#[derive(Debug, Clone)]
pub struct PeerVerifier {
    /// The peers' CA. `None` if any issuer will do.
    roots: Option<Arc<RootCertStore>>,
    /// The signature algorithms that the node offers and accepts.
    algorithms: WebPkiSupportedAlgorithms,
}

impl PeerVerifier {
    /// Verifies that a CA among these roots issued the certificate.
    pub fn of_authority(roots: RootCertStore) -> Self {
        Self { roots: Some(Arc::new(roots)), ..Self::of_keys() }
    }

    /// Verifies only that the other side holds the key of its certificate.
    pub fn of_keys() -> Self {
        Self { roots: None, algorithms: provider().signature_verification_algorithms }
    }

    /// Checks that a node may show this certificate.
    pub fn check(&self, leaf: &CertificateDer<'_>, between: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let facts = certificate::read(leaf)?;
        let Some(roots) = &self.roots else { return Ok(()) };
        if !facts.for_peers {
            return Err(Error::InvalidCertificate(CertificateError::InvalidPurpose));
        }
        for usage in [webpki::KeyUsage::server_auth(), webpki::KeyUsage::client_auth()] {
            verify_for(usage, roots, &self.algorithms, leaf, between, now).map_err(rejection)?;
        }
        Ok(())
    }

    /// Whether the peers' CA issued this certificate to a node. Without a CA, the certificate does not show that.
    pub fn issued_to_node(&self, leaf: &CertificateDer<'_>, between: &[CertificateDer<'_>], now: UnixTime) -> bool {
        self.roots.is_some() && self.check(leaf, between, now).is_ok()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(leaf, between, now).map(|()| ClientCertVerified::assertion())
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

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(leaf, between, now).map(|()| ServerCertVerified::assertion())
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
