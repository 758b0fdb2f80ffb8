//! The configuration of the nodes under test: that of the recorded answers, on addresses of this machine.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use keyraft::config::{
    CacheConfig, ClusterConfig, Config, ConsistencyConfig, LimitsConfig, LogConfig, LogFormat, PeerConfig, SealConfig,
    TimingConfig, TlsConfig,
};
use keyraft::policy::{Identity, Pattern, Policy, PolicyName};

use super::certificates::Certificates;

/// The identities of the recorded answers' clients.
pub const ADMIN: &str = "8bc7c801a0d9d1cc3fef3fb16c0a7d8fbe73e29dce40589677c3bd2850c80328";
/// See [`ADMIN`].
pub const APP: &str = "8087b18da11b0b1f8e9ae60a20930936762f092415fc81ca9f7d9c3625bbd4e9";
/// See [`ADMIN`].
pub const OPS: &str = "b29d8c43b6845839e8de37f571c0603a9ba5f137e73a1e179137f1d2702f1ce0";

/// The API key of [`ADMIN`].
pub const ADMIN_KEY: &str = "kes:v1:AKumZyEvGnc8As/TqWtzLlZwfKuq72CuQAD+hcuBz0yY";
/// The API key of [`APP`].
pub const APP_KEY: &str = "kes:v1:ALcqgN9Qr39WREHhmBZ1Gk7Dztv8Lez9eKoV7c7Jqy6F";
/// The API key of [`OPS`].
pub const OPS_KEY: &str = "kes:v1:AFHpEzuL5IlNHjnLH0LAJJhf43qHJ28sfrvEva/q7Y9j";

/// The variable that says how many nodes [`node_count`] is.
const NODES: &str = "KEYRAFT_TEST_NODES";

/// How many nodes a cluster has in the tests that work with any number: three, or as many as `KEYRAFT_TEST_NODES` says.
///
/// # Panics
/// The variable is not an odd number from 3 to 9.
pub fn node_count() -> usize {
    let Ok(said) = std::env::var(NODES) else { return 3 };
    let count = said.parse().ok().filter(|count| (3..=9).contains(count) && count % 2 == 1);
    count.unwrap_or_else(|| panic!("{NODES} is '{said}': set it to an odd number from 3 to 9, or leave it out"))
}

/// The configurations of a cluster's nodes, each with its files in place.
pub fn configs(certificates: &Certificates, count: usize) -> Vec<Config> {
    let peers: Vec<_> = (1..=count).map(|number| peer(&format!("node-{number}"))).collect();
    peers.iter().map(|peer| config(certificates, peer, &peers)).collect()
}

fn peer(name: &str) -> PeerConfig {
    PeerConfig { name: name.into(), peer_address: free_address().to_string(), api_address: free_address().to_string() }
}

/// An address on which no process listens.
///
/// Peers know each other's addresses before any of them starts, so they cannot leave the port to the system. The
/// ports lie below the range of outgoing connections, which could otherwise take them. Each process begins elsewhere.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) + std::process::id().wrapping_mul(64);
        let port = 20_000 + u16::try_from(offset % 12_000).expect("below 12,000");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn config(certificates: &Certificates, peer: &PeerConfig, peers: &[PeerConfig]) -> Config {
    Config {
        address: peer.api_address.parse().expect("an address of ours"),
        admin: Some(identity(ADMIN)),
        tls: tls(certificates),
        api: BTreeMap::new(),
        policies: policies(),
        keys: Vec::new(),
        deletion_window: Duration::ZERO,
        cache: CacheConfig { any: Duration::from_secs(300), unused: Duration::from_secs(30), capacity: 1_000 },
        log: LogConfig { error: false, audit: false, level: "warn".into(), format: LogFormat::Text },
        audit: keyraft::config::AuditConfig::default(),
        cluster: cluster(certificates, peer, peers),
        seal: SealConfig::File(certificates.file("root.key")),
        consistency: ConsistencyConfig { lease: Duration::from_secs(2), offline: Duration::from_secs(3_600) },
        limits: limits(),
    }
}

fn tls(certificates: &Certificates) -> TlsConfig {
    TlsConfig {
        key: certificates.file("api.key"),
        cert: certificates.file("api.crt"),
        password: None,
        verify_clients: false,
        ca: None,
        proxies: Vec::new(),
        proxy_header: None,
    }
}

fn cluster(certificates: &Certificates, peer: &PeerConfig, peers: &[PeerConfig]) -> ClusterConfig {
    ClusterConfig {
        name: peer.name.clone(),
        listen: peer.peer_address.parse().expect("an address of ours"),
        tls: None,
        data: certificates.file(&peer.name),
        peers: peers.to_vec(),
        bootstrap_key: None,
        vm_generation: None,
        handshakes: 64,
        connections: 128,
        timing: timing(),
        snapshot: keyraft::config::SnapshotConfig::default(),
        // Tests must not depend on how full the disk is, and need no large file in each data folder.
        storage: keyraft::config::StorageConfig { low: Some(1 << 20), ..Default::default() },
    }
}

/// Slower than in production: a loaded machine that runs many clusters at a time must not hold false elections.
fn timing() -> TimingConfig {
    let [heartbeat, election_min, election_max] = [100, 400, 800].map(Duration::from_millis);
    TimingConfig { heartbeat, election_min, election_max }
}

fn limits() -> LimitsConfig {
    LimitsConfig { connections: 1_000, ..LimitsConfig::default() }
}

fn policies() -> BTreeMap<PolicyName, (Policy, Vec<Identity>)> {
    let app_keys = ["/v1/key/create/my-app*", "/v1/key/generate/my-app*", "/v1/key/decrypt/my-app*"];
    let app_allow = [&app_keys[..], &["/v1/key/list/my-app*", "/v1/status"]].concat();
    let app_deny = ["/v1/key/generate/my-app-internal*", "/v1/key/decrypt/my-app-internal*"];
    let ops_keys = ["/v1/key/delete/my-app*", "/v1/key/list/"];
    let ops_rest = ["/v1/policy/read/app", "/v1/identity/describe/*", "/v1/metrics", "/v1/log/audit"];
    [
        policy("app", &app_allow, &app_deny, &[APP]),
        policy("ops", &[&ops_keys[..], &ops_rest].concat(), &[], &[OPS]),
        policy("empty", &[], &[], &[]),
    ]
    .into()
}

fn policy(name: &str, allow: &[&str], deny: &[&str], identities: &[&str]) -> (PolicyName, (Policy, Vec<Identity>)) {
    let parse = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).expect("a pattern")).collect::<Vec<_>>();
    let identities = identities.iter().map(|text| identity(text)).collect();
    (PolicyName::parse(name).expect("a name"), (Policy::new(parse(allow), parse(deny)), identities))
}

/// Parses an identity.
pub fn identity(text: &str) -> Identity {
    text.parse().expect("an identity")
}
