//! The configuration of a node: its place in the cluster, and the settings borrowed from a KES configuration file.

use std::collections::BTreeMap;
use std::time::Duration;

use super::layout::Layout;
use crate::config::{
    Borrowed, CacheConfig, ClusterConfig, Config, ConsistencyConfig, LimitsConfig, LogConfig, LogFormat, PeerConfig,
    SealConfig, SnapshotConfig, StorageConfig, TimingConfig, TlsConfig,
};
use crate::policy::Identity;

/// The configuration of node `number`.
pub fn of_node(layout: &Layout, number: u16, admin: Option<Identity>, borrowed: &Borrowed) -> Config {
    Config {
        address: layout.api_address(number),
        admin,
        tls: tls(layout, number, borrowed),
        api: borrowed.api.clone(),
        policies: borrowed.policies.clone(),
        keys: borrowed.keys.clone(),
        deletion_window: borrowed.deletion_window,
        cache: CacheConfig { any: minutes(5), unused: Duration::from_secs(30), capacity: 10_000 },
        log: borrowed.log.clone(),
        audit: crate::config::AuditConfig::default(),
        cluster: cluster(layout, number),
        seal: SealConfig::File(layout.root_key()),
        consistency: ConsistencyConfig { lease: Duration::from_secs(2), offline: minutes(60) },
        limits: LimitsConfig::default(),
    }
}

/// The settings of a cluster that borrows from no file.
pub fn nothing_borrowed() -> Borrowed {
    Borrowed {
        admin: None,
        api: BTreeMap::default(),
        policies: BTreeMap::default(),
        keys: Vec::new(),
        deletion_window: Duration::ZERO,
        log: LogConfig { error: true, audit: false, level: "info".to_owned(), format: LogFormat::Text },
        verify_clients: false,
        ca: None,
        proxies: Vec::new(),
        proxy_header: None,
    }
}

fn tls(layout: &Layout, number: u16, borrowed: &Borrowed) -> TlsConfig {
    let dir = layout.node_dir(number);
    TlsConfig {
        key: dir.join("api.key"),
        cert: dir.join("api.crt"),
        password: None,
        verify_clients: borrowed.verify_clients,
        ca: borrowed.ca.clone(),
        proxies: borrowed.proxies.clone(),
        proxy_header: borrowed.proxy_header.clone(),
    }
}

fn cluster(layout: &Layout, number: u16) -> ClusterConfig {
    ClusterConfig {
        name: layout.node_name(number),
        listen: layout.peer_address(number),
        tls: None,
        data: layout.node_data(number),
        peers: layout.numbers().map(|number| peer(layout, number)).collect(),
        bootstrap_key: None,
        vm_generation: None,
        handshakes: 64,
        connections: 128,
        timing: TimingConfig {
            heartbeat: Duration::from_millis(50),
            election_min: Duration::from_millis(100),
            election_max: Duration::from_millis(160),
        },
        snapshot: SnapshotConfig::default(),
        storage: StorageConfig::default(),
    }
}

fn peer(layout: &Layout, number: u16) -> PeerConfig {
    PeerConfig {
        name: layout.node_name(number),
        peer_address: layout.peer_address(number).to_string(),
        api_address: layout.api_address(number).to_string(),
    }
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}
