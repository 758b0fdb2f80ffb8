//! Mutual TLS 1.3 between nodes. The cluster knows each node by its key; with `cluster.tls.ca`, the nodes also check
//! who issued the certificates.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, ConnectionCommon, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::certificate;
use super::certificate::dates::{CertificateUsage, DatedCertificate};
use super::certified::certified;
use super::common::{KEYRAFT_PEER, provider, without_resumption};
use super::files::error::{SettingError, TlsError};
use super::files::material::{Material, TlsFiles};
use super::files::{self, Fingerprint};
use super::peer_key::{PeerKey, PeerKeyError};
use super::reload::{Reload, follow};
use super::verify::peers::PeerVerifier;
use crate::config::PeerTlsConfig;
use crate::policy::Identity;
use crate::socket::peer::Stream;

/// The server name that a node sends when it connects. TLS needs one, and no node checks it.
const NAME: &str = "keyraft-peer";

/// The label under which both sides derive [`PeerSession::exporter`].
const EXPORTER: &[u8] = b"EXPORTER-keyraft-peer-v1";

/// An encrypted connection to or from another node.
pub type PeerStream = tokio_rustls::TlsStream<Stream>;

/// A connection to or from another node after the TLS handshake.
pub struct PeerSession {
    /// The connection.
    pub stream: PeerStream,
    /// The key of the other node, which the handshake proved.
    pub key: Identity,
    /// The TLS exporter (RFC 8446, section 7.5) under a label of the protocol between nodes. It is the same on both sides
    /// and different on every connection, so what a node signs over it holds on this connection alone.
    pub exporter: [u8; 32],
}

/// A node's TLS for its peers. If the configuration names files, the node reads them again when they change.
pub struct PeerTls {
    /// `None` if the node made its key itself.
    files: Option<PeerTlsConfig>,
    current: ArcSwap<PeerHandshake>,
    seen: Mutex<Fingerprint>,
    /// The keys of the members of the cluster, as far as this node knows them.
    members: ArcSwap<HashSet<Identity>>,
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
    /// Reads this node's certificate and key, and the CA that issued the certificates of all nodes, if the settings name
    /// one.
    ///
    /// # Errors
    /// A file cannot be read or used, or the other nodes would refuse the certificate.
    pub fn load(files: &PeerTlsConfig) -> Result<Self, SettingError> {
        let seen = fingerprint(files);
        Ok(Self { files: Some(files.clone()), seen: Mutex::new(seen), ..Self::of(read(files)?) })
    }

    /// Uses the key that this node made itself.
    ///
    /// # Errors
    /// The cryptographic library refused.
    pub fn of_own_key(key: &PeerKey) -> Result<Self, PeerKeyError> {
        let verifier = PeerVerifier::of_keys();
        Ok(Self::of(handshake(vec![key.certificate()?], key.private_key(), verifier, Vec::new())?))
    }

    fn of(handshake: PeerHandshake) -> Self {
        let (current, seen) = (ArcSwap::from_pointee(handshake), Mutex::default());
        Self { files: None, current, seen, members: ArcSwap::default() }
    }

    /// Returns the identity of this node's own key.
    pub fn identity(&self) -> Identity {
        self.current.load().identity
    }

    /// Returns the certificates in use that come from files, with their dates.
    pub fn certificates(&self) -> Vec<DatedCertificate> {
        self.current.load().certificates.clone()
    }

    /// Notes the keys of the members, whose certificates the API then refuses.
    pub fn set_members(&self, keys: impl IntoIterator<Item = Identity>) {
        self.members.store(Arc::new(keys.into_iter().collect()));
    }

    /// Reads the files again, if the configuration names any. Open connections stay. On an error everything stays as it
    /// was.
    ///
    /// # Errors
    /// As for [`PeerTls::load`]. It also refuses a certificate with another key: the other nodes know this node by its
    /// key, so a renewed certificate must keep it.
    pub fn reload(&self) -> Result<(), SettingError> {
        let Some(files) = &self.files else { return Ok(()) };
        let read = read(files)?;
        if read.identity != self.identity() {
            return Err(in_cert(TlsError::OtherPeerKey(files.cert.clone())));
        }
        self.current.store(Arc::new(read));
        Ok(())
    }

    /// Reads the files again whenever they change. Ends only if the configuration names no files.
    pub async fn follow(self: Arc<Self>) {
        if self.files.is_some() {
            follow(self, "peer").await;
        }
    }

    /// Shakes hands with a node that connected. The caller must limit the time, since the other side sets the pace.
    ///
    /// # Errors
    /// The handshake failed, for example because the peers' CA did not issue the other side's certificate.
    pub async fn accept(&self, tcp: Stream) -> io::Result<PeerSession> {
        let server = Arc::clone(&self.current.load().server);
        let stream = TlsAcceptor::from(server).accept(tcp).await?;
        speaks_peer_protocol(stream.get_ref().1.alpn_protocol())?;
        let key = proven(stream.get_ref().1.peer_certificates())?;
        let exporter = exporter(stream.get_ref().1)?;
        Ok(PeerSession { stream: stream.into(), key, exporter })
    }

    /// Shakes hands with a node that this one connected to. Only the first read shows whether that node accepts this
    /// one.
    ///
    /// # Errors
    /// The handshake failed, for example because the peers' CA did not issue the other side's certificate.
    pub async fn connect(&self, tcp: Stream) -> io::Result<PeerSession> {
        let client = Arc::clone(&self.current.load().client);
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let stream = TlsConnector::from(client).connect(name, tcp).await?;
        speaks_peer_protocol(stream.get_ref().1.alpn_protocol())?;
        let key = proven(stream.get_ref().1.peer_certificates())?;
        let exporter = exporter(stream.get_ref().1)?;
        Ok(PeerSession { stream: stream.into(), key, exporter })
    }

    /// Whether this is the certificate of a node: its key is this node's or a member's, or the peers' CA issued it to a
    /// node.
    pub(super) fn is_of_node(&self, leaf: &CertificateDer<'_>, between: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let current = self.current.load();
        let known = key_of(leaf).is_ok_and(|key| key == current.identity || self.members.load().contains(&key));
        known || current.verifier.issued_to_node(leaf, between, now)
    }
}

impl Reload for PeerTls {
    fn certificates(&self) -> Vec<DatedCertificate> {
        self.certificates()
    }

    fn reload_if_changed(&self) -> Result<bool, SettingError> {
        let found = self.files.as_ref().map(fingerprint).unwrap_or_default();
        if std::mem::replace(&mut *self.seen.lock(), found) == found {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }
}

fn fingerprint(files: &PeerTlsConfig) -> Fingerprint {
    let PeerTlsConfig { cert, key, ca } = files;
    files::fingerprint([cert.as_path(), key].into_iter().chain(ca.as_deref()))
}

fn read(files: &PeerTlsConfig) -> Result<PeerHandshake, SettingError> {
    let Material { chain, key, roots, certificates } = TlsFiles::of_peers(files).load()?;
    let verifier = roots.map_or_else(PeerVerifier::of_keys, PeerVerifier::of_authority);
    handshake(chain, key, verifier, certificates).map_err(|error| in_cert(TlsError::unusable(&files.cert, error)))
}

fn in_cert(error: TlsError) -> SettingError {
    SettingError { setting: CertificateUsage::Peer.setting(), error }
}

fn handshake(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    verifier: PeerVerifier,
    certificates: Vec<DatedCertificate>,
) -> Result<PeerHandshake, rustls::Error> {
    let identity = key_of(chain.first().ok_or(rustls::Error::NoCertificatesPresented)?)?;
    let own = certified(chain, key)?;
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier.clone()))
        .with_cert_resolver(Arc::clone(&own) as _);
    server.alpn_protocols = vec![KEYRAFT_PEER.to_vec()];
    without_resumption(&mut server);
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier.clone()))
        .with_client_cert_resolver(own);
    client.alpn_protocols = vec![KEYRAFT_PEER.to_vec()];
    client.resumption = Resumption::disabled();
    Ok(PeerHandshake { server: Arc::new(server), client: Arc::new(client), verifier, identity, certificates })
}

/// Refuses a connection for which both sides did not agree on the protocol between nodes. Where one side names no
/// protocol, TLS itself refuses nothing.
fn speaks_peer_protocol(agreed: Option<&[u8]>) -> io::Result<()> {
    if agreed == Some(KEYRAFT_PEER) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, rustls::Error::NoApplicationProtocol))
}

/// Returns the identity of the other side: the handshake proved that it holds the key of its first certificate.
fn proven(chain: Option<&[CertificateDer<'_>]>) -> io::Result<Identity> {
    let first = chain.and_then(|chain| chain.first()).ok_or(rustls::Error::NoCertificatesPresented);
    first.and_then(key_of).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn key_of(certificate: &CertificateDer<'_>) -> Result<Identity, rustls::Error> {
    Ok(Identity::of_public_key(certificate::read(certificate)?.spki))
}

fn exporter<Side>(connection: &ConnectionCommon<Side>) -> io::Result<[u8; 32]> {
    connection.export_keying_material([0; 32], EXPORTER, None).map_err(io::Error::other)
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTls").field("identity", &self.identity()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    use rustls::version::{TLS12, TLS13};
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::tls::handshake_failure;
    use crate::tls::testing::{self, Leaf, LeafOptions, TestAuthority, pair};

    struct TestNode {
        tls: Result<PeerTls, SettingError>,
        _folder: TempDir,
    }

    fn node(authority: &TestAuthority, leaf: Leaf) -> TestNode {
        let (folder, files) = testing::peer_files(&leaf, Some(&authority.pem()));
        TestNode { tls: PeerTls::load(&files), _folder: folder }
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
        tokio::join!(async { node.accept(far).await.is_err() }, async {
            if let Ok(mut stream) = testing::connect(client, near).await {
                let _ = stream.read_u8().await;
            }
        })
        .0
    }

    /// Connects `two` to `one`. Returns what each of them says about the other.
    async fn connect(one: &PeerTls, two: &PeerTls) -> [io::Result<PeerSession>; 2] {
        let (near, far) = pair().await;
        let (accepted, connected) = tokio::join!(one.accept(far), two.connect(near));
        [accepted, connected]
    }

    #[tokio::test]
    async fn nodes_know_each_other_and_talk() {
        let authority = TestAuthority::new();
        let [one, two] = [(); 2].map(|()| node(&authority, authority.node()).tls.unwrap());
        let [three, four] = [(); 2].map(|()| testing::node_with_own_key());
        for (one, two) in [(one, two), (three, four)] {
            let [accepted, connected] = connect(&one, &two).await;
            let (mut at_one, mut at_two) = (accepted.unwrap(), connected.unwrap());
            assert_eq!((at_one.key, at_two.key), (two.identity(), one.identity()));
            at_two.stream.write_all(b"hello").await.unwrap();
            at_two.stream.flush().await.unwrap();
            let mut heard = [0; 5];
            at_one.stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"hello");
        }
    }

    #[tokio::test]
    async fn without_a_ca_any_certificate_will_do_and_its_key_counts() {
        let options = LeafOptions { expired: true, is_ca: true, usages: Some(Vec::new()), ..LeafOptions::default() };
        let leaf = Leaf::of(&rcgen::PKCS_ECDSA_P384_SHA384, options);
        let (_folder, files) = testing::peer_files(&leaf, None);
        let (one, two) = (PeerTls::load(&files).unwrap(), testing::node_with_own_key());
        assert_eq!(one.identity(), leaf.identity());
        let [accepted, connected] = connect(&one, &two).await;
        assert_eq!((accepted.unwrap().key, connected.unwrap().key), (two.identity(), one.identity()));
        let chain = vec![TestAuthority::new().old(&leaf.der())];
        assert!(!refuses(&two, testing::client(chain, Some(leaf.key()), None, &[&TLS13])).await, "X.509 version 1");
    }

    #[tokio::test]
    async fn without_a_ca_a_node_refuses_the_certificate_of_a_key_that_the_other_side_lacks() {
        let (victim, node, thief) = (Leaf::self_signed(), testing::node_with_own_key(), Leaf::self_signed());
        assert!(!refuses(&node, testing::client(vec![victim.der()], Some(victim.key()), None, &[&TLS13])).await);
        for chain in [vec![victim.der()], vec![victim.der(), thief.der()]] {
            assert!(refuses(&node, testing::client(chain, Some(thief.key()), None, &[&TLS13])).await);
        }
        assert!(refuses(&node, testing::client(Vec::new(), None, None, &[&TLS13])).await, "no certificate");
        let outdated = testing::client(vec![victim.der()], Some(victim.key()), None, &[&TLS12]);
        assert!(refuses(&node, outdated).await, "TLS 1.2");
        // The key that counts is the one that the handshake proved, and that is the first.
        let (near, far) = pair().await;
        let both = testing::client(vec![thief.der(), victim.der()], Some(thief.key()), None, &[&TLS13]);
        let mut both = Arc::unwrap_or_clone(both);
        both.alpn_protocols = vec![KEYRAFT_PEER.to_vec()];
        let (accepted, _connected) = tokio::join!(node.accept(far), testing::connect(Arc::new(both), near));
        assert_eq!(accepted.unwrap().key, thief.identity());
    }

    #[tokio::test]
    async fn a_node_with_a_ca_and_one_without_see_why_they_do_not_work_together() {
        let authority = TestAuthority::new();
        let (with, without) = (node(&authority, authority.node()).tls.unwrap(), testing::node_with_own_key());
        let why = |error: io::Error| handshake_failure(&error).unwrap();
        let [accepted, connected] = connect(&with, &without).await;
        let (refuses, mut refused) = (why(accepted.err().unwrap()), connected.unwrap().stream);
        assert!(refuses.starts_with("this node refuses its certificate: the CA in cluster.tls.ca of this node"));
        let refused = why(refused.read_u8().await.unwrap_err());
        assert!(
            refused.starts_with("it refuses this node's certificate: the CA in cluster.tls.ca of that"),
            "{refused}"
        );
        let [accepted, connected] = connect(&without, &with).await;
        let [accepted, connected] = [accepted, connected].map(|result| why(result.err().unwrap()));
        assert!(connected.starts_with("this node refuses its certificate"), "{connected}");
        assert!(accepted.starts_with("it refuses this node's certificate"), "{accepted}");
    }

    #[test]
    fn a_node_that_made_its_key_has_no_files_to_read_again() {
        let node = testing::node_with_own_key();
        let own = node.identity();
        assert!(node.certificates().is_empty());
        node.reload().unwrap();
        assert!(!node.reload_if_changed().unwrap());
        assert_eq!(node.identity(), own);
    }

    #[test]
    fn a_certificate_without_a_ca_is_read_again_and_keeps_its_key() {
        let leaf = Leaf::self_signed();
        let (_folder, files) = testing::peer_files(&leaf, None);
        let node = PeerTls::load(&files).unwrap();
        std::fs::write(&files.cert, leaf.pem() + "\n").unwrap();
        assert!(node.reload_if_changed().unwrap());
        let other = Leaf::self_signed();
        std::fs::write(&files.cert, other.pem()).unwrap();
        std::fs::write(&files.key, other.key_pem()).unwrap();
        let refused = node.reload_if_changed().unwrap_err();
        assert!(matches!(refused.error, TlsError::OtherPeerKey(_)), "{refused}");
        assert_eq!((node.identity(), node.certificates().len()), (leaf.identity(), 1));
    }

    #[tokio::test]
    async fn both_sides_of_a_connection_have_the_same_exporter_and_no_other_connection_has_it() {
        let authority = TestAuthority::new();
        let [one, two] = [(); 2].map(|()| node(&authority, authority.node()).tls.unwrap());
        let mut seen = HashSet::new();
        for _ in 0..3 {
            let [accepted, connected] = connect(&one, &two).await.map(|side| side.unwrap().exporter);
            assert_eq!(accepted, connected);
            assert!(seen.insert(accepted));
        }
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
        assert!(connect(&stranger, &one).await[1].is_err());
    }

    #[test]
    fn an_encrypted_peer_key_is_refused() {
        let authority = TestAuthority::new();
        let (_folder, files) = testing::peer_files(&authority.node(), Some(&authority.pem()));
        std::fs::copy("tests/vectors/encrypted_keys/ec-aes256.key", &files.key).unwrap();
        let error = PeerTls::load(&files).unwrap_err().to_string();
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
