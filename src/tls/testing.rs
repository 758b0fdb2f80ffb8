//! Certificates and handshakes for tests of this module and of the server.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, SignatureAlgorithm, SigningKey as _, date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{DigitallySignedStruct, SignatureAlgorithm as KeyKind, SignatureScheme, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use x509_parser::asn1_rs::{Any, FromDer};

use super::certificate;
use super::common::provider;
use super::{PeerKey, PeerTls};
use crate::config::PeerTlsConfig;
use crate::policy::Identity;

/// A CA that also issues certificates with faults, for tests.
pub struct TestAuthority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub struct Leaf {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// How a leaf differs from an ordinary client certificate.
#[derive(Default)]
pub struct LeafOptions {
    pub usages: Option<Vec<ExtendedKeyUsagePurpose>>,
    pub expired: bool,
    pub critical_extension: bool,
    pub is_ca: bool,
}

impl TestAuthority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Issues a client's certificate.
    pub fn client(&self) -> Leaf {
        self.issue(LeafOptions::default())
    }

    /// Issues a node's certificate.
    pub fn node(&self) -> Leaf {
        let usages = Some(vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]);
        self.issue(LeafOptions { usages, ..LeafOptions::default() })
    }

    /// Makes a CA below this one. The caller may change its parameters.
    pub fn intermediate(&self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "an intermediate");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Makes a certificate of X.509 version 1 with the names and the key of `like`, and signs it.
    pub fn old(&self, like: &CertificateDer<'_>) -> CertificateDer<'static> {
        self.resign(like, |fields| {
            fields.pop();
            fields.remove(0);
        })
    }

    /// Changes the fields of a certificate and signs it. The fields are those of RFC 5280, section 4.1.
    pub fn resign(&self, like: &CertificateDer<'_>, edit: impl FnOnce(&mut Vec<Vec<u8>>)) -> CertificateDer<'static> {
        let parts = elements(like);
        let mut fields = elements(&parts[0]);
        edit(&mut fields);
        let signed = sequence(&fields.concat());
        let signature = self.issuer.key().sign(&signed).unwrap();
        let signature = element(3, &[&[0], &signature[..]].concat());
        sequence(&[signed, parts[1].clone(), signature].concat()).into()
    }

    pub fn issue(&self, options: LeafOptions) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let certificate = options.params().signed_by(&key, &self.issuer).unwrap();
        Leaf { certificate, key }
    }
}

impl LeafOptions {
    fn params(self) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = if self.is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params.extended_key_usages = self.usages.unwrap_or_else(|| vec![ExtendedKeyUsagePurpose::ClientAuth]);
        if self.expired {
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2001, 4, 1));
        }
        if self.critical_extension {
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 1], vec![5, 0]);
            extension.set_criticality(true);
            params.custom_extensions.push(extension);
        }
        params
    }
}

impl Leaf {
    pub fn self_signed() -> Self {
        Self::of(&PKCS_ECDSA_P256_SHA256, LeafOptions::default())
    }

    pub fn of(algorithm: &'static SignatureAlgorithm, options: LeafOptions) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = options.params().self_signed(&key).unwrap();
        Self { certificate, key }
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// Makes another certificate of the same key.
    pub fn renewed(&self) -> CertificateDer<'static> {
        let params = LeafOptions { usages: Some(Vec::new()), ..LeafOptions::default() }.params();
        params.self_signed(&self.key).unwrap().der().clone()
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    pub fn identity(&self) -> Identity {
        Identity::of_public_key(certificate::read(&self.der()).unwrap().spki)
    }
}

/// Splits a DER sequence into its elements, each with its tag and length.
pub fn elements(sequence: &[u8]) -> Vec<Vec<u8>> {
    let (_, whole) = Any::from_der(sequence).unwrap();
    let mut rest = whole.data;
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (after, _) = Any::from_der(rest).unwrap();
        elements.push(rest[..rest.len() - after.len()].to_vec());
        rest = after;
    }
    elements
}

/// Makes a DER sequence of this content.
pub fn sequence(content: &[u8]) -> Vec<u8> {
    element(0x30, content)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match (high, low) {
        (0, 0..=0x7f) => vec![low],
        (0, _) => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [vec![tag], length, content.to_vec()].concat()
}

/// Writes the certificate and key of a server or node to a new folder.
pub fn write(leaf: &Leaf, ca: Option<&str>) -> (TempDir, PathBuf, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (cert, key, roots) = (path("tls.crt"), path("tls.key"), path("ca.crt"));
    std::fs::write(&cert, leaf.pem()).unwrap();
    std::fs::write(&key, leaf.key_pem()).unwrap();
    ca.iter().for_each(|pem| std::fs::write(&roots, pem).unwrap());
    (folder, cert, key, roots)
}

/// Writes the certificate and key of a node to a new folder.
pub fn peer_files(leaf: &Leaf, ca: Option<&str>) -> (TempDir, PeerTlsConfig) {
    let (folder, cert, key, roots) = write(leaf, ca);
    (folder, PeerTlsConfig { cert, key, ca: ca.map(|_| roots) })
}

/// Makes the TLS of a node that has no CA and made its key itself.
pub fn node_with_own_key() -> PeerTls {
    PeerTls::of_own_key(&PeerKey::generate().unwrap()).unwrap()
}

/// Makes a client that trusts any server and shows `chain` with `key`. If `scheme` is given, it signs with that only.
pub fn client(
    chain: Vec<CertificateDer<'static>>,
    key: Option<PrivateKeyDer<'static>>,
    scheme: Option<SignatureScheme>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer));
    let mut config = match key {
        None => builder.with_no_client_auth(),
        Some(key) => {
            let key = provider().key_provider.load_private_key(key).unwrap();
            let key: Arc<dyn SigningKey> = match scheme {
                Some(scheme) => Arc::new(OneScheme { key, scheme }),
                None => key,
            };
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))))
        }
    };
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Makes a client without a certificate that offers one protocol.
pub fn anonymous(alpn: &[u8]) -> Arc<ClientConfig> {
    let mut config = Arc::unwrap_or_clone(client(Vec::new(), None, None, &[&rustls::version::TLS13]));
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

/// Opens a TCP connection and returns both ends.
pub async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// Connects as that client.
pub async fn connect(
    client: Arc<ClientConfig>,
    tcp: TcpStream,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    TlsConnector::from(client).connect(ServerName::try_from("localhost").unwrap(), tcp).await
}

/// Accepts every server, because tests of a listener are about the client.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A key that signs with one scheme only.
#[derive(Debug)]
struct OneScheme {
    key: Arc<dyn SigningKey>,
    scheme: SignatureScheme,
}

impl SigningKey for OneScheme {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme).then(|| self.key.choose_scheme(&[self.scheme])).flatten()
    }

    fn algorithm(&self) -> KeyKind {
        self.key.algorithm()
    }
}
