//! The contents of the three kinds of file, read and checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{
    AuditConfig, CacheConfig, ClusterConfig, ConsistencyConfig, LimitsConfig, LogConfig, RouteConfig, SealConfig,
    TlsConfig,
};
use crate::policy::{Identity, Policy, PolicyName};

/// A node's whole configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the public HTTPS API listens.
    pub address: SocketAddr,
    /// The admin that this file names. `None` if the file has any value but an identity.
    pub admin: Option<Identity>,
    /// TLS of the public API.
    pub tls: TlsConfig,
    /// Settings of single routes, by path without a slash at the end (`/v1/key/create`).
    pub api: BTreeMap<String, RouteConfig>,
    /// Policies, each with its identities. The cluster takes them over in its first command.
    pub policies: BTreeMap<PolicyName, (Policy, Vec<Identity>)>,
    /// Keys that the node creates before it serves.
    pub keys: Vec<String>,
    /// How long a deleted key can be restored. Zero: it is gone at once.
    pub deletion_window: Duration,
    /// How long opened keys stay in memory.
    pub cache: CacheConfig,
    /// Which events the node logs, and in which form.
    pub log: LogConfig,
    /// Where audit records go besides the console, and whether the node serves without them.
    pub audit: AuditConfig,
    /// This node's place among its peers.
    pub cluster: ClusterConfig,
    /// Where the root key comes from.
    pub seal: SealConfig,
    /// What the node may do while it cannot reach a leader.
    pub consistency: ConsistencyConfig,
    /// Limits on what clients may use up.
    pub limits: LimitsConfig,
}

/// The settings that a throw-away cluster borrows from a KES configuration file.
#[derive(Debug, Clone, PartialEq)]
pub struct Borrowed {
    /// The admin that it names. `None` if the file has any value but an identity.
    pub admin: Option<Identity>,
    /// Settings of single routes, as in [`Config::api`].
    pub api: BTreeMap<String, RouteConfig>,
    /// Policies, each with its identities.
    pub policies: BTreeMap<PolicyName, (Policy, Vec<Identity>)>,
    /// Keys that the cluster creates.
    pub keys: Vec<String>,
    /// How long a deleted key can be restored, as in [`Config::deletion_window`].
    pub deletion_window: Duration,
    /// Which events the node logs, and in which form.
    pub log: LogConfig,
    /// Whether client certificates must chain to a trusted root.
    pub verify_clients: bool,
    /// The PEM file or folder of these roots. If absent, the system's roots.
    pub ca: Option<PathBuf>,
    /// Proxies that may forward a client's certificate.
    pub proxies: Vec<Identity>,
    /// The header in which they forward it.
    pub proxy_header: Option<String>,
}

/// The policies of a file that may have no other section, and their identities.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyFile {
    /// The admin that it names, if any.
    pub admin: Option<Identity>,
    /// Policies, each with its identities.
    pub policies: BTreeMap<PolicyName, (Policy, Vec<Identity>)>,
}
