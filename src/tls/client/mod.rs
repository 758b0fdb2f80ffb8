//! The client's side of TLS on the public API: its credentials, and the servers that it trusts.

mod refusal;
mod server_verifier;
mod unverified;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::{ClientConfig, WantsClientCert};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ConfigBuilder, InconsistentKeys};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub use self::refusal::CertificateRefusal;
use self::server_verifier::ServerVerifier;
use self::unverified::Unverified;
use super::api_key::{ApiKey, ApiKeyError};
use super::certified::certified;
use super::common::{H2, HTTP_1_1, provider};
use super::files;
use super::files::error::TlsError;
use crate::file::Named;

/// An encrypted connection to a server.
pub type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// What a client shows to prove who it is.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// No certificate. The client may do only what a server lets everyone do.
    Nothing,
    /// The certificate that an API key stands for.
    ApiKey(ApiKey),
    /// A certificate chain and its private key, both PEM files.
    Files {
        /// The certificates.
        certificate: PathBuf,
        /// The private key, which must not be encrypted.
        key: PathBuf,
    },
}

/// Which servers a client trusts. It also trusts a server that shows one of the trusted certificates itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Servers whose chain ends in the roots of `SSL_CERT_FILE` or `SSL_CERT_DIR`, or else of the system.
    System,
    /// Servers whose chain ends in a certificate of this PEM file, or of the files in this folder.
    Ca(PathBuf),
    /// Servers that the system trusts, and those whose chain ends in a certificate of a file in this folder.
    SystemAndFolder(PathBuf),
    /// All servers, for trying things out.
    Anyone,
}

/// Which versions of HTTP a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Both; the server chooses.
    Either,
}

/// Why a client's TLS cannot be set up.
#[derive(Debug, Error)]
pub enum ClientTlsError {
    /// A file cannot be used, or the system has no roots.
    #[error("{}", without_settings(.0))]
    Files(#[source] TlsError),
    /// The API key cannot be used.
    #[error(transparent)]
    ApiKey(ApiKeyError),
    /// The certificate and the private key cannot be used.
    #[error("the client certificate and key cannot be used: {0}")]
    Credentials(#[source] rustls::Error),
}

/// A client's TLS settings; cheap to clone.
#[derive(Clone)]
pub struct ClientTls(TlsConnector);

impl ClientTls {
    /// Makes settings with these credentials, trust and protocols.
    ///
    /// # Errors
    /// A file is missing or malformed, or the system has no roots.
    pub fn new(credentials: &Credentials, trust: &Trust, alpn: Alpn) -> Result<Self, ClientTlsError> {
        let mut config = with_credentials(with_trust(trust)?, credentials)?;
        // A resumed session would not show the certificate. Besides, all connections of a measurement should cost the
        // same.
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = alpn.protocols();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Does the handshake with `host`, a DNS name or an IP address without brackets.
    ///
    /// # Errors
    /// The handshake failed, for example because the client does not trust the server's certificate.
    pub async fn connect(&self, host: &str, tcp: TcpStream) -> io::Result<ClientStream> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("'{host}' is not a host name")))?;
        self.0.connect(name, tcp).await
    }

    /// Whether the server chose HTTP/2.
    pub fn chose_http2(stream: &ClientStream) -> bool {
        stream.get_ref().1.alpn_protocol() == Some(H2)
    }
}

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Http1 => &[HTTP_1_1],
            Self::Http2 => &[H2],
            Self::Either => &[H2, HTTP_1_1],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

fn with_trust(trust: &Trust) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, ClientTlsError> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for TLS 1.2 and 1.3");
    let trusted = match trust {
        Trust::Anyone => {
            let verifier = Arc::new(Unverified(algorithms));
            return Ok(builder.dangerous().with_custom_certificate_verifier(verifier));
        }
        Trust::Ca(path) => files::trusted(path),
        Trust::SystemAndFolder(folder) => files::trusted_beside_system(folder),
        Trust::System => files::trusted_by_system(),
    };
    let verifier = ServerVerifier::new(trusted.map_err(ClientTlsError::Files)?, algorithms);
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier))
}

fn with_credentials(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    credentials: &Credentials,
) -> Result<ClientConfig, ClientTlsError> {
    let (chain, key) = match credentials {
        Credentials::Nothing => return Ok(builder.with_no_client_auth()),
        Credentials::ApiKey(api_key) => api_key_credentials(api_key)?,
        Credentials::Files { certificate, key } => {
            let chain = files::certificates(certificate, Named::ByArgument).map_err(ClientTlsError::Files)?;
            (chain, files::private_key(key, None, Named::ByArgument).map_err(ClientTlsError::Files)?)
        }
    };
    let credentials = certified(chain, key).map_err(|error| unusable(credentials, error))?;
    Ok(builder.with_client_cert_resolver(credentials))
}

fn unusable(credentials: &Credentials, error: rustls::Error) -> ClientTlsError {
    match (credentials, error) {
        (Credentials::Files { certificate, key }, rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            ClientTlsError::Files(TlsError::OtherKey { cert: certificate.clone(), key: key.clone() })
        }
        (_, error) => ClientTlsError::Credentials(error),
    }
}

fn api_key_credentials(
    api_key: &ApiKey,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ClientTlsError> {
    let made = api_key.certificate().map_err(ClientTlsError::ApiKey)?;
    let unusable = |_| ClientTlsError::ApiKey(ApiKeyError::Unusable);
    let certificate = CertificateDer::from_pem_slice(made.certificate_pem.as_bytes()).map_err(unusable)?;
    let key = PrivateKeyDer::from_pem_slice(made.key_pem.as_bytes()).map_err(unusable)?;
    Ok((vec![certificate], key))
}

/// Says what is wrong with a file. The texts of [`TlsError`] name settings, which a command does not have.
fn without_settings(error: &TlsError) -> String {
    match error {
        TlsError::NoSystemRoots => "the system has no trusted root certificates".to_owned(),
        TlsError::PasswordNeeded(path) => format!(
            "{0} is encrypted, and commands take no password: write an unencrypted copy with `openssl pkey -in {0} -out \
             NEW-FILE`, and use that",
            path.display()
        ),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rustls::sign::{CertifiedKey, SingleCertAndKey};

    use super::*;
    use crate::tls::testing;

    #[test]
    fn an_api_key_and_its_files_are_the_same_credentials() {
        let dir = tempfile::tempdir().unwrap();
        let key = ApiKey::generate().unwrap();
        let pem = key.certificate().unwrap();
        let (certificate, key_file) = (dir.path().join("c.crt"), dir.path().join("c.key"));
        std::fs::write(&certificate, &pem.certificate_pem).unwrap();
        std::fs::write(&key_file, pem.key_pem.as_bytes()).unwrap();
        let files = Credentials::Files { certificate: certificate.clone(), key: key_file };
        assert!(ClientTls::new(&files, &Trust::Anyone, Alpn::Either).is_ok());
        assert!(ClientTls::new(&Credentials::ApiKey(key), &Trust::Ca(certificate), Alpn::Http1).is_ok());
    }

    #[test]
    fn the_error_for_an_encrypted_key_names_the_command_that_decrypts_it() {
        for name in ["ec-aes256", "ec-unknown", "rsa-aes256", "pkcs8-aes256", "pkcs8-unknown"] {
            let dir = tempfile::tempdir().unwrap();
            let certificate = dir.path().join("c.crt");
            std::fs::write(&certificate, ApiKey::generate().unwrap().certificate().unwrap().certificate_pem).unwrap();
            let key = PathBuf::from(format!("tests/vectors/encrypted_keys/{name}.key"));
            let files = Credentials::Files { certificate, key: key.clone() };
            let error = ClientTls::new(&files, &Trust::Anyone, Alpn::Either).err().unwrap().to_string();
            assert!(error.contains(&format!("`openssl pkey -in {} -out NEW-FILE`", key.display())), "{error}");
        }
    }

    #[test]
    fn the_error_for_a_wrong_key_names_both_files() {
        let (one, other) = (testing::Leaf::self_signed(), testing::Leaf::self_signed());
        let (_one, certificate, _, _) = testing::write(&one, None);
        let (_other, _, key, _) = testing::write(&other, None);
        let files = Credentials::Files { certificate: certificate.clone(), key: key.clone() };
        let error = ClientTls::new(&files, &Trust::Anyone, Alpn::Either).err().unwrap().to_string();
        let (certificate, key) = (certificate.display(), key.display());
        assert!(
            error.starts_with(&format!("{key} holds the private key of another certificate than {certificate}: ")),
            "{error}"
        );
    }

    #[test]
    fn a_folder_of_trusted_certificates_may_hold_other_files() {
        let leaf = testing::Leaf::self_signed();
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("a.crt", leaf.pem()), ("b.key", leaf.key_pem()), ("c.txt", "read me".to_owned())] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let trusted = files::trusted_beside_system(folder.path()).unwrap();
        assert_eq!(trusted.certificates.iter().filter(|found| **found == leaf.der()).count(), 1);
        let trust = Trust::SystemAndFolder(folder.path().to_owned());
        assert!(ClientTls::new(&Credentials::Nothing, &trust, Alpn::Either).is_ok());
    }

    #[tokio::test]
    async fn a_server_that_shows_a_trusted_authority_must_hold_its_key() {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        std::fs::create_dir(path("trusted")).unwrap();
        std::fs::write(path("trusted/server.crt"), certificate.pem()).unwrap();
        for trusted in ["trusted", "trusted/server.crt"] {
            let trust = Trust::Ca(path(trusted));
            for (key, is_taken) in [(&key, true), (&other, false)] {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                let key = provider().key_provider.load_private_key(key).unwrap();
                let chain = vec![certificate.der().clone()];
                let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                let server = rustls::ServerConfig::builder_with_provider(provider())
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_no_client_auth()
                    .with_cert_resolver(Arc::new(resolver));
                let client = ClientTls::new(&Credentials::Nothing, &trust, Alpn::Http1).unwrap();
                let (near, far) = testing::pair().await;
                let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
                let (_, connected) = tokio::join!(acceptor.accept(far), client.connect("localhost", near));
                assert_eq!(connected.is_ok(), is_taken);
            }
        }
    }

    #[test]
    fn the_error_names_the_missing_file() {
        let error = ClientTls::new(&Credentials::Nothing, &Trust::Ca("/no/such.crt".into()), Alpn::Http2).err();
        assert!(error.unwrap().to_string().contains("/no/such.crt"));
    }
}
