//! The configuration: a YAML file becomes a valid [`Config`], or a list of problems with line numbers.
//!
//! A file has the sections that KES users know (wire contract, "Configuration and environment") and six of our own:
//! `cluster`, `storage`, `seal`, `audit`, `consistency` and `limits`. Any value may contain `${NAME}`, which stands for a variable of
//! the environment; `$${` stands for `${`. Relative paths are relative to the working directory, as in KES.

mod audit;
mod cluster;
mod duration;
mod environment;
mod files;
mod finding;
mod hint;
mod kes;
mod lines;
mod load;
mod node;
mod overrides;
mod policies;
mod read;
mod reload;
mod render;
mod routes;
mod section;
mod settings;
mod storage;
mod tls;
mod tree;
mod value;

pub use audit::{AuditConfig, AuditFileConfig, Facility, SyslogAddress, SyslogConfig};
pub use environment::{Environment, process_variable};
pub use files::{Borrowed, Config, PolicyFile};
pub use finding::{Finding, Problems, Warning, read_text};
pub use hint::KEYSTORES;
pub use lines::Lines;
pub use overrides::Override;
pub use render::render;
pub use routes::SKIP_AUTH;
pub use settings::{
    CacheConfig, ClusterConfig, ConsistencyConfig, LimitsConfig, LogConfig, LogFormat, Password, PeerConfig,
    PeerTlsConfig, RouteConfig, SealConfig, SnapshotConfig, TimingConfig, TlsConfig,
};
pub use storage::{StorageConfig, StorageLimits};
