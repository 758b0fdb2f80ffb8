//! TLS connections of a client that has one certificate, and shows or withholds it as Go's TLS would.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificates::Credential;
use super::http::{Error, Http};

/// A server's address, and the CAs that prove who it is.
#[derive(Clone)]
pub struct Endpoint {
    /// The address on which it listens.
    pub address: SocketAddr,
    /// The CAs to which its certificate may chain.
    pub roots: Arc<RootCertStore>,
}

/// A client: its certificate, and the one version of TLS that it speaks.
#[derive(Clone)]
pub struct Client {
    credential: Option<Arc<CertifiedKey>>,
    version: &'static SupportedProtocolVersion,
}

/// Shows the certificate, unless the server names authorities and none of them issued it. Go does the same, and the
/// wire contract, "Identity and TLS" calls it a trap.
#[derive(Debug)]
struct Resolver {
    certified: Arc<CertifiedKey>,
}

impl Client {
    /// A client with this certificate, or without one, that speaks TLS 1.3.
    pub fn new(credential: Option<Credential>) -> Self {
        Self { credential: credential.map(|credential| Arc::new(certified(credential))), version: &TLS13 }
    }

    /// The same client over TLS 1.2.
    pub fn over_tls12(self) -> Self {
        Self { version: &TLS12, ..self }
    }

    /// Connects and checks that the server chose this version of HTTP.
    ///
    /// # Errors
    /// No process listens, or the handshake failed.
    pub async fn connect(&self, endpoint: &Endpoint, http: Http) -> Result<TlsStream<TcpStream>, Error> {
        let alpn: &[u8] = if http == Http::One { b"http/1.1" } else { b"h2" };
        let connector = TlsConnector::from(Arc::new(self.config(endpoint, alpn)));
        let tcp = TcpStream::connect(endpoint.address).await.map_err(Error::Unreachable)?;
        let name = ServerName::from(endpoint.address.ip());
        let stream = connector.connect(name, tcp).await.map_err(|error| Error::Refused(error.to_string()))?;
        match stream.get_ref().1.alpn_protocol() {
            Some(chosen) if chosen == alpn => Ok(stream),
            other => Err(Error::Broken(format!("the server chose {:?}", other.map(String::from_utf8_lossy)))),
        }
    }

    fn config(&self, endpoint: &Endpoint, alpn: &[u8]) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[self.version])
            .expect("the provider speaks both versions")
            .with_root_certificates(endpoint.roots.clone());
        let mut config = match &self.credential {
            Some(certified) => builder.with_client_cert_resolver(Arc::new(Resolver { certified: certified.clone() })),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let known = authorities.is_empty() || authorities.iter().any(|name| self.is_issued_by(name));
        (known && self.certified.key.choose_scheme(schemes).is_some()).then(|| self.certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Resolver {
    fn is_issued_by(&self, authority: &[u8]) -> bool {
        let parsed = x509_parser::parse_x509_certificate(&self.certified.cert[0]);
        parsed.is_ok_and(|(_, certificate)| certificate.issuer().as_raw() == authority)
    }
}

fn certified(credential: Credential) -> CertifiedKey {
    let key = aws_lc_rs::sign::any_supported_type(&credential.key).expect("the key is one that TLS knows");
    CertifiedKey::new(credential.chain, key)
}
