//! The sections of a configuration, as plain checked values.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroize;

use super::storage::StorageConfig;
use crate::policy::Identity;

/// TLS of the public API (wire contract, "Identity and TLS").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The PEM file of the private key.
    pub key: PathBuf,
    /// The PEM file of the certificate chain.
    pub cert: PathBuf,
    /// The password of an encrypted private key.
    pub password: Option<Password>,
    /// Whether client certificates must chain to a trusted root.
    pub verify_clients: bool,
    /// The PEM file or folder of these roots. If absent, the system's roots.
    pub ca: Option<PathBuf>,
    /// Proxies that may forward a client's certificate.
    pub proxies: Vec<Identity>,
    /// The header in which they forward it.
    pub proxy_header: Option<String>,
}

/// A password. `Debug` does not show it, and dropping it wipes it.
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
    /// Whether the route needs neither certificate nor policy. Only ready, status, metrics and api may have this.
    pub skip_auth: bool,
    /// How long a request may take. If absent, the default of the route.
    pub timeout: Option<Duration>,
}

/// How long opened keys stay in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// How long a key stays after it was opened.
    pub any: Duration,
    /// How long a key stays after it was last used.
    pub unused: Duration,
    /// How many opened keys the node holds at most.
    pub capacity: usize,
}

/// Which events the node logs, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Whether error events go to the console.
    pub error: bool,
    /// Whether audit records go to the console.
    pub audit: bool,
    /// A tracing filter, such as `info` or `keyraft=debug`.
    pub level: String,
    /// The form of the lines.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// This node and its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// This node's name, one of `peers`.
    pub name: String,
    /// Where the peer listener listens.
    pub listen: SocketAddr,
    /// The certificate that it shows to peers. If absent, the node makes a key itself, and keeps it in `data`.
    pub tls: Option<PeerTlsConfig>,
    /// The data folder.
    pub data: PathBuf,
    /// The file of the key with which the nodes of a new cluster prove that they belong together: 32 bytes in base64. If
    /// absent, the root key yields it.
    pub bootstrap_key: Option<PathBuf>,
    /// A file into which a tool of the hypervisor writes the VM generation id. When its content changes, the node ends: the
    /// machine was cloned, or put back from a snapshot. Kernels that report such a change need no file.
    pub vm_generation: Option<PathBuf>,
    /// All nodes of the cluster's first membership, including this one, in the same order on every node.
    pub peers: Vec<PeerConfig>,
    /// How many peer connections may be in their handshake at a time.
    pub handshakes: u32,
    /// How many peer connections may be open, including those in their handshake.
    pub connections: u32,
    /// Timings of the consensus.
    pub timing: TimingConfig,
    /// When the node builds snapshots, and how much of the log it keeps.
    pub snapshot: SnapshotConfig,
    /// How much room the disk of `data` must have. The file has this in a section of its own.
    pub storage: StorageConfig,
}

/// One node of the first membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Its name.
    pub name: String,
    /// The `host:port` of its peer listener.
    pub peer_address: String,
    /// The `host:port` of its public API.
    pub api_address: String,
}

/// The certificate that a node shows to peers, and the CA of all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerTlsConfig {
    /// The PEM file of the certificate chain.
    pub cert: PathBuf,
    /// The PEM file of the private key.
    pub key: PathBuf,
    /// The PEM file or folder of the roots that the certificates of peers must chain to. If absent, any issuer will do:
    /// the cluster knows each node by its key.
    pub ca: Option<PathBuf>,
}

/// Timings of the consensus (design, "Speed of writes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimingConfig {
    /// The time between two heartbeats of the leader.
    pub heartbeat: Duration,
    /// The shortest time that a follower waits after the leader's lease before it campaigns.
    pub election_min: Duration,
    /// The longest such time. It is also the leader's lease.
    pub election_max: Duration,
}

/// When the node builds snapshots, and how much of the log it keeps (design, "Storage").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// The node builds a snapshot once the log has grown by this many bytes since the last one, and by more bytes than that
    /// one has.
    pub log_bytes: u64,
    /// How many entries the log keeps behind a snapshot, for followers that lag only a little.
    pub keep_entries: u64,
    /// The time between two checkpoints, which make the keystore durable.
    pub checkpoint_every: Duration,
    /// How long it may take to send a snapshot to a follower.
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

/// What a node may do while it cannot reach a leader (design, "Leases and the revocation fence").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsistencyConfig {
    /// How long a renewed lease holds.
    pub lease: Duration,
    /// How long the node serves known keys without a lease. Zero: not at all.
    pub offline: Duration,
}

/// Limits on what clients may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsConfig {
    /// How many connections may be open.
    pub connections: usize,
    /// How many open files are reserved for the disk and the log. The files that remain, apart from peer connections, bound
    /// `connections`.
    pub reserved_files: usize,
    /// How many requests may be in flight on one HTTP/2 connection.
    pub streams: u32,
    /// The time from the first byte to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// The time from the first byte to the end of a request's headers.
    pub header_timeout: Duration,
    /// The time from the end of the handshake to the first byte of a request, or to the end of the preface of HTTP/2.
    pub first_request_timeout: Duration,
    /// How long a client may read nothing of what the node writes to it.
    pub write_timeout: Duration,
    /// The time between two requests of a connection. It is longer than clients keep idle connections, so that the client
    /// closes it. A client that sends a request while the server closes does not know whether the server read it.
    pub idle_timeout: Duration,
    /// How old a connection may become. The node adds up to an eighth, so that not all connections end at once.
    pub max_age: Duration,
    /// How long requests in flight may take when the node stops.
    pub drain_timeout: Duration,
    /// How many audit records may wait to be written. Requests wait while the queue is full.
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
