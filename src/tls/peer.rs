//! Mutual TLS 1.3 between nodes. They trust their own CA alone.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, ConnectionCommon, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::certificate::dates::{CertificateUsage, DatedCertificate};
use super::certificate::identity::identity_of;
use super::common::{KEYRAFT_PEER, provider, without_resumption};
use super::files::error::{SettingError, TlsError};
use super::files::material::{Material, TlsFiles};
use super::files::{self, Fingerprint};
use super::reload::{Reload, follow};
use super::verify::peers::PeerVerifier;
use crate::policy::Identity;

/// The server name that a node sends when it connects. TLS needs one, and no node checks it.
const NAME: &str = "keyraft-peer";

/// The label under which both sides derive the value of [`PeerStream::exporter`].
const EXPORTER: &[u8] = b"EXPORTER-keyraft-peer-v1";

/// An encrypted connection to or from another node.
pub struct PeerStream {
    stream: tokio_rustls::TlsStream<TcpStream>,
    exporter: [u8; 32],
}

impl PeerStream {
    /// Returns the TLS exporter (RFC 8446, section 7.5) under a label of the protocol between nodes. It is the same on
    /// both sides and different on every connection, so what a node signs over it holds on this connection alone.
    pub fn exporter(&self) -> [u8; 32] {
        self.exporter
    }
}

/// A node's TLS settings for its peers. The node reads the files again when they change.
pub struct PeerTls {
    files: PeerFiles,
    current: ArcSwap<PeerHandshake>,
    seen: Mutex<Fingerprint>,
}

struct PeerFiles {
    cert: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

/// What new handshakes use.
struct PeerHandshake {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    verifier: PeerVerifier,
    identity: Identity,
    certificates: Vec<DatedCertificate>,
}

impl PeerTls {
    /// Reads this node's certificate and key, and the CA that issued the certificates of all nodes.
    ///
    /// # Errors
    /// A file cannot be read or used, or the other nodes would refuse the certificate.
    pub fn load(cert: &Path, key: &Path, ca: &Path) -> Result<Self, SettingError> {
        let files = PeerFiles { cert: cert.to_owned(), key: key.to_owned(), ca: ca.to_owned() };
        let seen = Mutex::new(files.fingerprint());
        let current = ArcSwap::from_pointee(files.read()?);
        Ok(Self { files, current, seen })
    }

    /// Returns the identity of this node's own key.
    pub fn identity(&self) -> Identity {
        self.current.load().identity
    }

    /// Returns the certificates in use, with their dates.
    pub fn certificates(&self) -> Vec<DatedCertificate> {
        self.current.load().certificates.clone()
    }

    /// Reads the files again. Open connections stay. On an error everything stays as it was.
    ///
    /// # Errors
    /// As for [`PeerTls::load`]. It also refuses a certificate with another key: the other nodes know this node by its
    /// key, so a renewed certificate must keep it.
    pub fn reload(&self) -> Result<(), SettingError> {
        let read = self.files.read()?;
        if read.identity != self.identity() {
            return Err(in_cert(TlsError::OtherPeerKey(self.files.cert.clone())));
        }
        self.current.store(Arc::new(read));
        Ok(())
    }

    /// Reads the files again whenever they change. Never ends.
    pub async fn follow(self: Arc<Self>) {
        follow(self, "peer").await;
    }

    /// Shakes hands with a node that connected. The caller must limit the time, since the other side sets the pace.
    ///
    /// # Errors
    /// The handshake failed, for example because the peers' CA did not issue the other side's certificate.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<(PeerStream, Identity)> {
        let server = Arc::clone(&self.current.load().server);
        let stream = TlsAcceptor::from(server).accept(tcp).await?;
        speaks_peer_protocol(stream.get_ref().1.alpn_protocol())?;
        let identity = proven(stream.get_ref().1.peer_certificates())?;
        let exporter = exporter(stream.get_ref().1)?;
        Ok((PeerStream { stream: stream.into(), exporter }, identity))
    }

    /// Shakes hands with a node that this one connected to. Only the first read shows whether that node accepts this
    /// one.
    ///
    /// # Errors
    /// The handshake failed, for example because the peers' CA did not issue the other side's certificate.
    pub async fn connect(&self, tcp: TcpStream) -> io::Result<(PeerStream, Identity)> {
        let client = Arc::clone(&self.current.load().client);
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let stream = TlsConnector::from(client).connect(name, tcp).await?;
        speaks_peer_protocol(stream.get_ref().1.alpn_protocol())?;
        let identity = proven(stream.get_ref().1.peer_certificates())?;
        let exporter = exporter(stream.get_ref().1)?;
        Ok((PeerStream { stream: stream.into(), exporter }, identity))
    }

    /// Whether the peers' CA issued this certificate to a node.
    pub(super) fn issued_to_node(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        self.current.load().verifier.check(leaf, between, now).is_ok()
    }
}

impl Reload for PeerTls {
    fn certificates(&self) -> Vec<DatedCertificate> {
        self.certificates()
    }

    fn reload_if_changed(&self) -> Result<bool, SettingError> {
        let found = self.files.fingerprint();
        if std::mem::replace(&mut *self.seen.lock(), found) == found {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }
}

impl PeerFiles {
    fn fingerprint(&self) -> Fingerprint {
        files::fingerprint([self.cert.as_path(), &self.key, &self.ca])
    }

    fn read(&self) -> Result<PeerHandshake, SettingError> {
        let Material { chain, key, roots, certificates } =
            TlsFiles::of_peers(&self.cert, &self.key, &self.ca).load()?;
        let verifier = PeerVerifier::new(roots.unwrap_or_else(RootCertStore::empty));
        let identity = identity_of(&chain).map_err(|_| in_cert(TlsError::NotOneNode(self.cert.clone())))?;
        let unusable = |error| in_cert(TlsError::unusable(&self.cert, error));
        let server = server(&verifier, chain.clone(), key.clone_key()).map_err(unusable)?;
        let client = client(&verifier, chain, key).map_err(unusable)?;
        Ok(PeerHandshake { server: Arc::new(server), client: Arc::new(client), verifier, identity, certificates })
    }
}

fn in_cert(error: TlsError) -> SettingError {
    SettingError { setting: CertificateUsage::Peer.setting(), error }
}

fn server(
    verifier: &PeerVerifier,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier.clone()))
        .with_single_cert(chain, key)?;
    server.alpn_protocols = vec![KEYRAFT_PEER.to_vec()];
    without_resumption(&mut server);
    Ok(server)
}

fn client(
    verifier: &PeerVerifier,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier.clone()))
        .with_client_auth_cert(chain, key)?;
    client.alpn_protocols = vec![KEYRAFT_PEER.to_vec()];
    client.resumption = Resumption::disabled();
    Ok(client)
}

/// Refuses a connection for which both sides did not agree on the protocol between nodes. Where one side names no
/// protocol, TLS itself refuses nothing.
fn speaks_peer_protocol(agreed: Option<&[u8]>) -> io::Result<()> {
    if agreed == Some(KEYRAFT_PEER) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, rustls::Error::NoApplicationProtocol))
}

/// Returns the identity of the other side, whose certificate the verifier has accepted.
fn proven(chain: Option<&[CertificateDer<'_>]>) -> io::Result<Identity> {
    identity_of(chain.unwrap_or_default())
        .map_err(|_| io::Error::other("the peer's certificate chain does not name exactly one node"))
}

fn exporter<Side>(connection: &ConnectionCommon<Side>) -> io::Result<[u8; 32]> {
    connection.export_keying_material([0; 32], EXPORTER, None).map_err(io::Error::other)
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTls").field("identity", &self.identity()).finish_non_exhaustive()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    use rustls::version::{TLS12, TLS13};
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::tls::testing::{self, Leaf, LeafOptions, TestAuthority, pair};

    struct TestNode {
        tls: Result<PeerTls, SettingError>,
        leaf: Leaf,
        _folder: TempDir,
    }

    fn node(authority: &TestAuthority, leaf: Leaf) -> TestNode {
        let (folder, cert, key, ca) = testing::write(&leaf, Some(&authority.pem()));
        TestNode { tls: PeerTls::load(&cert, &key, &ca), leaf, _folder: folder }
    }

    /// Whether the node refuses this client, which offers the protocol between nodes.
    async fn refuses(node: &PeerTls, client: Arc<ClientConfig>) -> bool {
        refuses_protocol(node, client, &[KEYRAFT_PEER]).await
    }

    async fn refuses_protocol(node: &PeerTls, client: Arc<ClientConfig>, alpn: &[&[u8]]) -> bool {
        let mut client = Arc::unwrap_or_clone(client);
        client.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let client = Arc::new(client);
        let (near, far) = pair().await;
        tokio::join!(node.accept(far), async {
            if let Ok(mut stream) = testing::connect(client, near).await {
                let _ = stream.read_u8().await;
            }
        })
        .0
        .is_err()
    }

    #[tokio::test]
    async fn nodes_know_each_other_and_talk() {
        let authority = TestAuthority::new();
        let (one, two) = (node(&authority, authority.node()), node(&authority, authority.node()));
        let (near, far) = pair().await;
        let (accepted, connected) =
            tokio::join!(one.tls.as_ref().unwrap().accept(far), two.tls.as_ref().unwrap().connect(near));
        let ((mut at_one, client), (mut at_two, server)) = (accepted.unwrap(), connected.unwrap());
        assert_eq!((client, server), (two.leaf.identity(), one.leaf.identity()));
        assert_eq!(one.tls.unwrap().identity(), one.leaf.identity());
        at_two.write_all(b"hello").await.unwrap();
        at_two.flush().await.unwrap();
        let mut heard = [0; 5];
        at_one.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[tokio::test]
    async fn both_sides_of_a_connection_have_the_same_exporter_and_no_other_connection_has_it() {
        let authority = TestAuthority::new();
        let (one, two) = (node(&authority, authority.node()), node(&authority, authority.node()));
        let (one, two) = (one.tls.unwrap(), two.tls.unwrap());
        let connect = async || {
            let (near, far) = pair().await;
            let (accepted, connected) = tokio::join!(one.accept(far), two.connect(near));
            (accepted.unwrap().0.exporter(), connected.unwrap().0.exporter())
        };
        let (first, second) = (connect().await, connect().await);
        assert_eq!(first.0, first.1);
        assert_eq!(second.0, second.1);
        assert_ne!(first, second);
    }

    #[tokio::test]
    async fn the_peer_port_refuses_other_certificates() {
        let authority = TestAuthority::new();
        let node = node(&authority, authority.node()).tls.unwrap();
        let usages = |usages: &[_]| LeafOptions { usages: Some(usages.to_vec()), ..LeafOptions::default() };
        let outsiders = [
            Leaf::self_signed(),
            Leaf::of(&rcgen::PKCS_ED25519, usages(&[ServerAuth, ClientAuth])),
            TestAuthority::new().node(),
            authority.issue(usages(&[ClientAuth])),
            authority.issue(usages(&[ServerAuth])),
            authority.issue(usages(&[])),
            authority.issue(LeafOptions { expired: true, ..usages(&[ServerAuth, ClientAuth]) }),
        ];
        for (number, leaf) in outsiders.iter().enumerate() {
            let client = testing::client(vec![leaf.der()], Some(leaf.key()), None, &[&TLS13]);
            assert!(refuses(&node, client).await, "outsider {number}");
        }
        assert!(refuses(&node, testing::client(Vec::new(), None, None, &[&TLS13])).await);
        let insider = authority.node();
        let outdated = testing::client(vec![insider.der()], Some(insider.key()), None, &[&TLS12]);
        assert!(refuses(&node, outdated).await, "TLS 1.2");
    }

    #[tokio::test]
    async fn both_sides_require_the_protocol_between_nodes() {
        let authority = TestAuthority::new();
        let (one, two) = (authority.node(), authority.node());
        let client = testing::client(vec![two.der()], Some(two.key()), None, &[&TLS13]);
        let one = node(&authority, one).tls.unwrap();
        let (near, far) = pair().await;
        let mut both = Arc::unwrap_or_clone(Arc::clone(&client));
        both.alpn_protocols = vec![b"h2".to_vec(), KEYRAFT_PEER.to_vec()];
        let (accepted, _connected) = tokio::join!(one.accept(far), testing::connect(Arc::new(both), near));
        assert!(accepted.is_ok());
        let unlike: [&[&[u8]]; 3] = [&[], &[b"h2"], &[b"http/1.1", b"keyraft-peer/2"]];
        for others in unlike {
            assert!(refuses_protocol(&one, Arc::clone(&client), others).await, "{others:?}");
        }
        for others in [Vec::new(), vec![b"h2".to_vec()]] {
            let mut server = Arc::unwrap_or_clone(Arc::clone(&one.current.load().server));
            server.alpn_protocols = others;
            let (near, far) = pair().await;
            let (_, connected) = tokio::join!(TlsAcceptor::from(Arc::new(server)).accept(far), one.connect(near));
            assert!(connected.is_err());
        }
    }

    #[tokio::test]
    async fn a_node_connects_to_nodes_only() {
        let (ours, theirs) = (TestAuthority::new(), TestAuthority::new());
        let (one, stranger) = (node(&ours, ours.node()).tls.unwrap(), node(&theirs, theirs.node()).tls.unwrap());
        let (near, far) = pair().await;
        let (_, connected) = tokio::join!(stranger.accept(far), one.connect(near));
        assert!(connected.is_err());
    }

    #[test]
    fn an_encrypted_peer_key_is_refused() {
        let authority = TestAuthority::new();
        let (_folder, cert, key, ca) = testing::write(&authority.node(), Some(&authority.pem()));
        std::fs::copy("tests/vectors/encrypted_keys/ec-aes256.key", &key).unwrap();
        let error = PeerTls::load(&cert, &key, &ca).unwrap_err().to_string();
        assert!(error.contains("cluster.tls has no password") && error.contains("openssl pkey -in"), "{error}");
    }

    #[test]
    fn a_certificate_that_peers_would_refuse_is_refused_at_load() {
        let authority = TestAuthority::new();
        for leaf in [authority.client(), Leaf::self_signed()] {
            let refused = node(&authority, leaf).tls.unwrap_err();
            assert!(matches!(refused.error, TlsError::NotForPeers { .. }), "{refused}");
            assert_eq!(refused.setting, "cluster.tls.cert");
        }
    }
}
