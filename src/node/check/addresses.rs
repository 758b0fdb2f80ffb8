//! Checks that the node can listen on its addresses, and that the names of others resolve.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::folders::report_sink;
use super::report::CheckReport;
use crate::config::{Config, SyslogAddress};
use crate::socket::try_address;

/// How long a name may take to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks the addresses that the node listens on and those that it connects to.
pub(super) async fn check(config: &Config, report: &mut CheckReport<'_>) {
    listening("address", config.address, report);
    listening("cluster.listen", config.cluster.listen, report);
    peers(config, report).await;
    if let Some(syslog) = &config.audit.syslog
        && let SyslogAddress::Udp(server) | SyslogAddress::Tcp(server) = &syslog.address
        && let Err(error) = resolved(server).await
    {
        report_sink(config, report, &format!("'{server}' does not resolve: {error}"));
    }
}

fn listening(setting: &str, address: SocketAddr, report: &mut CheckReport<'_>) {
    match try_address(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && report.runs => {
            report.note(setting, format!("not checked: {address} is in use, and a node runs on the data folder"));
        }
        Err(error) => {
            let (why, what) = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    ("another program already does", "stop that program or choose another port")
                }
                io::ErrorKind::AddrNotAvailable => {
                    ("this machine does not have that address", "choose one that it has")
                }
                io::ErrorKind::PermissionDenied => ("this user may not", "choose a port from 1024 on"),
                _ => return report.problem(setting, format!("the node cannot listen on {address}: {error}")),
            };
            report.problem(setting, format!("the node cannot listen on {address}: {why}; {what}"));
        }
        Ok(()) => {}
    }
}

async fn peers(config: &Config, report: &mut CheckReport<'_>) {
    let peers = config.cluster.peers.iter().enumerate();
    let addresses: Vec<_> = peers
        .flat_map(|(number, peer)| {
            let setting = |which: &str| format!("cluster.peers[{number}].{which}");
            [
                (setting("peer"), &peer.name, &peer.peer_address, true),
                (setting("api"), &peer.name, &peer.api_address, false),
            ]
        })
        .collect();
    let looked_up = join_all(addresses.iter().map(|(_, _, address, _)| resolved(address))).await;
    for ((setting, name, address, is_peer), outcome) in addresses.iter().zip(looked_up) {
        let Err(error) = outcome else { continue };
        let message = format!("{name}: '{address}' does not resolve here: {error}");
        if *is_peer {
            report.problem(setting, message);
        } else {
            report.warn(setting, format!("{message}; clients connect to this address"));
        }
    }
}

async fn resolved(address: &str) -> io::Result<()> {
    let found = timeout(RESOLVE_TIMEOUT, lookup_host(address)).await;
    match found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?.next() {
        Some(_) => Ok(()),
        None => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
    }
}
