//! Checks certificates: their keys, CAs and dates, and the name that clients use.

use super::report::CheckReport;
use crate::clock;
use crate::config::Config;
use crate::node::peer_tls;
use crate::tls::{date_warnings, inspect_api, inspect_peer, is_for_host};

/// Checks the files that the sections `tls` and `cluster.tls` name, and the key that the node made for its peers.
pub(super) fn check(config: &Config, report: &mut CheckReport<'_>) {
    let now_s = clock::unix_ns() / 1_000_000_000;
    for inspection in [inspect_api(&config.tls), inspect_peer(&config.cluster)] {
        for fault in &inspection.faults {
            report.problem(fault.setting, fault.error.to_string());
        }
        for warning in date_warnings(&inspection.certificates, now_s) {
            let setting = warning.certificate.usage.setting();
            let text = warning.to_string();
            report.warn(setting, text.strip_prefix(&format!("{setting}: ")).unwrap_or(&text));
        }
    }
    if config.cluster.tls.is_none()
        && let Err(fault) = peer_tls::own_key(&config.cluster.data)
    {
        report.problem(fault.setting, fault.error.to_string());
    }
    names(config, report);
}

/// Checks that the API's certificate names this node's API address in `cluster.peers`, by which clients know it.
fn names(config: &Config, report: &mut CheckReport<'_>) {
    let own = config.cluster.peers.iter().find(|peer| peer.name == config.cluster.name);
    let Some((host, _)) = own.and_then(|own| own.api_address.rsplit_once(':')) else { return };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // A node without peers lists the address that it listens on, which may stand for all addresses of the machine.
    let stands_for_all = host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified());
    if !stands_for_all && is_for_host(&config.tls.cert, host) == Some(false) {
        report.warn(
            "tls.cert",
            format!(
                "{} does not name {host}, which is the API address of this node in cluster.peers: clients that connect \
                 there refuse it; add the name or address to the certificate's subject alternative names",
                config.tls.cert.display()
            ),
        );
    }
}
