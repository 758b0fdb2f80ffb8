//! A configuration, a listener and its clients for the tests of this module.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::config::{
    CacheConfig, ClusterConfig, Config, ConsistencyConfig, LimitsConfig, LogConfig, LogFormat, SealConfig,
    SnapshotConfig, TimingConfig, TlsConfig,
};
use crate::policy::Identity;
use crate::tls::PublicTls;
use crate::tls::testing::{self, Leaf};

/// Limits that a test does not reach by accident.
pub const LIMITS: LimitsConfig = LimitsConfig {
    connections: 100,
    reserved_files: 128,
    streams: 256,
    handshake_timeout: Duration::from_secs(60),
    header_timeout: Duration::from_secs(60),
    first_request_timeout: Duration::from_secs(60),
    write_timeout: Duration::from_secs(60),
    idle_timeout: Duration::from_secs(60),
    max_age: Duration::from_secs(60),
    drain_timeout: Duration::from_secs(60),
    audit_queue: 100,
};

/// A configuration without admin, policies and files.
pub fn config() -> Config {
    let none = PathBuf::new();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let second = Duration::from_secs(1);
    Config {
        address,
        admin: None,
        tls: tls_config(),
        api: BTreeMap::new(),
        policies: BTreeMap::new(),
        keys: Vec::new(),
        deletion_window: std::time::Duration::ZERO,
        cache: CacheConfig { any: second, unused: second, capacity: 1 },
        log: LogConfig { error: false, audit: false, level: String::new(), format: LogFormat::Text },
        audit: crate::config::AuditConfig::default(),
        cluster: ClusterConfig {
            name: String::new(),
            listen: address,
            tls: None,
            data: none.clone(),
            peers: Vec::new(),
            bootstrap_key: None,
            vm_generation: None,
            handshakes: 64,
            connections: 128,
            timing: TimingConfig { heartbeat: second, election_min: second, election_max: second },
            snapshot: SnapshotConfig::default(),
            storage: crate::config::StorageConfig::default(),
        },
        seal: SealConfig::File(none),
        consistency: ConsistencyConfig { lease: second, offline: second },
        limits: LIMITS,
    }
}

/// The TLS of a listener that allows clients without a certificate, with its certificate and identity.
pub fn tls() -> (Arc<PublicTls>, String, Identity) {
    let leaf = Leaf::self_signed();
    let (_folder, cert, key, _) = testing::write(&leaf, None);
    let tls = PublicTls::load(&TlsConfig { key, cert, ..tls_config() }, true).unwrap();
    (Arc::new(tls), leaf.pem(), leaf.identity())
}

/// Connects to a listener as a client without a certificate, over HTTP/2 or HTTP/1.1.
pub async fn connect(address: SocketAddr, h2: bool) -> std::io::Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
    let client = testing::anonymous(if h2 { b"h2" } else { b"http/1.1" });
    testing::connect(client, TcpStream::connect(address).await?).await
}

fn tls_config() -> TlsConfig {
    TlsConfig {
        key: PathBuf::new(),
        cert: PathBuf::new(),
        password: None,
        verify_clients: false,
        ca: None,
        proxies: Vec::new(),
        proxy_header: None,
    }
}
