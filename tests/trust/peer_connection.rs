//! TLS connections to and from peer ports, with the key of a node that somebody stole.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tonic::transport::{Channel, Endpoint};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::wire::peer::peer_client::PeerClient;

const ALPN: &[u8] = b"keyraft-peer/1";
const EXPORTER: &[u8] = b"EXPORTER-keyraft-peer-v1";
/// How long a node may take to answer or to close a connection. After that it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// The TLS key of a node.
pub struct PeerKey {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl PeerKey {
    /// The key that the node with this data folder made.
    pub fn stolen_from(data: &Path) -> Self {
        let pem = std::fs::read_to_string(data.join("peer.key")).expect("the node made its key");
        Self::of(&KeyPair::from_pem(&pem).expect("a key"))
    }

    /// A key that no node knows.
    pub fn new() -> Self {
        Self::of(&KeyPair::generate().expect("keys can be made"))
    }

    fn of(pair: &KeyPair) -> Self {
        let certificate = CertificateParams::default().self_signed(pair).expect("the parameters are valid");
        let key = PrivateKeyDer::try_from(pair.serialize_der()).expect("the key is ours");
        assert_eq!(identity_of(certificate.der()), <[u8; 32]>::from(Sha256::digest(pair.subject_public_key_info())));
        Self { chain: vec![certificate.der().clone()], key }
    }

    /// What the cluster knows the node by.
    pub fn identity(&self) -> [u8; 32] {
        identity_of(&self.chain[0])
    }
}

/// A connection after its handshake.
pub struct PeerConnection {
    stream: TlsStream<TcpStream>,
    /// The exporter, and the TLS keys of both ends: what a proof covers of the connection itself.
    pub binding: Binding,
}

/// A connection, as TLS shows it to both of its ends.
#[derive(Clone)]
pub struct Binding {
    pub exporter: [u8; 32],
    pub acceptor: [u8; 32],
    pub connector: [u8; 32],
}

/// A frame: its type and its content.
pub type Frame = (u8, Bytes);

impl PeerConnection {
    /// Connects to a peer port with this key.
    pub async fn to(address: SocketAddr, key: &PeerKey) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider speaks TLS 1.3");
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_client_auth_cert(key.chain.clone(), key.key.clone_key())
            .expect("the key is one that TLS knows");
        config.alpn_protocols = vec![ALPN.to_vec()];
        let tcp = TcpStream::connect(address).await.expect("the node listens");
        let connecting = TlsConnector::from(Arc::new(config));
        let stream = connecting.connect(ServerName::from(address.ip()), tcp).await.expect("the handshake ends well");
        let (_, session) = stream.get_ref();
        let acceptor = identity_of(&session.peer_certificates().expect("a node has a certificate")[0]);
        let exporter = session.export_keying_material([0; 32], EXPORTER, None).expect("it is TLS 1.3");
        let binding = Binding { exporter, acceptor, connector: key.identity() };
        Self { stream: stream.into(), binding }
    }

    /// Accepts a connection with this key.
    pub async fn from(tcp: TcpStream, key: &PeerKey) -> io::Result<Self> {
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider speaks TLS 1.3");
        let mut config = builder
            .with_client_cert_verifier(Arc::new(Anybody))
            .with_single_cert(key.chain.clone(), key.key.clone_key())
            .expect("the key is one that TLS knows");
        config.alpn_protocols = vec![ALPN.to_vec()];
        let stream = TlsAcceptor::from(Arc::new(config)).accept(tcp).await?;
        let (_, session) = stream.get_ref();
        let connector = identity_of(&session.peer_certificates().expect("a node has a certificate")[0]);
        let exporter = session.export_keying_material([0; 32], EXPORTER, None).expect("it is TLS 1.3");
        let binding = Binding { exporter, acceptor: key.identity(), connector };
        Ok(Self { stream: stream.into(), binding })
    }

    /// Sends a frame. The other end may have closed the connection.
    pub async fn send(&mut self, (frame_type, content): &Frame) {
        let length = u16::try_from(content.len()).expect("a frame is small").to_be_bytes();
        let frame = [&length[..], &[*frame_type], content].concat();
        // What follows shows whether the node closed the connection.
        let _ = self.stream.write_all(&frame).await;
        let _ = self.stream.flush().await;
    }

    /// Reads a frame. `None` when the other end closes the connection.
    pub async fn read(&mut self) -> Option<Frame> {
        let reading = async {
            let mut head = [0; 3];
            self.stream.read_exact(&mut head).await.ok()?;
            let mut content = vec![0; usize::from(u16::from_be_bytes([head[0], head[1]]))];
            self.stream.read_exact(&mut content).await.ok()?;
            Some((head[2], content.into()))
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the node answers or closes the connection")
    }

    /// Waits until the other end closes the connection.
    pub async fn closed(mut self) {
        let mut rest = Vec::new();
        let closing = self.stream.read_to_end(&mut rest);
        // The node may close it with a reset.
        let _ = tokio::time::timeout(PATIENCE, closing).await.expect("the node closes the connection");
    }

    /// A client of the peer service on this connection.
    pub async fn client(self) -> PeerClient<Channel> {
        let stream = Mutex::new(Some(self.stream));
        let connector = tower::service_fn(move |_| {
            let stream = stream.lock().take().ok_or_else(|| io::Error::other("there was one connection"));
            async { stream.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://keyraft-peer");
        PeerClient::new(endpoint.connect_with_connector(connector).await.expect("the node speaks HTTP/2"))
    }
}

/// SHA-256 of the public key of a certificate.
fn identity_of(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let (_, certificate) = X509Certificate::from_der(certificate).expect("a node's certificate");
    Sha256::digest(certificate.tbs_certificate.subject_pki.raw).into()
}

/// Takes every certificate, as somebody does who wants to talk to everybody.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
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
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Anybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
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
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
