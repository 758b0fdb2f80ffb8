//! Certificates for tests: authorities, servers, peers and clients, in memory and as files that a node reads.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use keyraft::config::PeerTlsConfig;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate chain and the private key of its first certificate.
pub struct Credential {
    /// The chain, as the handshake sends it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key, as PKCS #8.
    pub key: PrivateKeyDer<'static>,
}

/// A certificate authority.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// Every file that the nodes of a cluster read, and what clients need to trust them.
pub struct Certificates {
    folder: PathBuf,
    api: Authority,
    peers: Authority,
    /// The authority of clients where `tls.auth` is on. Only that trusts it.
    pub clients: Authority,
}

impl Credential {
    /// The identity of its first certificate.
    pub fn identity(&self) -> String {
        let (_, certificate) = X509Certificate::from_der(&self.chain[0]).expect("the certificate is ours");
        hex::encode(Sha256::digest(certificate.tbs_certificate.subject_pki.raw))
    }

    /// Its first certificate as PEM.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.chain[0])
    }
}

impl Clone for Credential {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Authority {
    /// A new authority of this name.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("keys can be made");
        let params = authority_params(name);
        let certificate = params.self_signed(&key).expect("the parameters are valid");
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Its certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// Its certificate and private key, as a client that is an authority has them.
    pub fn credential(&self) -> Credential {
        Credential { chain: vec![self.certificate()], key: private_key(self.issuer.key()) }
    }

    /// The roots with which a client or server trusts it.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).expect("the certificate is ours");
        roots
    }

    /// A certificate signed by this authority, for a new key.
    pub fn issue(&self, params: &CertificateParams) -> Credential {
        self.issue_for(&KeyPair::generate().expect("keys can be made"), params)
    }

    /// A certificate signed by this authority.
    pub fn issue_for(&self, key: &KeyPair, params: &CertificateParams) -> Credential {
        let certificate = params.signed_by(key, &self.issuer).expect("the parameters are valid");
        Credential { chain: vec![certificate.der().clone()], key: private_key(key) }
    }

    /// Its certificate as PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    fn write(&self, path: &Path) {
        fs::write(path, self.pem()).expect("the folder is writable");
    }
}

impl Certificates {
    /// Makes the authorities and the files `api-ca.crt`, `api.crt`, `api.key`, `peer-ca.crt`, `client-ca.crt` and
    /// `root.key` in `folder`.
    pub fn create(folder: &Path) -> Self {
        let certificates = Self {
            folder: folder.to_owned(),
            api: Authority::new("API authority"),
            peers: Authority::new("peer authority"),
            clients: Authority::new("client authority"),
        };
        certificates.api.write(&certificates.file("api-ca.crt"));
        certificates.peers.write(&certificates.file("peer-ca.crt"));
        certificates.clients.write(&certificates.file("client-ca.crt"));
        certificates.write("api", &certificates.api.issue(&for_server("localhost")));
        fs::write(certificates.file("root.key"), BASE64_STANDARD.encode([0x5a; 32])).expect("the folder is writable");
        certificates
    }

    /// Makes the files `NODE.crt` and `NODE.key`, with a certificate for peers from the CA of all nodes.
    pub fn peer_tls(&self, node: &str) -> PeerTlsConfig {
        self.peer_tls_by(&self.peers, node)
    }

    /// Does the same with a certificate that another authority issued.
    pub fn peer_tls_by(&self, authority: &Authority, node: &str) -> PeerTlsConfig {
        self.write(node, &authority.issue(&for_peer(node)));
        let [cert, key] = ["crt", "key"].map(|end| self.file(&format!("{node}.{end}")));
        PeerTlsConfig { cert, key, ca: Some(self.file("peer-ca.crt")) }
    }

    /// The path of one of the files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The roots that clients of the API trust.
    pub fn roots(&self) -> RootCertStore {
        self.api.roots()
    }

    fn write(&self, name: &str, credential: &Credential) {
        fs::write(self.file(&format!("{name}.crt")), credential.pem()).expect("the folder is writable");
        fs::write(self.file(&format!("{name}.key")), pem_of_key(credential)).expect("the folder is writable");
    }
}

/// The private key of a credential as PEM.
pub fn pem_of_key(credential: &Credential) -> String {
    pem("PRIVATE KEY", credential.key.secret_der())
}

/// Parameters of a client's certificate (wire contract, "Identity and TLS").
pub fn for_client(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// A certificate that its own key signed.
pub fn self_signed(params: &CertificateParams, key: &KeyPair) -> Credential {
    let certificate = params.self_signed(key).expect("the parameters are valid");
    Credential { chain: vec![certificate.der().clone()], key: private_key(key) }
}

/// The time of the clock, which the node reads, too.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(keyraft::clock::unix_ns().into()).expect("a time of this era")
}

/// The identity that belongs to this key.
pub fn identity_of_key(key: &KeyPair) -> String {
    hex::encode(Sha256::digest(key.subject_public_key_info()))
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// Parameters of a certificate that a node shows its peers.
pub fn for_peer(node: &str) -> CertificateParams {
    let mut params = for_server(node);
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    params
}

fn for_server(name: &str) -> CertificateParams {
    let names = [name.to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).expect("the names are valid");
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(key.serialize_der()).expect("the key is ours")
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
