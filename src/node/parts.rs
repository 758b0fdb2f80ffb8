//! The parts of a node that live as long as it does, from its configuration.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::error::NodeError;
use super::local_state::LocalState;
use crate::config::{AuditFileConfig, Config};
use crate::http::Api;
use crate::kms::Place;
use crate::raft::{Cluster, Failure, Waits};
use crate::state::FEATURE_LEVEL;
use crate::store::make_usable_folder;
use crate::telemetry::{Audit, AuditWriter, ErrorLog, HttpMetrics, check_audit_file};
use crate::tls::{PeerTls, PublicTls, log_date_warnings};

/// What a node is made of before it takes part.
pub(super) struct Parts {
    pub config: ArcSwap<Config>,
    pub peer_tls: Arc<PeerTls>,
    pub public_tls: Arc<PublicTls>,
    pub audit: Arc<Audit>,
    pub audit_writer: Mutex<Option<AuditWriter>>,
    pub metrics: Arc<HttpMetrics>,
    pub errors: Arc<ErrorLog>,
    pub failure: Failure,
    pub waits: Waits,
    pub local: LocalState,
    /// A sealed node is to try its seal again.
    pub seal_asked: Notify,
    pub cluster: ArcSwapOption<Cluster>,
    pub api: ArcSwapOption<Api>,
}

impl Parts {
    /// Reads certificates, then makes the data folder; nothing listens yet.
    pub(super) fn build(config: Config, errors: Arc<ErrorLog>) -> Result<Self, NodeError> {
        let peer_tls = Arc::new(PeerTls::load(&config.cluster.cert, &config.cluster.key, &config.cluster.ca)?);
        let beside = Some(Arc::clone(&peer_tls));
        let public_tls = Arc::new(PublicTls::load_beside(&config.tls, skips_auth(&config), beside)?);
        let data = &config.cluster.data;
        make_usable_folder(data).map_err(in_setting("cluster.data", data))?;
        config.audit.file.as_ref().map_or(Ok(()), usable_audit_file)?;
        log_date_warnings(&public_tls.certificates());
        let (audit, audit_writer) = Audit::start(&config)?;
        Ok(Self {
            config: ArcSwap::from_pointee(config),
            peer_tls,
            public_tls,
            audit,
            audit_writer: Mutex::new(Some(audit_writer)),
            metrics: Arc::new(HttpMetrics::default()),
            errors,
            failure: Failure::default(),
            waits: Waits::default(),
            local: LocalState::default(),
            seal_asked: Notify::new(),
            cluster: ArcSwapOption::empty(),
            api: ArcSwapOption::empty(),
        })
    }

    /// Logs which node of which version starts, and where.
    pub(super) fn log_start(&self) {
        let config = self.config.load();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            // Not `level`: JSON lines have that already.
            feature_level = FEATURE_LEVEL,
            node = config.cluster.name,
            api = %config.address,
            peer = %config.cluster.listen,
            data = %config.cluster.data.display(),
            "the node starts"
        );
    }

    /// The node's name and data folder.
    pub(super) fn place(&self) -> Place {
        let config = self.config.load();
        Place { name: config.cluster.name.clone(), data: config.cluster.data.clone() }
    }

    /// Takes over what can change while running; returns the settings that wait for a restart.
    ///
    /// A file that cannot be used is logged, and what it would replace stays in use.
    pub(super) fn reconfigure(&self, new: Config) -> Vec<&'static str> {
        let old = self.config.load_full();
        let mut config = old.take_over(&new);
        if self.local.kms.load().as_deref().is_none_or(|kms| kms.audit_key().is_none()) {
            // Nothing came of the old seal yet.
            config.seal = new.seal.clone();
        }
        let waiting = config.needs_restart(&new);
        self.reload_certificates(&old, &mut config);
        if let Some(Err(error)) = config.audit.file.as_ref().map(usable_audit_file) {
            tracing::error!("{error}. The audit settings stay as they were");
            config.audit = old.audit.clone();
        }
        self.audit.reload(&config);
        if let Some(api) = self.api.load().as_deref() {
            api.reconfigure(&config);
        }
        if let Some(kms) = self.local.kms.load().as_deref() {
            kms.set_file_admin(config.admin);
            kms.set_deletion_window(config.deletion_window);
            kms.compare_policies(&config.policies);
        }
        self.config.store(Arc::new(config));
        waiting
    }

    fn reload_certificates(&self, old: &Config, config: &mut Config) {
        if let Err(error) = self.public_tls.reconfigure(&config.tls, skips_auth(config)) {
            tracing::error!("{error}. The API keeps its certificates and the other tls settings");
            config.tls = old.tls.clone();
        }
        if let Err(error) = self.peer_tls.reload() {
            tracing::error!("{error}. The node keeps the certificates that it shows its peers");
        }
        log_date_warnings(&self.public_tls.certificates());
    }

    /// Ends this node's part in the cluster at once.
    pub(super) async fn kill(&self) {
        if let Some(cluster) = self.cluster.swap(None) {
            cluster.kill().await;
        }
        self.api.store(None);
        self.local.kms.store(None);
    }
}

fn usable_audit_file(file: &AuditFileConfig) -> Result<(), NodeError> {
    check_audit_file(&file.path).map_err(in_setting("audit.file.path", &file.path))
}

fn in_setting(setting: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NodeError {
    move |error| NodeError::File { setting, path: path.to_owned(), error }
}

fn skips_auth(config: &Config) -> bool {
    config.api.values().any(|route| route.skip_auth)
}
