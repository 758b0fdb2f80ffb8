//! The services of a node that handlers use.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::http::pipeline::settings::Settings;
use crate::kms::Kms;
use crate::telemetry::{Audit, ErrorLog, HttpMetrics};
use crate::tls::PublicTls;

/// What handlers use of the node. Each handler gets only the parts that it needs.
pub struct Services {
    /// The operations on keys, policies and identities.
    pub kms: Arc<Kms>,
    /// The audit trail.
    pub audit: Arc<Audit>,
    /// The counts of requests.
    pub metrics: Arc<HttpMetrics>,
    /// The log of errors.
    pub errors: Arc<ErrorLog>,
    /// The certificates that the node shows; their dates are among the metrics.
    pub tls: Arc<PublicTls>,
    /// The settings of the routes.
    pub settings: ArcSwap<Settings>,
}
