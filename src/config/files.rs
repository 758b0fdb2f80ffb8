//! What the three kinds of file hold, once they are read and checked.

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
    /// The admin that this file names; none when it says anything but an identity.
    pub admin: Option<Identity>,
    /// TLS of the public API.
    pub tls: TlsConfig,
    /// Settings of single routes, by path without a slash at the end (`/v1/key/create`).
    pub api: BTreeMap<String, RouteConfig>,
    /// Policies of the cluster's first command, each with its identities.
    pub policies: BTreeMap<PolicyName, (Policy, Vec<Identity>)>,
    /// Keys created before the node serves.
    pub keys: Vec<String>,
    /// How long a deleted key can be restored; zero when it is gone at once.
    pub deletion_window: Duration,
    /// How long opened keys stay in memory.
    pub cache: CacheConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Where audit records go besides the console, and whether they must.
    pub audit: AuditConfig,
    /// This node's place among its peers.
    pub cluster: ClusterConfig,
    /// Where the root key comes from.
    pub seal: SealConfig,
    /// What a node may do while it reaches no leader.
    pub consistency: ConsistencyConfig,
    /// Limits on what clients may use up.
    pub limits: LimitsConfig,
}

/// What a throw-away cluster borrows from a KES configuration file.
#[derive(Debug, Clone, PartialEq)]
pub struct Borrowed {
    /// The admin it names; none when it says anything but an identity.
    pub admin: Option<Identity>,
    /// Settings of single routes, as in [`Config::api`].
    pub api: BTreeMap<String, RouteConfig>,
    /// Policies, each with its identities.
    pub policies: BTreeMap<PolicyName, (Policy, Vec<Identity>)>,
    /// Keys to create.
    pub keys: Vec<String>,
    /// How long a deleted key can be restored, as in [`Config::deletion_window`].
    pub deletion_window: Duration,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Whether client certificates must chain to a trusted root.
    pub verify_clients: bool,
    /// PEM file or folder of the roots for that; the system's when absent.
    pub ca: Option<PathBuf>,
    /// Proxies that may forward a client's certificate.
    pub proxies: Vec<Identity>,
    /// The header in which they do.
    pub proxy_header: Option<String>,
}

/// The policies of a file that may have nothing else, and who they are for.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyFile {
    /// The admin it names, if any.
    pub admin: Option<Identity>,
    /// Policies, each with its identities.
    pub policies: BTreeMap<PolicyName, (Policy, Vec<Identity>)>,
}
