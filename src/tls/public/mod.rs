//! The TLS acceptor of the public API, and the identity of each client.

pub mod proxied;
pub mod verifier;

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use self::proxied::ForwardedError;
use self::verifier::PublicVerifier;
use super::certificate::dates::{CertificateUsage, DAY, DatedCertificate, log_date_warnings};
use super::certificate::identity::{CertificateError, identity_of};
use super::certified::certified;
use super::common::{H2, HTTP_1_1, provider, without_resumption};
use super::files::error::{SettingError, TlsError};
use super::files::material::{self, Material};
use super::files::{self, Fingerprint};
use super::peer::PeerTls;
use super::reload::{Reload, follow};
use super::verify::{now, verify_client_chain};
use crate::config::TlsConfig;
use crate::policy::Identity;

/// An encrypted connection from a client.
pub type PublicStream<S = TcpStream> = tokio_rustls::server::TlsStream<S>;

/// A client's connection after the handshake.
pub struct Accepted<S = TcpStream> {
    /// The connection.
    pub stream: PublicStream<S>,
    /// Who the client is. `None` for a client without a certificate, if the settings let those in.
    pub client: Result<Option<Identity>, CertificateError>,
    /// Whether both sides agreed on HTTP/2. Otherwise they speak HTTP/1.1.
    pub h2: bool,
}

/// The TLS settings of the public listener. The node can replace them, and reads their files again when they change.
pub struct PublicTls {
    sources: Mutex<PublicSettings>,
    current: ArcSwap<PublicHandshake>,
    peers: Option<Arc<PeerTls>>,
}

/// The settings, and a fingerprint of their files.
#[derive(Clone)]
struct PublicSettings {
    config: TlsConfig,
    skip_auth_somewhere: bool,
    seen: Fingerprint,
}

/// What new handshakes use.
struct PublicHandshake {
    server: Arc<ServerConfig>,
    roots: Option<Arc<RootCertStore>>,
    certificates: Vec<DatedCertificate>,
}

impl PublicTls {
    /// Reads the files of `config`. If any route skips authentication, the handshake also accepts clients without a
    /// certificate.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn load(config: &TlsConfig, skip_auth_somewhere: bool) -> Result<Self, SettingError> {
        Self::load_beside(config, skip_auth_somewhere, None)
    }

    /// Does the same as [`PublicTls::load`], and refuses the certificates of nodes: those are for the peer port.
    ///
    /// # Errors
    /// As for [`PublicTls::load`].
    pub fn load_beside(
        config: &TlsConfig,
        skip_auth_somewhere: bool,
        peers: Option<Arc<PeerTls>>,
    ) -> Result<Self, SettingError> {
        let sources = PublicSettings::new(config, skip_auth_somewhere);
        let current = ArcSwap::from_pointee(sources.read(peers.as_ref())?);
        Ok(Self { sources: Mutex::new(sources), current, peers })
    }

    /// Returns the certificates in use here and among peers, with their dates.
    pub fn certificates(&self) -> Vec<DatedCertificate> {
        let mut all = self.current.load().certificates.clone();
        all.extend(self.peers.iter().flat_map(|peers| peers.certificates()));
        all
    }

    /// Reads the files again. Open connections stay. On an error everything stays as it was.
    ///
    /// # Errors
    /// As for [`PublicTls::load`].
    pub fn reload(&self) -> Result<(), SettingError> {
        let PublicSettings { config, skip_auth_somewhere, .. } = self.sources.lock().clone();
        self.reconfigure(&config, skip_auth_somewhere)
    }

    /// Takes over another configuration. Open connections stay. On an error everything stays as it was.
    ///
    /// # Errors
    /// As for [`PublicTls::load`].
    pub fn reconfigure(&self, config: &TlsConfig, skip_auth_somewhere: bool) -> Result<(), SettingError> {
        let sources = PublicSettings::new(config, skip_auth_somewhere);
        let mut held = self.sources.lock();
        self.current.store(Arc::new(sources.read(self.peers.as_ref())?));
        *held = sources;
        Ok(())
    }

    /// Reads the files again whenever they change. Never ends.
    pub async fn follow(self: Arc<Self>) {
        follow(self, "public").await;
    }

    /// Logs each day which certificates, here and among peers, an operator must renew. Never ends.
    pub async fn warn_daily(self: Arc<Self>) {
        loop {
            tokio::time::sleep(DAY).await;
            log_date_warnings(&self.certificates());
        }
    }

    /// Shakes hands with a client. The caller must limit the time, since the client sets the pace.
    ///
    /// # Errors
    /// The handshake failed, for example because the client sent no certificate.
    pub async fn accept<S>(&self, tcp: S) -> io::Result<Accepted<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let server = Arc::clone(&self.current.load().server);
        let stream = TlsAcceptor::from(server).accept(tcp).await?;
        let session = stream.get_ref().1;
        let client = session.peer_certificates().map(identity_of).transpose();
        let h2 = session.alpn_protocol() == Some(H2);
        Ok(Accepted { stream, client, h2 })
    }

    /// Verifies the certificate that a proxy forwards as if the client had connected itself, and returns its identity.
    ///
    /// # Errors
    /// The header does not hold a certificate, or holds one that `tls.auth: on` refuses.
    pub fn forwarded_identity(&self, header: &[u8]) -> Result<Identity, ForwardedError> {
        let chain = proxied::chain(header)?;
        if self.peers.as_ref().is_some_and(|peers| peers.is_of_node(&chain[0], &chain[1..], now())) {
            return Err(ForwardedError::Untrusted);
        }
        if let Some(roots) = &self.current.load().roots {
            let algorithms = provider().signature_verification_algorithms;
            verify_client_chain(roots, &algorithms, &chain[0], &chain[1..], now())
                .map_err(|_| ForwardedError::Untrusted)?;
        }
        identity_of(&chain).map_err(ForwardedError::NoIdentity)
    }
}

impl Reload for PublicTls {
    fn certificates(&self) -> Vec<DatedCertificate> {
        self.current.load().certificates.clone()
    }

    fn reload_if_changed(&self) -> Result<bool, SettingError> {
        {
            let mut sources = self.sources.lock();
            let found = sources.fingerprint();
            if std::mem::replace(&mut sources.seen, found) == found {
                return Ok(false);
            }
        }
        self.reload().map(|()| true)
    }
}

impl PublicSettings {
    fn new(config: &TlsConfig, skip_auth_somewhere: bool) -> Self {
        let mut sources = Self { config: config.clone(), skip_auth_somewhere, seen: Fingerprint::default() };
        sources.seen = sources.fingerprint();
        sources
    }

    fn fingerprint(&self) -> Fingerprint {
        let ca = self.config.verify_clients.then_some(self.config.ca.as_deref()).flatten();
        files::fingerprint([self.config.key.as_path(), &self.config.cert].into_iter().chain(ca))
    }

    fn read(&self, peers: Option<&Arc<PeerTls>>) -> Result<PublicHandshake, SettingError> {
        let Material { chain, key, roots, certificates } = material::TlsFiles::of_api(&self.config).load()?;
        let roots = roots.map(Arc::new);
        let provider = provider();
        let verifier = PublicVerifier {
            mandatory: !self.skip_auth_somewhere,
            roots: roots.clone(),
            peers: peers.cloned(),
            algorithms: provider.signature_verification_algorithms,
        };
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                let builder = builder.with_client_cert_verifier(Arc::new(verifier));
                certified(chain, key).map(|own| builder.with_cert_resolver(own))
            })
            .map_err(|error| SettingError {
                setting: CertificateUsage::Api.setting(),
                error: TlsError::unusable(&self.config.cert, error),
            })?;
        server.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        without_resumption(&mut server);
        Ok(PublicHandshake { server: Arc::new(server), roots, certificates })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm};
    use rustls::SignatureScheme;
    use rustls::pki_types::CertificateDer;
    use rustls::version::{TLS12, TLS13};
    use tempfile::TempDir;

    use super::*;
    use crate::config::Password;
    use crate::tls::testing::{self, Leaf, LeafOptions, TestAuthority, pair};

    struct TestListener {
        tls: PublicTls,
        config: TlsConfig,
        _folder: TempDir,
    }

    fn server(ca: Option<&TestAuthority>, skip_auth_somewhere: bool) -> TestListener {
        let pem = ca.map(TestAuthority::pem);
        let (folder, cert, key, roots) = testing::write(&Leaf::self_signed(), pem.as_deref());
        let config = TlsConfig {
            key,
            cert,
            password: None,
            verify_clients: ca.is_some(),
            ca: ca.map(|_| roots),
            proxies: Vec::new(),
            proxy_header: None,
        };
        TestListener { tls: PublicTls::load(&config, skip_auth_somewhere).unwrap(), config, _folder: folder }
    }

    impl TestListener {
        /// The same listener of a node that has this TLS for its peers.
        fn beside(self, peers: PeerTls) -> Self {
            let tls = PublicTls::load_beside(&self.config, false, Some(Arc::new(peers))).unwrap();
            Self { tls, ..self }
        }

        /// Connects a client with this certificate and key.
        async fn accept_client(
            &self,
            chain: Vec<CertificateDer<'static>>,
            leaf: Option<&Leaf>,
        ) -> io::Result<Accepted> {
            self.accept_from(testing::client(chain, leaf.map(Leaf::key), None, &[&TLS13, &TLS12])).await
        }

        async fn accept_from(&self, client: Arc<rustls::ClientConfig>) -> io::Result<Accepted> {
            let (near, far) = pair().await;
            let (accepted, _client) = tokio::join!(self.tls.accept(far), testing::connect(client, near));
            accepted
        }
    }

    #[tokio::test]
    async fn the_server_accepts_every_kind_of_key_in_both_versions() {
        use SignatureScheme as S;
        let server = server(None, false);
        let kinds: [(&SignatureAlgorithm, &[SignatureScheme]); 4] = [
            (&PKCS_ED25519, &[S::ED25519]),
            (&PKCS_ECDSA_P256_SHA256, &[S::ECDSA_NISTP256_SHA256]),
            (&PKCS_ECDSA_P384_SHA384, &[S::ECDSA_NISTP384_SHA384]),
            (&PKCS_RSA_SHA256, &[S::RSA_PSS_SHA256, S::RSA_PSS_SHA512, S::RSA_PKCS1_SHA256, S::RSA_PKCS1_SHA512]),
        ];
        for (algorithm, schemes) in kinds {
            let leaf = Leaf::of(algorithm, LeafOptions::default());
            for scheme in schemes {
                for version in [&TLS12, &TLS13] {
                    if version.version == rustls::ProtocolVersion::TLSv1_3 && format!("{scheme:?}").contains("PKCS1") {
                        continue;
                    }
                    let client = testing::client(vec![leaf.der()], Some(leaf.key()), Some(*scheme), &[version]);
                    let accepted = server.accept_from(client).await.unwrap();
                    assert_eq!(accepted.client, Ok(Some(leaf.identity())), "{scheme:?} in {version:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn with_auth_off_a_certificate_only_proves_its_key() {
        let server = server(None, false);
        let odd = [
            LeafOptions { expired: true, ..LeafOptions::default() },
            LeafOptions { critical_extension: true, ..LeafOptions::default() },
            LeafOptions { usages: Some(Vec::new()), ..LeafOptions::default() },
        ];
        for odd in odd {
            let leaf = Leaf::of(&PKCS_ED25519, odd);
            for version in [&TLS12, &TLS13] {
                let client = testing::client(vec![leaf.der()], Some(leaf.key()), None, &[version]);
                assert_eq!(server.accept_from(client).await.unwrap().client, Ok(Some(leaf.identity())));
            }
        }
    }

    #[tokio::test]
    async fn a_client_cannot_use_the_certificate_of_another() {
        let server = server(None, true);
        let (thief, victim) = (Leaf::self_signed(), Leaf::self_signed());
        for version in [&TLS12, &TLS13] {
            let client = testing::client(vec![victim.der()], Some(thief.key()), None, &[version]);
            assert!(server.accept_from(client).await.is_err());
        }
    }

    #[tokio::test]
    async fn with_auth_on_the_chain_must_verify() {
        let authority = TestAuthority::new();
        let server = server(Some(&authority), false);
        let good = authority.client();
        let expired = authority.issue(LeafOptions { expired: true, ..LeafOptions::default() });
        let stranger = Leaf::self_signed();
        assert_eq!(
            server.accept_client(vec![good.der()], Some(&good)).await.unwrap().client,
            Ok(Some(good.identity()))
        );
        let chain = vec![good.der(), authority.der()];
        assert_eq!(server.accept_client(chain, Some(&good)).await.unwrap().client, Ok(Some(good.identity())));
        assert!(server.accept_client(vec![expired.der()], Some(&expired)).await.is_err());
        assert!(server.accept_client(vec![stranger.der()], Some(&stranger)).await.is_err());
    }

    #[tokio::test]
    async fn with_auth_on_certificates_made_by_openssl_are_accepted() {
        use rcgen::ExtendedKeyUsagePurpose::{Any, ServerAuth};
        let authority = TestAuthority::new();
        let server = server(Some(&authority), false);
        let issue =
            |usages: &[_]| authority.issue(LeafOptions { usages: Some(usages.to_vec()), ..LeafOptions::default() });
        let as_issued = |leaf: Leaf| (leaf.der(), leaf);
        let old = |authority: &TestAuthority, leaf: Leaf| (authority.old(&leaf.der()), leaf);
        let good = [old(&authority, authority.client()), as_issued(issue(&[Any])), as_issued(issue(&[]))];
        let other = TestAuthority::new();
        let bad = [old(&other, other.client()), as_issued(issue(&[ServerAuth]))];
        for version in [&TLS12, &TLS13] {
            let meets = async |(certificate, leaf): &(CertificateDer<'static>, Leaf)| {
                let client = testing::client(vec![certificate.clone()], Some(leaf.key()), None, &[version]);
                server.accept_from(client).await.map(|accepted| accepted.client)
            };
            for client in &good {
                assert_eq!(meets(client).await.unwrap(), Ok(Some(client.1.identity())));
            }
            for client in &bad {
                assert!(meets(client).await.is_err());
            }
            let thief = (good[0].0.clone(), Leaf::self_signed());
            assert!(meets(&thief).await.is_err(), "an old certificate with another key");
        }
    }

    #[tokio::test]
    async fn a_trusted_ca_certificate_connects_and_does_not_identify_a_client() {
        let authority = TestAuthority::new();
        let issue = |expired| authority.issue(LeafOptions { is_ca: true, expired, ..LeafOptions::default() });
        let stranger = Leaf::of(&rcgen::PKCS_ECDSA_P256_SHA256, LeafOptions { is_ca: true, ..LeafOptions::default() });
        for version in [&TLS12, &TLS13] {
            let meets = async |server: &TestListener, leaf: &Leaf| {
                let client = testing::client(vec![leaf.der()], Some(leaf.key()), None, &[version]);
                server.accept_from(client).await.map(|accepted| accepted.client)
            };
            for ca in [None, Some(&authority)] {
                let met = meets(&server(ca, false), &issue(false)).await;
                assert_eq!(met.unwrap(), Err(CertificateError::Authority), "auth on: {}", ca.is_some());
            }
            for refused in [&issue(true), &stranger] {
                assert!(meets(&server(Some(&authority), false), refused).await.is_err());
            }
        }
    }

    #[tokio::test]
    async fn two_client_certificates_are_one_too_many() {
        let server = server(None, false);
        let (one, two) = (Leaf::self_signed(), Leaf::self_signed());
        let accepted = server.accept_client(vec![one.der(), two.der()], Some(&one)).await.unwrap();
        assert_eq!(accepted.client, Err(CertificateError::Several));
    }

    #[tokio::test]
    async fn clients_without_a_certificate_connect_only_if_a_route_skips_authentication() {
        assert!(server(None, false).accept_client(Vec::new(), None).await.is_err());
        assert_eq!(server(None, true).accept_client(Vec::new(), None).await.unwrap().client, Ok(None));
        let authority = TestAuthority::new();
        assert_eq!(server(Some(&authority), true).accept_client(Vec::new(), None).await.unwrap().client, Ok(None));
    }

    #[tokio::test]
    async fn the_protocol_follows_the_clients_offer() {
        let server = server(None, true);
        for (offer, h2) in [(vec![H2], true), (vec![HTTP_1_1], false), (vec![HTTP_1_1, H2], true), (vec![], false)] {
            let mut client = testing::client(Vec::new(), None, None, &[&TLS13]);
            Arc::get_mut(&mut client).unwrap().alpn_protocols = offer.iter().map(|name| name.to_vec()).collect();
            assert_eq!(server.accept_from(client).await.unwrap().h2, h2);
        }
    }

    #[tokio::test]
    async fn a_certificate_that_the_peers_ca_issued_to_a_node_is_refused() {
        let authority = TestAuthority::new();
        let (own, another, client) = (authority.node(), authority.node(), authority.client());
        let (_folder, files) = testing::peer_files(&own, Some(&authority.pem()));
        let server = server(None, false).beside(PeerTls::load(&files).unwrap());
        for node in [own, another] {
            assert!(server.accept_client(vec![node.der()], Some(&node)).await.is_err());
        }
        assert!(server.accept_client(vec![client.der()], Some(&client)).await.is_ok());
    }

    #[tokio::test]
    async fn without_a_peers_ca_every_certificate_with_the_key_of_a_member_is_refused() {
        let [own, member, client] = [(); 3].map(|()| Leaf::self_signed());
        let (_folder, files) = testing::peer_files(&own, None);
        let peers = PeerTls::load(&files).unwrap();
        let server = server(None, false).beside(peers);
        let refused = async |leaf: &Leaf| {
            let other_certificate = leaf.renewed();
            let by_proxy = escaped(&other_certificate);
            let over_tls = server.accept_client(vec![other_certificate], Some(leaf)).await.is_err();
            let forwarded = server.tls.forwarded_identity(by_proxy.as_bytes());
            assert_eq!(over_tls, forwarded == Err(ForwardedError::Untrusted), "{forwarded:?}");
            over_tls
        };
        assert!(refused(&own).await);
        assert!(!refused(&member).await, "the node does not know its cluster yet");
        server.tls.peers.as_ref().unwrap().set_members([own.identity(), member.identity()]);
        assert!(refused(&own).await && refused(&member).await);
        assert!(!refused(&client).await);
    }

    fn escaped(certificate: &CertificateDer<'_>) -> String {
        let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, certificate);
        format!("-----BEGIN CERTIFICATE-----%0A{base64}%0A-----END CERTIFICATE-----")
    }

    #[tokio::test]
    async fn changed_files_are_noticed_and_broken_ones_change_nothing() {
        let server = server(None, true);
        assert!(!server.tls.reload_if_changed().unwrap());
        let before = server.tls.current.load_full();
        std::fs::write(&server.config.cert, "half a file").unwrap();
        assert!(server.tls.reload_if_changed().is_err());
        assert!(!server.tls.reload_if_changed().unwrap(), "a broken file is reported once");
        assert!(Arc::ptr_eq(&before, &server.tls.current.load_full()));
        assert!(server.accept_client(Vec::new(), None).await.is_ok());

        let renewed = Leaf::self_signed();
        std::fs::write(&server.config.cert, renewed.pem()).unwrap();
        std::fs::write(&server.config.key, renewed.key_pem()).unwrap();
        assert!(server.tls.reload_if_changed().unwrap());
        let client = testing::client(Vec::new(), None, None, &[&TLS13]);
        let (near, far) = pair().await;
        let (_, stream) = tokio::join!(server.tls.accept(far), testing::connect(client, near));
        assert_eq!(stream.unwrap().get_ref().1.peer_certificates().unwrap()[0], renewed.der());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let server = server(None, true);
        std::fs::write(&server.config.key, Leaf::self_signed().key_pem()).unwrap();
        let refused = server.tls.reload().unwrap_err();
        assert!(matches!(refused.error, TlsError::OtherKey { .. }), "{refused}");
        assert_eq!(refused.setting, "tls.key");
    }

    fn refused(server: &TestListener) -> TlsError {
        PublicTls::load(&server.config, true).err().unwrap().error
    }

    #[test]
    fn an_encrypted_key_needs_its_password() {
        use pkcs8::pkcs5::pbes2;
        let mut server = server(None, true);
        let leaf = Leaf::self_signed();
        let parameters = pbes2::Parameters::pbkdf2_sha256_aes256cbc(2, b"salt1234", &[7; 16]).unwrap();
        let sealed = pkcs8::PrivateKeyInfo::try_from(leaf.key().secret_der())
            .unwrap()
            .encrypt_with_params(parameters, "secret")
            .unwrap();
        let pem = sealed.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).unwrap();
        std::fs::write(&server.config.key, pem.as_bytes()).unwrap();
        std::fs::write(&server.config.cert, leaf.pem()).unwrap();
        assert!(matches!(refused(&server), TlsError::PasswordNeeded(_)));
        server.config.password = Some(Password("wrong".to_owned()));
        assert!(matches!(refused(&server), TlsError::WrongPassword(_)));
        server.config.password = Some(Password("secret".to_owned()));
        assert!(PublicTls::load(&server.config, true).is_ok());
        std::fs::copy("tests/vectors/encrypted_keys/ec-unknown.key", &server.config.key).unwrap();
        let unknown = refused(&server);
        assert!(matches!(unknown, TlsError::UnknownEncryption(_)) && unknown.to_string().contains("-v2 aes-256-cbc"));
    }
}
