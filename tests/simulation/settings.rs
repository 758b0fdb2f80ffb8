//! The configuration of the simulated nodes, and their files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keyraft::config::{
    AuditConfig, CacheConfig, ClusterConfig, Config, ConsistencyConfig, LimitsConfig, LogConfig, LogFormat, PeerConfig,
    SealConfig, SnapshotConfig, StorageConfig, TimingConfig, TlsConfig,
};
use keyraft::policy::Identity;
use rcgen::{CertificateParams, KeyPair};

/// The identity of the admin, whom every operation is for.
pub const ADMIN: Identity = Identity::from_bytes([7; Identity::LEN]);

/// What precedes an Ed25519 seed in PKCS#8 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The configurations of this many nodes, each with its files in place.
pub fn configs(folder: &Path, count: usize) -> Vec<Config> {
    fs::write(folder.join("root.key"), BASE64_STANDARD.encode([3; 32])).expect("the folder is writable");
    let api = KeyPair::generate().expect("keys can be made");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&api).expect("the parameters are valid");
    fs::write(folder.join("api.crt"), certificate.pem()).expect("the folder is writable");
    fs::write(folder.join("api.key"), api.serialize_pem()).expect("the folder is writable");
    let peers: Vec<_> = (1..=count).map(peer).collect();
    peers.iter().zip(1..).map(|(peer, number)| config(folder, peer, &peers, number)).collect()
}

/// The nodes' addresses follow the order in which the simulation gets to know them.
fn peer(number: usize) -> PeerConfig {
    let address = |port| format!("192.168.0.{number}:{port}");
    PeerConfig { name: name(number), peer_address: address(7374), api_address: address(7373) }
}

/// The name of a node, counted from 1.
pub fn name(number: usize) -> String {
    format!("node-{number}")
}

fn config(folder: &Path, peer: &PeerConfig, peers: &[PeerConfig], number: u8) -> Config {
    let data = folder.join(&peer.name);
    make_peer_key(&data, number);
    Config {
        address: peer.api_address.parse().expect("an address"),
        admin: Some(ADMIN),
        tls: tls(folder),
        api: BTreeMap::new(),
        policies: BTreeMap::new(),
        keys: Vec::new(),
        deletion_window: Duration::ZERO,
        cache: CacheConfig { any: Duration::from_secs(300), unused: Duration::from_secs(30), capacity: 1_000 },
        log: LogConfig { error: false, audit: false, level: "debug".into(), format: LogFormat::Text },
        audit: AuditConfig::default(),
        cluster: cluster(data, peer, peers),
        seal: SealConfig::File(folder.join("root.key")),
        consistency: ConsistencyConfig { lease: Duration::from_secs(2), offline: Duration::from_secs(3_600) },
        limits: LimitsConfig::default(),
    }
}

fn tls(folder: &Path) -> TlsConfig {
    TlsConfig {
        key: folder.join("api.key"),
        cert: folder.join("api.crt"),
        password: None,
        verify_clients: false,
        ca: None,
        proxies: Vec::new(),
        proxy_header: None,
    }
}

fn cluster(data: std::path::PathBuf, peer: &PeerConfig, peers: &[PeerConfig]) -> ClusterConfig {
    let [heartbeat, election_min, election_max] = [50, 100, 160].map(Duration::from_millis);
    ClusterConfig {
        name: peer.name.clone(),
        listen: peer.peer_address.parse().expect("an address"),
        tls: None,
        data,
        peers: peers.to_vec(),
        bootstrap_key: None,
        vm_generation: None,
        handshakes: 64,
        connections: 128,
        timing: TimingConfig { heartbeat, election_min, election_max },
        snapshot: SnapshotConfig::default(),
        // A run must not depend on how full the real disk is.
        storage: StorageConfig { low: Some(1 << 20), ..StorageConfig::default() },
    }
}

/// Gives the node the key by which the others know it. The node would make one whose bytes no seed decides.
fn make_peer_key(data: &Path, number: u8) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data).expect("the folder is writable");
    let pkcs8 = [&PKCS8[..], &[number; 32]].concat();
    let pair = KeyPair::try_from(&pkcs8[..]).expect("a key");
    let pem = format!("{}{}", pair.serialize_pem(), pair.public_key_pem());
    let options = &mut fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(data.join("peer.key")).expect("a new file");
    std::io::Write::write_all(&mut file, pem.as_bytes()).expect("the folder is writable");
}
