//! The connections that a port refused. The log says why and what to do, in at most one line a second.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::{AlertDescription, CertificateError as Bad, Error as Tls, OtherError};
use tokio::time::sleep;

use crate::tls::certificate::identity::CertificateError;

/// The time between two log lines about refused connections of one port.
const PERIOD: Duration = Duration::from_secs(1);

/// The port that a client connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The public API.
    Api,
    /// The port for the other nodes.
    Peer,
}

/// Why a port refused a connection.
#[derive(Debug)]
pub enum Refused {
    /// The client spoke HTTP without TLS, or another protocol of text.
    PlainText,
    /// The handshake took longer than this limit.
    Slow(Duration),
    /// The client left before it sent anything. The log does not mention this.
    Silent,
    /// The handshake failed.
    Failed(io::Error),
    /// The handshake succeeded, but the client's certificates do not identify a client.
    NoIdentity(CertificateError),
    /// The client's preface did not arrive, for this reason.
    Preface(String),
    /// A limit of connections was reached; the text says which.
    Full(String),
}

/// Logs the connections that one port refused.
pub struct RefusedLog {
    port: Port,
    /// What was refused since the last line. `None` while a line may be logged at once.
    waiting: Mutex<Option<SinceLastLine>>,
}

/// The refused connections since the last line.
#[derive(Default)]
struct SinceLastLine {
    first: Option<(SocketAddr, String)>,
    count: u64,
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Refused {
    /// Says why, for the operator who reads the log of the node.
    pub fn explain(&self, port: Port) -> String {
        match self {
            Self::PlainText if port == Port::Api => "it speaks HTTP without TLS: use https:// in its URL".to_owned(),
            Self::PlainText => {
                "it does not speak TLS: this port is for the other nodes of the cluster alone".to_owned()
            }
            Self::Slow(limit) => format!("it did not finish the handshake within {limit:?}"),
            Self::Silent => "it closed the connection before it sent anything".to_owned(),
            Self::Failed(error) => failed(error, port),
            Self::NoIdentity(error) => no_identity(*error).to_owned(),
            Self::Preface(why) | Self::Full(why) => why.clone(),
        }
    }
}

impl RefusedLog {
    /// Makes a log for this port.
    pub fn new(port: Port) -> Arc<Self> {
        Arc::new(Self { port, waiting: Mutex::default() })
    }

    /// Logs a refused connection: at once, or in the next line, which says how many more there were.
    pub fn add(self: &Arc<Self>, from: SocketAddr, why: &Refused) {
        if matches!(why, Refused::Silent) {
            return tracing::debug!(client = %from, "a client closed its connection before it sent anything");
        }
        let mut waiting = self.waiting.lock();
        if let Some(waiting) = &mut *waiting {
            waiting.count += 1;
            waiting.first.get_or_insert_with(|| (from, why.explain(self.port)));
            return;
        }
        *waiting = Some(SinceLastLine::default());
        drop(waiting);
        self.log(from, &why.explain(self.port), 0);
        let log = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                sleep(PERIOD).await;
                match log.next() {
                    Some((from, why, more)) => log.log(from, &why, more),
                    None => return,
                }
            }
        });
    }

    /// Returns the line for the period that has ended: the first refused connection in it, and how many more there
    /// were. Returns `None` if the port refused nothing. The next refusal is then logged at once.
    fn next(&self) -> Option<(SocketAddr, String, u64)> {
        let mut waiting = self.waiting.lock();
        let SinceLastLine { first, count } = waiting.take()?;
        let (from, why) = first?;
        *waiting = Some(SinceLastLine::default());
        Some((from, why, count - 1))
    }

    fn log(&self, from: SocketAddr, why: &str, more: u64) {
        let more = (more > 0).then_some(more);
        match self.port {
            Port::Api => tracing::warn!(client = %from, more, "the node refused a client: {why}"),
            Port::Peer => tracing::warn!(client = %from, more, "the node refused a connection to its peer port: {why}"),
        }
    }
}

/// Says why a handshake failed, if TLS itself or the connection is the reason.
fn failed(error: &io::Error, port: Port) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(error) => tls(error, port),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection in the middle of the handshake".to_owned()
        }
        None => format!("the connection broke during the handshake: {error}"),
    }
}

/// Says which rule of the handshake the client broke, and what to do.
fn tls(error: &Tls, port: Port) -> String {
    let versions = if port == Port::Api { "TLS 1.2 or 1.3" } else { "TLS 1.3" };
    match error {
        Tls::NoCertificatesPresented if port == Port::Api => {
            "it sent no client certificate: give it an API key, or a certificate and its key; a probe can do without \
             where `api: {/v1/ready: {skip_auth: on}}` is set"
        }
        Tls::NoCertificatesPresented => "it sent no certificate: this port is for the other nodes of the cluster alone",
        Tls::InvalidCertificate(bad) => return certificate(bad, port),
        Tls::AlertReceived(alert) => return alerted(*alert, port),
        Tls::PeerIncompatible(what) => {
            return format!("it offers nothing that this node accepts ({what:?}): it must speak {versions}");
        }
        Tls::NoApplicationProtocol if port == Port::Api => "it offers neither HTTP/2 nor HTTP/1.1 (ALPN)",
        Tls::NoApplicationProtocol => {
            "it does not offer keyraft-peer/1 (ALPN), the protocol between nodes: run a version of Keyraft on it that \
             works together with this node's"
        }
        Tls::InvalidMessage(_) | Tls::InappropriateMessage { .. } => "it sent something that is not TLS",
        other => return format!("the handshake failed: {other}"),
    }
    .to_owned()
}

/// Says what is wrong with the certificate that the client sent, and what to do.
fn certificate(bad: &Bad, port: Port) -> String {
    let api = port == Port::Api;
    match bad {
        bad if is_of_unknown_issuer(bad) && api => {
            "its certificate was issued by a CA that this node does not trust: add that CA to tls.ca"
        }
        bad if is_of_unknown_issuer(bad) => {
            "the CA in cluster.tls.ca did not issue its certificate: all nodes need certificates of that CA"
        }
        Bad::Expired | Bad::ExpiredContext { .. } => "its certificate has expired: renew it with the same key",
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "its certificate is not valid yet: compare its dates with the clocks of both machines"
        }
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } if api => {
            "its certificate is a node's, or its extended key usages lack clientAuth: issue one for this client, with \
             clientAuth"
        }
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            "its certificate is not a node's: a node's names both serverAuth and clientAuth as extended key usages"
        }
        Bad::Other(OtherError(error)) => return x509_fault(error.downcast_ref()),
        other => return format!("its certificate cannot be used: {other}"),
    }
    .to_owned()
}

/// Says which rule of X.509 the certificate breaks, for rules that only webpki has a name for.
fn x509_fault(error: Option<&webpki::Error>) -> String {
    use webpki::Error as X509Error;
    match error {
        Some(X509Error::UnsupportedCriticalExtension) => {
            "its certificate has a critical extension that this node does not know: issue it without that extension"
        }
        Some(X509Error::CaUsedAsEndEntity) => "its certificate is a CA's (CA:TRUE): issue one with CA:FALSE",
        Some(X509Error::UnsupportedCertVersion) => {
            "its certificate is not of X.509 version 3: issue it with extensions"
        }
        Some(other) => return format!("its certificate cannot be used ({other:?}): issue a new one"),
        None => "its certificate cannot be used: issue a new one",
    }
    .to_owned()
}

/// Whether no trusted CA issued the certificate. If the issuer has the name of a trusted CA and another key, the
/// signature is wrong.
fn is_of_unknown_issuer(bad: &Bad) -> bool {
    match bad {
        Bad::UnknownIssuer | Bad::BadSignature => true,
        Bad::Other(OtherError(error)) => {
            matches!(error.downcast_ref(), Some(webpki::Error::InvalidSignatureForPublicKey))
        }
        _ => false,
    }
}

/// Says what to do when the client refused this node.
fn alerted(alert: AlertDescription, port: Port) -> String {
    use AlertDescription as Alert;
    let (who, check) = match port {
        Port::Api => (
            "the client",
            "check that it trusts the CA of tls.cert, and that it connects by a name in that certificate",
        ),
        Port::Peer => (
            "the caller",
            "if the caller has cluster.tls.ca, that CA must issue this node's certificate (cluster.tls.cert), too",
        ),
    };
    match alert {
        Alert::UnknownCA
        | Alert::BadCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateExpired
        | Alert::UnsupportedCertificate => {
            format!("{who} does not accept this node's certificate ({alert:?}): {check}")
        }
        other => format!("{who} ended the handshake with the TLS alert {other:?}"),
    }
}

/// Says why the certificates do not identify a client, and what to do.
fn no_identity(error: CertificateError) -> &'static str {
    match error {
        CertificateError::Authority => {
            "it sent a CA certificate (CA:TRUE), which cannot identify a client, so the node answers its requests with \
             `tls: client certificate is required`: issue it a certificate with CA:FALSE"
        }
        CertificateError::Several => {
            "it sent more than one certificate that is not a CA's: let it send its own, and the CAs that issued it"
        }
        CertificateError::Malformed => "this node cannot read a certificate that it sent: issue it a new one",
    }
}

#[cfg(test)]
mod tests {
    use rustls::version::{TLS12, TLS13};

    use super::*;
    use crate::config::TlsConfig;
    use crate::tls::testing::{self, Leaf, LeafOptions, TestAuthority, pair};
    use crate::tls::{PeerTls, PublicTls};

    /// A public listener that trusts `authority` alone.
    fn public(authority: &TestAuthority) -> PublicTls {
        let (_folder, cert, key, ca) = testing::write(&Leaf::self_signed(), Some(&authority.pem()));
        let config = TlsConfig {
            key,
            cert,
            password: None,
            verify_clients: true,
            ca: Some(ca),
            proxies: Vec::new(),
            proxy_header: None,
        };
        PublicTls::load(&config, false).unwrap()
    }

    /// Returns what the node's log says about a client with this certificate.
    async fn logged(tls: &PublicTls, leaf: Option<&Leaf>) -> String {
        let chain = leaf.iter().map(|leaf| leaf.der()).collect();
        let client = testing::client(chain, leaf.map(Leaf::key), None, &[&TLS13, &TLS12]);
        let (near, far) = pair().await;
        let (accepted, _) = tokio::join!(tls.accept(far), testing::connect(client, near));
        Refused::from(accepted.map(drop).expect_err("it is refused")).explain(Port::Api)
    }

    #[tokio::test]
    async fn each_reason_says_what_to_do() {
        let authority = TestAuthority::new();
        let tls = public(&authority);
        let expired = authority.issue(LeafOptions { expired: true, ..LeafOptions::default() });
        let critical = authority.issue(LeafOptions { critical_extension: true, ..LeafOptions::default() });
        let usage = authority.issue(LeafOptions {
            usages: Some(vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth]),
            ..LeafOptions::default()
        });
        for (leaf, part) in [
            (None, "it sent no client certificate: give it an API key"),
            (Some(&Leaf::self_signed()), "a CA that this node does not trust: add that CA to tls.ca"),
            (Some(&expired), "its certificate has expired: renew it"),
            (Some(&usage), "lack clientAuth: issue one for this client"),
            (Some(&critical), "has a critical extension that this node does not know: issue it without"),
        ] {
            let text = logged(&tls, leaf).await;
            assert!(text.contains(part), "{text}");
        }
    }

    /// Returns what the node's log says about a client that sends these bytes.
    async fn logged_of_bytes(bytes: &[u8]) -> String {
        use tokio::io::AsyncWriteExt;
        let tls = public(&TestAuthority::new());
        let (mut near, far) = pair().await;
        near.write_all(bytes).await.unwrap();
        near.shutdown().await.unwrap();
        Refused::from(tls.accept(far).await.map(drop).expect_err("it is refused")).explain(Port::Api)
    }

    #[tokio::test]
    async fn the_log_tells_other_protocols_old_versions_and_cut_handshakes_apart() {
        // A hello of TLS 1.1: version 3.2, a random, no session, one cipher suite, no compression, no extensions.
        let body = [&[3, 2][..], &[7; 32], &[0, 0, 2, 0, 0x2f, 1, 0]].concat();
        let length = u8::try_from(body.len()).unwrap();
        let hello = [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
        for (bytes, part) in [
            (&hello[..], "it must speak TLS 1.2 or 1.3"),
            (&hello[..20], "it closed the connection in the middle of the handshake"),
            (&[0x80; 40][..], "it sent something that is not TLS"),
        ] {
            let text = logged_of_bytes(bytes).await;
            assert!(text.contains(part), "{text}");
        }
    }

    #[tokio::test]
    async fn the_log_says_that_a_client_does_not_trust_the_node() {
        let tls = public(&TestAuthority::new());
        let (folder, ..) = testing::write(&Leaf::self_signed(), None);
        let trust = crate::tls::Trust::Ca(folder.path().join("ca"));
        std::fs::write(folder.path().join("ca"), TestAuthority::new().pem()).unwrap();
        let client =
            crate::tls::ClientTls::new(&crate::tls::Credentials::Nothing, &trust, crate::tls::Alpn::Either).unwrap();
        let (near, far) = pair().await;
        let (accepted, _) = tokio::join!(tls.accept(far), client.connect("localhost", near));
        let text = Refused::from(accepted.map(drop).expect_err("the client ends it")).explain(Port::Api);
        assert!(
            text.contains("the client does not accept this node's certificate") && text.contains("CA of tls.cert"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn the_reasons_of_the_peer_port_speak_of_nodes() {
        let authority = TestAuthority::new();
        let (_folder, files) = testing::peer_files(&authority.node(), Some(&authority.pem()));
        let tls = PeerTls::load(&files).unwrap();
        let usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let ca = authority.issue(LeafOptions { is_ca: true, usages: Some(usages), ..LeafOptions::default() });
        for (leaf, part) in [
            (Some(authority.client()), "it is not a node's"),
            (Some(ca), "its certificate is a CA's (CA:TRUE): issue one with CA:FALSE"),
            (Some(TestAuthority::new().node()), "the CA in cluster.tls.ca did not issue its certificate"),
            (None, "this port is for the other nodes"),
        ] {
            let chain = leaf.iter().map(Leaf::der).collect();
            let client = testing::client(chain, leaf.as_ref().map(Leaf::key), None, &[&TLS13]);
            let (near, far) = pair().await;
            let (accepted, _) = tokio::join!(tls.accept(far), testing::connect(client, near));
            let text = Refused::from(accepted.map(drop).expect_err("it is refused")).explain(Port::Peer);
            assert!(text.contains(part.trim_start_matches("it is ")), "{text}");
        }
        assert!(Refused::PlainText.explain(Port::Peer).contains("does not speak TLS"));
    }

    #[test]
    fn the_log_explains_a_ca_certificate_alone() {
        let text = Refused::NoIdentity(CertificateError::Authority).explain(Port::Api);
        assert!(text.contains("CA:TRUE") && text.contains("issue it a certificate with CA:FALSE"), "{text}");
    }

    #[tokio::test]
    async fn one_line_a_second_says_how_many_more_there_were() {
        // This test awaits nothing, so the task that logs later lines never runs.
        let log = RefusedLog::new(Port::Api);
        let from = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        log.add(from(1), &Refused::PlainText);
        assert_eq!(log.next(), None, "the first line was logged at once, and nothing waits");
        log.add(from(2), &Refused::PlainText);
        for port in 3..10 {
            log.add(from(port), &Refused::Slow(PERIOD));
        }
        let (first, why, more) = log.next().unwrap();
        assert_eq!((first, more), (from(3), 6));
        assert!(why.contains("within 1s"), "{why}");
        log.add(from(10), &Refused::PlainText);
        assert_eq!(log.next().unwrap().2, 0);
        log.add(from(11), &Refused::Silent);
        assert_eq!(log.next(), None, "the log skips a client that sent nothing");
    }
}
