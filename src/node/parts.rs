//! The parts of a node that live as long as it does, built from its configuration.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::error::NodeError;
use super::peer_tls;
use super::phase::{Phase, Serving};
use crate::config::{AuditFileConfig, Config};
use crate::kms::ThisNode;
use crate::raft::{Failure, Waits};
use crate::state::HIGHEST_LEVEL;
use crate::store::make_usable_folder;
use crate::telemetry::{Audit, AuditWriter, ErrorLog, HttpMetrics, check_audit_file};
use crate::tls::{PeerTls, PublicTls, log_date_warnings};

/// The parts that a node has before it takes part in consensus.
pub(super) struct Parts {
    pub config: ArcSwap<Config>,
    pub peer_tls: Arc<PeerTls>,
    pub public_tls: Arc<PublicTls>,
    pub audit: Arc<Audit>,
    /// The thread of the audit trail. The lifecycle takes it, and ends it last.
    pub audit_writer: Mutex<Option<AuditWriter>>,
    pub metrics: Arc<HttpMetrics>,
    pub errors: Arc<ErrorLog>,
    /// Ends the node when consensus or the store reports that it must not go on.
    pub failure: Failure,
    /// What the node waits for, as its log and its local socket show it.
    pub waits: Waits,
    /// The phase that the node is in. The lifecycle alone changes it.
    pub phase: watch::Receiver<Phase>,
    /// Wakes a sealed node, so that it tries its seal again.
    pub seal_asked: Notify,
}

impl Parts {
    /// Reads the certificates, makes the data folder, and starts the audit trail. The node does not listen yet.
    pub(super) fn build(
        config: Config,
        errors: Arc<ErrorLog>,
        phase: watch::Receiver<Phase>,
    ) -> Result<Self, NodeError> {
        let data = &config.cluster.data;
        if config.cluster.tls.is_none() {
            make_usable_folder(data).map_err(in_setting("cluster.data", data))?;
        }
        let peer_tls = Arc::new(peer_tls::load(&config.cluster)?);
        let beside = Some(Arc::clone(&peer_tls));
        let public_tls = Arc::new(PublicTls::load_beside(&config.tls, skips_auth(&config), beside)?);
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
            phase,
            seal_asked: Notify::new(),
        })
    }

    /// Logs which node of which version starts, and where.
    pub(super) fn log_start(&self) {
        let config = self.config.load();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            // Not `level`, because JSON lines already have a field of that name.
            feature_level = HIGHEST_LEVEL,
            node = config.cluster.name,
            api = %config.address,
            peer = %config.cluster.listen,
            data = %config.cluster.data.display(),
            "the node starts"
        );
    }

    /// Returns the node's name and data folder.
    pub(super) fn this_node(&self) -> ThisNode {
        let config = self.config.load();
        ThisNode { name: config.cluster.name.clone(), data: config.cluster.data.clone() }
    }

    /// Takes over the settings that can change while the node runs, and returns those that need a restart.
    ///
    /// If it cannot use a file, it logs that and keeps what it has.
    pub(super) fn reconfigure(&self, new: Config) -> Vec<&'static str> {
        let old = self.config.load_full();
        let mut config = old.take_over(&new);
        let phase = self.phase.borrow().clone();
        if phase.serving().is_none() {
            // The node has yet to open its key ring for good, so it may take another seal.
            config.seal = new.seal.clone();
        }
        let waiting = config.needs_restart(&new);
        self.reload_certificates(&old, &mut config);
        if let Some(Err(error)) = config.audit.file.as_ref().map(usable_audit_file) {
            tracing::error!("{error}. The node keeps the old audit settings");
            config.audit = old.audit.clone();
        }
        self.audit.reload(&config);
        if let Some(Serving { api, kms, .. }) = phase.serving() {
            api.reconfigure(&config);
            kms.set_file_admin(config.admin);
            kms.set_deletion_window(config.deletion_window);
            kms.compare_policies(&config.policies);
        }
        self.config.store(Arc::new(config));
        waiting
    }

    fn reload_certificates(&self, old: &Config, config: &mut Config) {
        if let Err(error) = self.public_tls.reconfigure(&config.tls, skips_auth(config)) {
            tracing::error!("{error}. The API keeps its old certificates and other old tls settings");
            config.tls = old.tls.clone();
        }
        if let Err(error) = self.peer_tls.reload() {
            tracing::error!("{error}. The node keeps the old certificates that it shows its peers");
        }
        log_date_warnings(&self.public_tls.certificates());
    }
}

fn usable_audit_file(file: &AuditFileConfig) -> Result<(), NodeError> {
    check_audit_file(&file.path).map_err(in_setting("audit.file.path", &file.path))
}

fn in_setting(setting: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NodeError {
    move |error| NodeError::File { setting, path: path.to_owned(), error }
}

/// Whether a route needs no certificate, so that the handshake must also accept clients without one.
fn skips_auth(config: &Config) -> bool {
    config.api.values().any(|route| route.skip_auth)
}
