//! What a node shows of itself: version, readiness, status, routes, metrics.

use serde::Serialize;

use super::services::Services;
use crate::http::openapi;
use crate::http::pipeline::routes::ROUTES;
use crate::http::pipeline::settings::Settings;
use crate::http::wire::answers::{self, Answer};
use crate::http::wire::cluster_status;
use crate::kms::{ClusterStatus, Standing, StorageFigures};
use crate::policy::{ClusterAction, SystemAction};
use crate::telemetry::{
    CertificateExpiry, NodeFigures, ProcessFigures, process_figures, render_audit_metrics, render_cluster_metrics,
    render_kes_metrics, render_node_metrics,
};
use crate::tls::DatedCertificate;

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that it was built from. `build.rs` takes it from `KEYRAFT_COMMIT` or from the checkout.
const COMMIT: Option<&str> = option_env!("KEYRAFT_BUILD_COMMIT");

/// Shows the node. Never fails: a node that is not ready does not listen.
pub fn answer(action: SystemAction, services: &Services) -> Answer {
    let Services { kms, audit, metrics, errors, settings, .. } = services;
    match action {
        SystemAction::Version => {
            answers::json(&ProgramVersion { version: VERSION, commit: COMMIT.unwrap_or("unknown") })
        }
        SystemAction::Ready => answers::empty(),
        SystemAction::Status => answers::json(&StatusAnswer::new(&process_figures(), &kms.cluster_status())),
        SystemAction::Api => answers::json(&routes(&settings.load())),
        SystemAction::OpenApi => answers::written_json(openapi::document()),
        SystemAction::Metrics => answers::metrics(render_kes_metrics(metrics, audit, errors, &process_figures())),
    }
}

/// Shows the cluster as this node sees it. Never fails.
pub fn cluster_answer(action: ClusterAction, services: &Services) -> Answer {
    let Services { kms, audit, tls, .. } = services;
    match action {
        ClusterAction::Status => answers::json(&cluster_status::status_json(&kms.cluster_status())),
        ClusterAction::Metrics => {
            let cluster = render_cluster_metrics(&cluster_status::figures(&kms.cluster_status()));
            let audit = render_audit_metrics(&audit.figures());
            answers::metrics(cluster + &audit + &render_node_metrics(node_figures(&tls.certificates())))
        }
    }
}

fn node_figures(certificates: &[DatedCertificate]) -> NodeFigures {
    let expiries = certificates.iter().map(|certificate| CertificateExpiry {
        usage: certificate.usage.name(),
        number: certificate.number,
        subject: certificate.subject.clone(),
        file: certificate.file.display().to_string(),
        not_after_s: certificate.not_after_s,
    });
    NodeFigures { version: VERSION, commit: COMMIT.unwrap_or("unknown"), certificates: expiries.collect() }
}

#[derive(Serialize)]
struct ProgramVersion {
    version: &'static str,
    commit: &'static str,
}

#[derive(Serialize)]
struct ListedRoute {
    method: &'static str,
    path: &'static str,
    max_body: usize,
    /// In seconds. 0 means no timeout.
    timeout: u64,
}

fn routes(settings: &Settings) -> Vec<ListedRoute> {
    let listed = ROUTES.iter().enumerate().filter(|(_, route)| route.listed);
    let shown = listed.map(|(index, route)| ListedRoute {
        method: route.method.as_str(),
        path: route.path,
        max_body: route.max_body,
        timeout: settings.route(index).timeout.map_or(0, |timeout| timeout.as_secs()),
    });
    shown.collect()
}

/// The answer of `/v1/status`, in the units of KES.
#[derive(Serialize)]
struct StatusAnswer {
    version: &'static str,
    os: &'static str,
    arch: &'static str,
    /// In seconds.
    uptime: u64,
    num_cpu: u64,
    num_cpu_used: u64,
    /// In bytes.
    mem_heap_used: u64,
    /// In bytes.
    mem_stack_used: u64,
    /// In milliseconds.
    keystore_latency: u64,
    #[serde(skip_serializing_if = "is_false")]
    keystore_unreachable: bool,
    #[serde(skip_serializing_if = "is_false")]
    keystore_unavailable: bool,
}

impl StatusAnswer {
    fn new(process: &ProcessFigures, cluster: &ClusterStatus) -> Self {
        // Without a lease the node still serves known keys, but it reaches no leader. These flags say so to clients.
        let unreachable = cluster.standing != Standing::Held;
        Self {
            version: VERSION,
            os: std::env::consts::OS,
            arch: go_arch(std::env::consts::ARCH),
            uptime: std::time::Duration::try_from_secs_f64(process.uptime_s).unwrap_or_default().as_secs(),
            num_cpu: process.num_cpu,
            num_cpu_used: process.num_cpu_used,
            mem_heap_used: process.heap_used,
            mem_stack_used: process.stack_used,
            keystore_latency: latency_ms(&cluster.storage),
            keystore_unreachable: unreachable,
            keystore_unavailable: unreachable,
        }
    }
}

/// How long a write to disk takes on average, in milliseconds, rounded up.
fn latency_ms(storage: &StorageFigures) -> u64 {
    storage.fsync_ns.checked_div(storage.fsyncs).unwrap_or(0).div_ceil(1_000_000)
}

/// Go's name of an architecture, which every client uses.
fn go_arch(arch: &'static str) -> &'static str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_have_their_go_names() {
        assert_eq!(go_arch("x86_64"), "amd64");
        assert_eq!(go_arch("aarch64"), "arm64");
        assert_eq!(go_arch("riscv64"), "riscv64");
    }

    #[test]
    fn latency_is_in_milliseconds_rounded_up() {
        let storage = |fsyncs, fsync_ns| StorageFigures { fsyncs, fsync_ns, ..StorageFigures::default() };
        assert_eq!(latency_ms(&storage(0, 0)), 0);
        assert_eq!(latency_ms(&storage(10, 2_100_000)), 1);
        assert_eq!(latency_ms(&storage(1, 3_000_000)), 3);
    }
}
