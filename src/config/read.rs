//! Reads whole files: every section, and what the sections must agree on.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::environment::Environment;
use super::finding::{Problems, Warning};
use super::section::{Reading, Section};
use super::{
    Borrowed, Config, LogConfig, Override, PolicyFile, RouteConfig, audit, cluster, kes, node, policies, tls, tree,
    value,
};
use crate::policy::Identity;

const SECTIONS: &[&str] = &[
    "version",
    "address",
    "admin",
    "tls",
    "api",
    "policy",
    "keys",
    "cache",
    "log",
    "audit",
    "keystore",
    "cluster",
    "storage",
    "seal",
    "consistency",
    "limits",
];

/// Where the public API listens by default, on IPv4 and IPv6, as KES does.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 7373);

/// Parses the text of a file, reads its settings with `read`, and collects everything found in it. Reads an override as if
/// the file had it.
pub(super) fn parse_file<T>(
    file: &Path,
    text: &str,
    (environment, overrides): (Environment<'_>, &[Override]),
    read: fn(&Section<'_>) -> Option<T>,
) -> Result<(T, Vec<Warning>), Problems> {
    let reading = Reading::new(file, environment, overrides);
    let found = match tree::parse(text) {
        Ok(top) => read(&Section::top(&reading, &top, SECTIONS)),
        Err(error) => {
            reading.problem(error.line, error.message);
            None
        }
    };
    reading.finish(found)
}

/// A node's configuration. `None` if something it needs is missing, which is reported as a problem.
pub(super) fn config(top: &Section<'_>) -> Option<Config> {
    let common = common(top);
    let address = address(top);
    if top.gives("keystore") {
        top.warn(top.line_of("keystore"), "keystore is ignored: Keyraft keeps the keys itself; remove the section");
    }
    let tls = tls::settings(top);
    let cluster = cluster::settings(top, address);
    let seal = node::seal(top);
    let (cache, offline) = kes::cache(top);
    let (consistency, limits) = (node::consistency(top, offline), node::limits(top));
    let Common { admin, api, policies, keys: (keys, deletion_window), log } = common;
    let audit = audit::settings(top, log.audit);
    let (tls, cluster, seal) = (tls?, cluster?, seal?);
    Some(Config {
        address,
        admin,
        tls,
        api,
        policies,
        keys,
        deletion_window,
        cache,
        log,
        audit,
        cluster,
        seal,
        consistency,
        limits,
    })
}

/// Where the API listens. If the setting is wrong, an address that causes no further problem.
fn address(top: &Section<'_>) -> SocketAddr {
    let before = top.problem_count();
    let given = top.value("address", value::address);
    let otherwise = if top.problem_count() == before { ADDRESS } else { SocketAddr::new(ADDRESS.ip(), 0) };
    given.unwrap_or(otherwise)
}

/// The settings that a throw-away cluster borrows. Ignores the sections about this machine.
#[expect(clippy::unnecessary_wraps, reason = "`parse_file` takes this function and `config`, which may lack something")]
pub(super) fn borrowed(top: &Section<'_>) -> Option<Borrowed> {
    let Common { admin, api, policies, keys: (keys, deletion_window), log } = common(top);
    let tls::ClientTrust { verify_clients, ca, proxies, proxy_header } = tls::borrowed(top);
    Some(Borrowed { admin, api, policies, keys, deletion_window, log, verify_clients, ca, proxies, proxy_header })
}

/// The policies alone. `None` if the file lacks that section, which is reported as a problem.
pub(super) fn policy_file(top: &Section<'_>) -> Option<PolicyFile> {
    if !top.gives("policy") {
        top.problem(1, "the file has no `policy` section, so there is nothing to apply; add one");
        return None;
    }
    let admin = top.gives("admin").then(|| kes::admin(top)).flatten();
    Some(PolicyFile { admin, policies: policies::read(top, admin) })
}

/// What a node's configuration and a borrowed one have in common.
struct Common {
    admin: Option<Identity>,
    api: BTreeMap<String, RouteConfig>,
    policies: policies::Policies,
    keys: (Vec<String>, Duration),
    log: LogConfig,
}

fn common(top: &Section<'_>) -> Common {
    top.value("version", value::version);
    let admin = kes::admin(top);
    let (api, policies) = (kes::api(top), policies::read(top, admin));
    Common { admin, api, policies, keys: kes::keys(top), log: kes::log(top) }
}
