//! What a node is told: a YAML file becomes a valid [`Config`], or a list of problems with line numbers.
//!
//! A file has the sections a KES user knows (wire contract, "Configuration and environment") and five of our own:
//! `cluster`, `seal`, `audit`, `consistency` and `limits`. Any value may be, or contain, `${NAME}` of the environment;
//! `$${` stands for `${`. Relative paths are relative to the working directory, as in KES.

mod audit;
mod cluster;
mod duration;
mod environment;
mod finding;
mod hint;
mod kes;
mod lines;
mod node;
mod overrides;
mod policies;
mod read;
mod reload;
mod render;
mod routes;
mod section;
mod settings;
mod tls;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::policy::{Identity, Policy, PolicyName};

pub use audit::{AuditConfig, AuditFileConfig, Facility, SyslogAddress, SyslogConfig};
pub use environment::{Environment, of_process};
pub use finding::{Finding, Problems, Warning, contents};
pub use hint::KEYSTORES;
pub use lines::Lines;
pub use overrides::Override;
pub use render::render;
pub use routes::{ROUTES, SKIP_AUTH_ROUTES, reached_by, written_pattern};
pub use settings::{
    CacheConfig, ClusterConfig, ConsistencyConfig, LimitsConfig, LogConfig, LogFormat, Password, PeerConfig,
    RouteConfig, SealConfig, SnapshotConfig, TimingConfig, TlsConfig,
};

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

impl Config {
    /// Reads a node's configuration file.
    ///
    /// # Errors
    /// Every problem of the file at once; the node must not start then.
    pub fn load(file: &Path) -> Result<(Self, Vec<Warning>), Problems> {
        Self::load_with(file, &[])
    }

    /// The same, with settings that the command line gives in place of the file's.
    ///
    /// # Errors
    /// As for [`Config::load`]; a problem of an override names its flag.
    pub fn load_with(file: &Path, overrides: &[Override]) -> Result<(Self, Vec<Warning>), Problems> {
        Self::parse_with(file, &finding::contents(file)?, &environment::of_process, overrides)
    }

    /// Reads a configuration from `text`; `file` is only named in problems and warnings.
    ///
    /// Host names to listen on are resolved; nothing else outside of the arguments is looked at.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn parse(file: &Path, text: &str, environment: Environment<'_>) -> Result<(Self, Vec<Warning>), Problems> {
        Self::parse_with(file, text, environment, &[])
    }

    /// The same, with settings that the command line gives in place of the file's.
    ///
    /// # Errors
    /// As for [`Config::load_with`].
    pub fn parse_with(
        file: &Path,
        text: &str,
        environment: Environment<'_>,
        overrides: &[Override],
    ) -> Result<(Self, Vec<Warning>), Problems> {
        read::whole(file, text, (environment, overrides), read::config)
    }
}

impl Borrowed {
    /// Reads what a throw-away cluster borrows from a KES configuration file.
    ///
    /// # Errors
    /// Every problem of the file at once, apart from those of sections that are not borrowed.
    pub fn load(file: &Path) -> Result<(Self, Vec<Warning>), Problems> {
        Self::parse(file, &finding::contents(file)?, &environment::of_process)
    }

    /// The same from `text`; `file` is only named in problems and warnings.
    ///
    /// # Errors
    /// As for [`Borrowed::load`].
    pub fn parse(file: &Path, text: &str, environment: Environment<'_>) -> Result<(Self, Vec<Warning>), Problems> {
        read::whole(file, text, (environment, &[]), read::borrowed)
    }
}

impl PolicyFile {
    /// Reads the `policy` section of a text: of a KES or a node's configuration, or of a file that has only that; `file`
    /// is only named in problems and warnings.
    ///
    /// # Errors
    /// Every problem of that section at once, or that there is none.
    pub fn parse(file: &Path, text: &str, environment: Environment<'_>) -> Result<(Self, Vec<Warning>), Problems> {
        read::whole(file, text, (environment, &[]), read::policy_file)
    }
}
