//! What an operator sees of a node: structured logs, the audit trail, and metrics.
//!
//! A request pays a few atomic additions and one push here. Other threads format, write and stream (wire contract,
//! "Streams, metrics and status").

mod audit;
mod audit_metrics;
mod cluster_metrics;
mod error_log;
mod exposition;
mod feed;
mod http_metrics;
mod kes_metrics;
mod log;
mod node_metrics;
mod process;
mod queue;
mod record;

pub use audit::{
    Audit, AuditFigures, AuditFiles, AuditFinding, AuditReport, AuditVerifier, AuditWriter, ExpectedTrail, FindingKind,
    SinkFigures, Unrecorded, Unsigned, Unwritten, check_audit_file, in_order,
};
pub use audit_metrics::render_audit_metrics;
pub use cluster_metrics::{ClusterFigures, PeerLag, render_cluster_metrics};
pub use error_log::ErrorLog;
pub use feed::{Feed, Listener, RECENT, joined};
pub use http_metrics::HttpMetrics;
pub use kes_metrics::render_kes_metrics;
pub use log::{LogError, Logging};
pub use node_metrics::{CertificateExpiry, NodeFigures, render_node_metrics};
pub use process::{ProcessFigures, process_figures};
pub use record::{AuditRecord, NotApplied};
