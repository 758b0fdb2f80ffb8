//! The sections of a configuration: plain values that have been checked.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroize;

use crate::policy::Identity;

/// TLS of the public API (wire contract, "Identity and TLS").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file of the private key.
    pub key: PathBuf,
    /// PEM file of the certificate chain.
    pub cert: PathBuf,
    /// Password of an encrypted private key.
    pub password: Option<Password>,
    /// Whether client certificates must chain to a trusted root.
    pub verify_clients: bool,
    /// PEM file or folder of the roots for that; the system's when absent.
    pub ca: Option<PathBuf>,
    /// Proxies that may forward a client's certificate.
    pub proxies: Vec<Identity>,
    /// The header in which they do.
    pub proxy_header: Option<String>,
}

/// A password that no debug print shows and that is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Settings of one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteConfig {
    /// Served without certificate and policy; allowed for ready, status, metrics and api.
    pub skip_auth: bool,
    /// How long a request may take, when not the route's own.
    pub timeout: Option<Duration>,
}

/// How long opened keys stay in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// Since it was opened.
    pub any: Duration,
    /// Since it was last used.
    pub unused: Duration,
    /// The most opened keys held at a time.
    pub capacity: usize,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Whether error events go to the console.
    pub error: bool,
    /// Whether audit records go to the console.
    pub audit: bool,
    /// A tracing filter, such as `info` or `keyraft=debug`.
    pub level: String,
    /// Text for people, or JSON for machines.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// This node's place among its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// This node's name, one of `peers`.
    pub name: String,
    /// Where the peer listener listens.
    pub listen: SocketAddr,
    /// PEM file of the certificate shown to peers.
    pub cert: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
    /// PEM file of the roots that peers' certificates chain to.
    pub ca: PathBuf,
    /// The data folder.
    pub data: PathBuf,
    /// All nodes of the cluster's first membership, this one too, in the same order on every node.
    pub peers: Vec<PeerConfig>,
    /// Peer connections that shake hands at a time.
    pub handshakes: u32,
    /// Open peer connections, those that shake hands included.
    pub connections: u32,
    /// Timings of the consensus.
    pub timing: TimingConfig,
    /// When snapshots are built, and what they leave of the log.
    pub snapshot: SnapshotConfig,
}

/// One node of the first membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Its name.
    pub name: String,
    /// `host:port` of its peer listener.
    pub peer_address: String,
    /// `host:port` of its public API.
    pub api_address: String,
}

/// Timings of the consensus (design, "Speed of writes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimingConfig {
    /// Between two heartbeats of the leader.
    pub heartbeat: Duration,
    /// The shortest wait, after the leader's lease, before a follower campaigns.
    pub election_min: Duration,
    /// The longest; also the leader's lease.
    pub election_max: Duration,
}

/// When snapshots are built, and what they leave of the log (design, "Storage").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// A snapshot is built once more bytes than this, and than the last snapshot, were written to the log since.
    pub log_bytes: u64,
    /// Entries kept in the log behind a snapshot, for followers that are not far behind.
    pub keep_entries: u64,
    /// Between two times the keystore is made durable.
    pub checkpoint_every: Duration,
    /// How long sending a snapshot to a follower may take.
    pub transfer_timeout: Duration,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        Self {
            log_bytes: 64 * 1024 * 1024,
            keep_entries: 10_000,
            checkpoint_every: Duration::from_secs(10),
            transfer_timeout: Duration::from_secs(600),
        }
    }
}

/// Where the root key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealConfig {
    /// A file that holds 32 bytes in base64.
    File(PathBuf),
    /// An environment variable that holds 32 bytes in base64.
    Env(String),
}

/// What a node may do while it reaches no leader (design, "Leases and the revocation fence").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsistencyConfig {
    /// How long one renewal of the lease holds.
    pub lease: Duration,
    /// How long known keys are served without a lease; zero stops at once.
    pub offline: Duration,
}

/// Limits on what clients may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Open connections.
    pub connections: usize,
    /// Open files that are kept for the disk and the log; what is left, apart from peer connections, bounds
    /// `connections`.
    pub reserved_files: usize,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
    /// From the first byte to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the first byte to the end of a request's headers.
    pub header_timeout: Duration,
    /// From the end of the handshake to the first byte of a request, or the end of the preface of HTTP/2.
    pub first_request_timeout: Duration,
    /// How long a client may take nothing of what is written to it.
    pub write_timeout: Duration,
    /// Between two requests of a connection. Longer than clients let theirs idle, so that it is they who close it: one that
    /// writes a request while the server closes does not know whether it was read.
    pub idle_timeout: Duration,
    /// How old a connection may become; up to an eighth more, so that not all end at once.
    pub max_age: Duration,
    /// For requests in flight when the node stops.
    pub drain_timeout: Duration,
    /// Audit records that wait to be written; when full, requests wait.
    pub audit_queue: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let timeout = Duration::from_secs(10);
        Self {
            connections: 10_000,
            reserved_files: 128,
            streams: 256,
            handshake_timeout: timeout,
            header_timeout: timeout,
            first_request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(180),
            max_age: Duration::from_secs(3600),
            drain_timeout: timeout,
            audit_queue: 16_384,
        }
    }
}
