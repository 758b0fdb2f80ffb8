//! The sections `cluster` and `storage`: this node, its peers, and the room on its disk.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::section::Section;
use super::settings::{ClusterConfig, PeerConfig, PeerTlsConfig, SnapshotConfig, TimingConfig};
use super::storage::{RESERVE_PART, StorageConfig};
use super::{duration, value};

const SETTINGS: &[&str] = &[
    "name",
    "listen",
    "data",
    "tls",
    "bootstrap_key",
    "vm_generation",
    "peers",
    "handshakes",
    "connections",
    "timing",
    "snapshot",
];

/// Where the node listens for peers by default: a hundred ports above the API.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 7473);

/// The default name of a node without peers.
const ALONE: &str = "node-1";

const HEARTBEAT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);
const ELECTION: RangeInclusive<Duration> = Duration::from_millis(2)..=Duration::from_secs(60);

const HANDSHAKES: RangeInclusive<u32> = 1..=65_536;
const CONNECTIONS: RangeInclusive<u32> = 16..=1_000_000;
const LOG_BYTES: RangeInclusive<u64> = 64 * 1024..=1 << 40;
const KEEP_ENTRIES: RangeInclusive<u64> = 0..=10_000_000;
const CHECKPOINT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const TRANSFER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// At least this, so that a node notices the lack of room before it has none.
const LOW: RangeInclusive<u64> = 1 << 20..=1 << 50;
const RESERVE: RangeInclusive<u64> = 0..=1 << 48;
const STALL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);

/// The whole section, which a node needs. `address` is where its API listens.
pub(super) fn settings(top: &Section<'_>, address: SocketAddr) -> Option<ClusterConfig> {
    if !top.gives("cluster") {
        let message = "the section `cluster` is missing: add it with name, listen, data and peers";
        top.problem(top.line_of("cluster"), message);
        return None;
    }
    let cluster = top.section("cluster", SETTINGS);
    let listen = listen(&cluster, address);
    let data = cluster.required("data", "/var/lib/keyraft", value::path);
    let tls = peer_tls(&cluster);
    let bootstrap_key = cluster.value("bootstrap_key", value::path);
    let vm_generation = cluster.value("vm_generation", value::path);
    let peers = peers(&cluster);
    let name = name(&cluster, &peers);
    let (handshakes, connections) = connections(&cluster);
    let timing = timing(&cluster);
    let snapshot = snapshot(&cluster);
    let storage = storage(top);
    let (name, data) = (name?, data?);
    let alone =
        || PeerConfig { name: name.clone(), peer_address: listen.to_string(), api_address: address.to_string() };
    let peers = if peers.is_empty() { vec![alone()] } else { peers };
    Some(ClusterConfig {
        name,
        listen,
        tls,
        data,
        bootstrap_key,
        vm_generation,
        peers,
        handshakes,
        connections,
        timing,
        snapshot,
        storage,
    })
}

/// How many peer connections may be in their handshake at a time, and how many may be open.
fn connections(cluster: &Section<'_>) -> (u32, u32) {
    let handshakes = cluster.value("handshakes", value::count(HANDSHAKES)).unwrap_or(64);
    let connections = cluster.value("connections", value::count(CONNECTIONS)).unwrap_or(128);
    if handshakes >= connections {
        let message = format!(
            "cluster.handshakes ({handshakes}) must be below cluster.connections ({connections}), which includes \
             connections in their handshake; raise cluster.connections"
        );
        cluster.problem(cluster.line_of("handshakes"), message);
    }
    (handshakes, connections)
}

fn listen(cluster: &Section<'_>, address: SocketAddr) -> SocketAddr {
    let listen = cluster.value("listen", value::address).unwrap_or(LISTEN);
    let same_ip = listen.ip() == address.ip() || listen.ip().is_unspecified() || address.ip().is_unspecified();
    if same_ip && listen.port() == address.port() && listen.port() != 0 {
        let message = format!("cluster.listen: {listen} is taken by the API at {address}; choose another port");
        cluster.problem(cluster.line_of("listen"), message);
    }
    listen
}

/// The certificate for peers. `None` if the node makes a key itself, or if this section has a problem.
fn peer_tls(cluster: &Section<'_>) -> Option<PeerTlsConfig> {
    const SETTINGS: [&str; 3] = ["cert", "key", "ca"];
    let before = cluster.problem_count();
    let tls = cluster.section("tls", &SETTINGS);
    let [cert, key, ca] = SETTINGS.map(|setting| tls.value(setting, value::path));
    let problem = match (cert, key, ca) {
        (Some(cert), Some(key), ca) => return Some(PeerTlsConfig { cert, key, ca }),
        (None, None, None) => return None,
        (Some(_), None, _) => "cluster.tls.key is missing: add `key: peer.key`",
        (None, Some(_), _) => "cluster.tls.cert is missing: add `cert: peer.crt`",
        (None, None, Some(_)) => {
            "cluster.tls.ca needs cert and key: add the certificate that this CA issued to this node, and its key, or \
             remove `ca`, and the node makes a key itself"
        }
    };
    // If a setting is there but wrong, the file has that problem already.
    if cluster.problem_count() == before {
        tls.problem(tls.line, problem);
    }
    None
}

/// The peers that the file lists, including this node.
fn peers(cluster: &Section<'_>) -> Vec<PeerConfig> {
    let mut peers = Vec::new();
    for section in cluster.listed_sections("peers", &["name", "peer", "api"]) {
        let Some(peer) = peer(&section) else { continue };
        report_duplicates(&section, &peers, &peer);
        peers.push(peer);
    }
    peers
}

fn peer(section: &Section<'_>) -> Option<PeerConfig> {
    let name = section.required("name", ALONE, value::node_name);
    let peer_address = section.required("peer", "\"10.0.0.1:7473\"", value::endpoint);
    let api_address = section.required("api", "\"10.0.0.1:7373\"", value::endpoint);
    Some(PeerConfig { name: name?, peer_address: peer_address?, api_address: api_address? })
}

fn report_duplicates(section: &Section<'_>, earlier: &[PeerConfig], peer: &PeerConfig) {
    let mut addresses = earlier.iter().flat_map(|other| [&other.peer_address, &other.api_address]);
    let twice = [
        ("name", &peer.name, earlier.iter().any(|other| other.name == peer.name)),
        ("peer", &peer.peer_address, addresses.clone().any(|other| *other == peer.peer_address)),
        (
            "api",
            &peer.api_address,
            peer.api_address == peer.peer_address || addresses.any(|other| *other == peer.api_address),
        ),
    ];
    for (key, value, _) in twice.into_iter().filter(|(.., twice)| *twice) {
        let message = format!("{}: '{value}' appears twice among the peers; give each its own", section.path_of(key));
        section.problem(section.line_of(key), message);
    }
}

/// This node's name. It must be one of the peers' names, or any name if the file lists no peers.
fn name(cluster: &Section<'_>, peers: &[PeerConfig]) -> Option<String> {
    // A list that is empty because of its own problems is still a list.
    if !cluster.gives("peers") {
        return Some(cluster.value("name", value::node_name).unwrap_or_else(|| ALONE.to_owned()));
    }
    let name = cluster.required("name", ALONE, value::node_name)?;
    if !peers.is_empty() && !peers.iter().any(|peer| peer.name == name) {
        let names: Vec<_> = peers.iter().map(|peer| peer.name.as_str()).collect();
        let message =
            format!("cluster.name: '{name}' is not among the peers ({}); add this node to them", names.join(", "));
        cluster.problem(cluster.line_of("name"), message);
    }
    Some(name)
}

fn timing(cluster: &Section<'_>) -> TimingConfig {
    let section = cluster.section("timing", &["heartbeat", "election_min", "election_max"]);
    let before = section.problem_count();
    let read = |key, range, ms| section.value(key, duration::within(range)).unwrap_or(Duration::from_millis(ms));
    let timing = TimingConfig {
        heartbeat: read("heartbeat", HEARTBEAT, 50),
        election_min: read("election_min", ELECTION, 100),
        election_max: read("election_max", ELECTION, 160),
    };
    let TimingConfig { heartbeat, election_min, election_max } = timing;
    if section.problem_count() == before && !(heartbeat < election_min && election_min < election_max) {
        let [heartbeat, min, max] = [heartbeat, election_min, election_max].map(duration::show);
        let message = format!(
            "cluster.timing: heartbeat ({heartbeat}) must be below election_min ({min}), and that below \
             election_max ({max}); a good choice is 50ms, 100ms and 160ms"
        );
        section.problem(section.line, message);
    }
    timing
}

fn snapshot(cluster: &Section<'_>) -> SnapshotConfig {
    let section = cluster.section("snapshot", &["log_bytes", "keep_entries", "checkpoint_every", "transfer_timeout"]);
    let standard = SnapshotConfig::default();
    let time = |key, range, standard| section.value(key, duration::within(range)).unwrap_or(standard);
    SnapshotConfig {
        log_bytes: section.value("log_bytes", value::count(LOG_BYTES)).unwrap_or(standard.log_bytes),
        keep_entries: section.value("keep_entries", value::count(KEEP_ENTRIES)).unwrap_or(standard.keep_entries),
        checkpoint_every: time("checkpoint_every", CHECKPOINT, standard.checkpoint_every),
        transfer_timeout: time("transfer_timeout", TRANSFER, standard.transfer_timeout),
    }
}

/// What the disk of the data folder must have and do.
fn storage(top: &Section<'_>) -> StorageConfig {
    let section = top.section("storage", &["low", "reserve", "stall"]);
    let low = section.value("low", value::size(LOW));
    let reserve = section.value("reserve", value::size(RESERVE));
    if let (Some(low), Some(reserve)) = (low, reserve)
        && reserve > low / RESERVE_PART
    {
        let message = format!(
            "storage.reserve ({reserve} bytes) must be at most a quarter of storage.low ({low} bytes), because the node fills \
             the reserve before it says that it has room; lower storage.reserve"
        );
        section.problem(section.line_of("reserve"), message);
    }
    let stall = section.value("stall", duration::within(STALL)).unwrap_or(StorageConfig::default().stall);
    StorageConfig { low, reserve, stall }
}
