//! Writes a configuration as a complete, commented YAML file that reads back as the same configuration.

use std::fmt::{self, Display, Write};
use std::path::Path;
use std::time::Duration;

use super::policies::Policies;
use super::{
    AuditConfig, AuditFileConfig, ClusterConfig, Config, ConsistencyConfig, LimitsConfig, LogConfig, LogFormat,
    PeerTlsConfig, RouteConfig, SealConfig, SnapshotConfig, StorageConfig, SyslogConfig, TlsConfig, duration,
    environment,
};
use crate::policy::{Identity, Policy};

/// Writes a configuration as a file that [`Config::load`] reads back as an equal one.
///
/// The file holds the password of `tls.key`, if there is one. Paths must be UTF-8.
pub fn render(config: &Config) -> String {
    let mut text = String::new();
    write(&mut text, config).expect("writing to a String does not fail");
    text
}

fn write(out: &mut String, config: &Config) -> fmt::Result {
    writeln!(out, "# The configuration of one Keyraft node. Values may contain ${{NAME}}, an environment variable.\n")?;
    writeln!(out, "version: v1\n\n# Where the HTTPS API listens.\naddress: {}\n", quoted(config.address))?;
    writeln!(
        out,
        "# The admin, who may do everything. With any value but an identity, this file makes nobody an admin."
    )?;
    let admin = config.admin.map_or_else(|| "disabled".to_owned(), |identity| identity.to_string());
    writeln!(out, "admin:\n  identity: {}\n", quoted(admin))?;
    tls(out, &config.tls)?;
    api(out, config.api.iter())?;
    policies(out, &config.policies)?;
    keys(out, config)?;
    cache(out, config)?;
    log(out, &config.log)?;
    audit(out, &config.audit)?;
    cluster(out, &config.cluster)?;
    seal(out, &config.seal)?;
    consistency(out, config.consistency)?;
    limits(out, config.limits)
}

fn tls(out: &mut String, tls: &TlsConfig) -> fmt::Result {
    writeln!(out, "# TLS of the API. The node reads the files again when they change.\ntls:")?;
    writeln!(out, "  key: {}\n  cert: {}", path(&tls.key), path(&tls.cert))?;
    writeln!(out, "  password: {}  # of an encrypted private key", quoted(tls.password.as_ref().map_or("", |p| &p.0)))?;
    writeln!(
        out,
        "  auth: {}  # on: client certificates must chain to ca, or to the system's roots",
        switch(tls.verify_clients)
    )?;
    writeln!(out, "  ca: {}", tls.ca.as_deref().map_or_else(|| quoted(""), path))?;
    writeln!(out, "  proxy:  # identities that may forward a client's certificate, and the header in which they do")?;
    identities(out, "    ", &tls.proxies)?;
    writeln!(out, "    header:\n      cert: {}\n", quoted(tls.proxy_header.as_deref().unwrap_or("")))
}

fn api<'a>(out: &mut String, routes: impl ExactSizeIterator<Item = (&'a String, &'a RouteConfig)>) -> fmt::Result {
    writeln!(out, "# Settings of single routes. skip_auth is allowed only for ready, status, metrics and api.")?;
    writeln!(out, "api:{}", if routes.len() == 0 { " {}" } else { "" })?;
    for (route, RouteConfig { skip_auth, timeout }) in routes {
        let timeout = timeout.map_or_else(String::new, |timeout| format!(", timeout: {}", time(timeout)));
        writeln!(out, "  {}: {{skip_auth: {}{timeout}}}", quoted(route), switch(*skip_auth))?;
    }
    writeln!(out)
}

fn policies(out: &mut String, policies: &Policies) -> fmt::Result {
    writeln!(
        out,
        "# Policies and their identities. The cluster takes them over when it is created; later changes go through the API."
    )?;
    writeln!(out, "policy:{}", if policies.is_empty() { " {}" } else { "" })?;
    for (name, (Policy { allow, deny }, assigned)) in policies {
        writeln!(out, "  {}:", quoted(name))?;
        list(out, "    ", "allow", allow.iter().map(|pattern| quoted(pattern.as_str())))?;
        list(out, "    ", "deny", deny.iter().map(|pattern| quoted(pattern.as_str())))?;
        identities(out, "    ", assigned)?;
    }
    writeln!(out)
}

fn keys(out: &mut String, Config { keys, deletion_window, .. }: &Config) -> fmt::Result {
    writeln!(
        out,
        "# How long a deleted key can be restored (0s: not at all), and keys that the node creates before it serves."
    )?;
    writeln!(out, "keys:\n  deletion_window: {}", time(*deletion_window))?;
    list(out, "  ", "create", keys.iter().map(|name| format!("{{name: {}}}", quoted(name))))?;
    writeln!(out)
}

fn cache(out: &mut String, Config { cache, .. }: &Config) -> fmt::Result {
    writeln!(
        out,
        "# How long opened keys stay in memory since they were opened (any) and last used (unused), and how many at most."
    )?;
    writeln!(out, "cache:\n  expiry:\n    any: {}\n    unused: {}", time(cache.any), time(cache.unused))?;
    writeln!(out, "  capacity: {}\n", cache.capacity)
}

fn log(out: &mut String, log: &LogConfig) -> fmt::Result {
    let format = match log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    writeln!(out, "# What the node writes to the console.\nlog:")?;
    writeln!(out, "  error: {}\n  audit: {}", switch(log.error), switch(log.audit))?;
    writeln!(out, "  level: {}  # or like info,keyraft=debug", quoted(&log.level))?;
    writeln!(out, "  format: {format}  # text or json\n")
}

fn audit(out: &mut String, audit: &AuditConfig) -> fmt::Result {
    writeln!(
        out,
        "# Where audit records go besides the console (log.audit). If required, the node refuses requests that it cannot record."
    )?;
    writeln!(out, "audit:\n  required: {}", switch(audit.required))?;
    if let Some(AuditFileConfig { path: file, max_size, max_age, keep }) = &audit.file {
        writeln!(out, "  file:\n    path: {}\n    max_size: {max_size}  # bytes", path(file))?;
        writeln!(out, "    max_age: {}\n    keep: {keep}  # rotated files", time(*max_age))?;
    }
    if let Some(SyslogConfig { address, facility }) = &audit.syslog {
        writeln!(out, "  syslog:\n    address: {}\n    facility: {facility}", quoted(address))?;
    }
    writeln!(out)
}

fn cluster(out: &mut String, cluster: &ClusterConfig) -> fmt::Result {
    writeln!(out, "# This node and its peers. Every node has the same list in the same order.\ncluster:")?;
    writeln!(out, "  name: {}", quoted(&cluster.name))?;
    writeln!(out, "  listen: {}  # for peers", quoted(cluster.listen))?;
    writeln!(out, "  data: {}", path(&cluster.data))?;
    peer_tls(out, cluster.tls.as_ref())?;
    if let Some(file) = &cluster.bootstrap_key {
        writeln!(out, "  bootstrap_key: {}  # with which the nodes of a new cluster prove themselves", path(file))?;
    }
    if let Some(file) = &cluster.vm_generation {
        writeln!(out, "  vm_generation: {}  # the node ends when this file changes", path(file))?;
    }
    writeln!(out, "  peers:")?;
    for peer in &cluster.peers {
        let (name, address, api) = (quoted(&peer.name), quoted(&peer.peer_address), quoted(&peer.api_address));
        writeln!(out, "  - {{name: {name}, peer: {address}, api: {api}}}")?;
    }
    writeln!(out, "  handshakes: {}  # handshakes of peers at a time", cluster.handshakes)?;
    writeln!(
        out,
        "  connections: {}  # connections of peers, including those in their handshake",
        cluster.connections
    )?;
    let timing = cluster.timing;
    writeln!(out, "  timing:\n    heartbeat: {}", time(timing.heartbeat))?;
    writeln!(out, "    election_min: {}", time(timing.election_min))?;
    writeln!(out, "    election_max: {}  # also the leader's lease", time(timing.election_max))?;
    snapshot(out, cluster.snapshot)?;
    storage(out, cluster.storage)
}

fn peer_tls(out: &mut String, tls: Option<&PeerTlsConfig>) -> fmt::Result {
    let Some(PeerTlsConfig { cert, key, ca }) = tls else {
        return writeln!(
            out,
            "  # Without a section tls, the node makes its key for peers itself: peer.key in the data folder."
        );
    };
    writeln!(out, "  tls:\n    cert: {}\n    key: {}", path(cert), path(key))?;
    ca.iter().try_for_each(|ca| writeln!(out, "    ca: {}  # of all nodes", path(ca)))
}

fn snapshot(out: &mut String, snapshot: SnapshotConfig) -> fmt::Result {
    writeln!(out, "  snapshot:\n    log_bytes: {}  # bytes of log before the next one", snapshot.log_bytes)?;
    writeln!(out, "    keep_entries: {}  # log entries to keep behind it", snapshot.keep_entries)?;
    writeln!(out, "    checkpoint_every: {}", time(snapshot.checkpoint_every))?;
    writeln!(out, "    transfer_timeout: {}\n", time(snapshot.transfer_timeout))
}

fn storage(out: &mut String, storage: StorageConfig) -> fmt::Result {
    let StorageConfig { low, reserve, stall } = storage;
    if storage == StorageConfig::default() {
        return Ok(());
    }
    writeln!(out, "# What the disk of cluster.data must have, in bytes, and how fast it must be.\nstorage:")?;
    low.iter()
        .try_for_each(|low| writeln!(out, "  low: {low}  # with less, the cluster makes no change that needs room"))?;
    reserve
        .iter()
        .try_for_each(|reserve| writeln!(out, "  reserve: {reserve}  # for what a node must write all the same"))?;
    writeln!(out, "  stall: {}  # after a flush that takes longer, another node leads\n", time(stall))
}

fn seal(out: &mut String, seal: &SealConfig) -> fmt::Result {
    writeln!(out, "# The root key: 32 bytes in base64, in a file or in an environment variable (env).\nseal:")?;
    match seal {
        SealConfig::File(file) => writeln!(out, "  file: {}\n", path(file)),
        SealConfig::Env(name) => writeln!(out, "  env: {}\n", quoted(name)),
    }
}

fn consistency(out: &mut String, consistency: ConsistencyConfig) -> fmt::Result {
    writeln!(out, "# How long a lease holds, and how long the node serves known keys without one (0s: not at all).")?;
    writeln!(out, "consistency:\n  lease: {}", time(consistency.lease))?;
    writeln!(out, "  offline: {}\n", time(consistency.offline))
}

fn limits(out: &mut String, limits: LimitsConfig) -> fmt::Result {
    writeln!(out, "# Limits on what clients may use up.\nlimits:\n  connections: {}", limits.connections)?;
    writeln!(out, "  reserved_files: {}  # open files reserved for the disk and the log", limits.reserved_files)?;
    writeln!(out, "  streams: {}  # requests at a time on one HTTP/2 connection", limits.streams)?;
    writeln!(out, "  handshake_timeout: {}", time(limits.handshake_timeout))?;
    writeln!(out, "  header_timeout: {}", time(limits.header_timeout))?;
    let first = time(limits.first_request_timeout);
    writeln!(out, "  first_request_timeout: {first}  # from the handshake to the first byte of a request")?;
    writeln!(out, "  write_timeout: {}  # for a client that does not read its answers", time(limits.write_timeout))?;
    writeln!(out, "  idle_timeout: {}  # between two requests", time(limits.idle_timeout))?;
    writeln!(
        out,
        "  max_age: {}  # of a connection; then the node closes it between two requests",
        time(limits.max_age)
    )?;
    writeln!(out, "  drain_timeout: {}  # for requests in flight when the node stops", time(limits.drain_timeout))?;
    writeln!(out, "  audit_queue: {}  # records; while it is full, requests wait", limits.audit_queue)
}

fn identities(out: &mut String, indent: &str, identities: &[Identity]) -> fmt::Result {
    list(out, indent, "identities", identities.iter().map(quoted))
}

fn list(out: &mut String, indent: &str, key: &str, items: impl ExactSizeIterator<Item = String>) -> fmt::Result {
    writeln!(out, "{indent}{key}:{}", if items.len() == 0 { " []" } else { "" })?;
    for item in items {
        writeln!(out, "{indent}- {item}")?;
    }
    Ok(())
}

fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn time(time: Duration) -> String {
    duration::show(time)
}

fn path(path: &Path) -> String {
    quoted(path.display())
}

/// A text as a YAML scalar in double quotes, which has only ASCII characters.
fn quoted(text: impl Display) -> String {
    let mut scalar = String::from("\"");
    for c in environment::escape(&text.to_string()).chars() {
        match c {
            '"' | '\\' => scalar.extend(['\\', c]),
            ' '..='~' => scalar.push(c),
            _ => scalar.extend([format!("\\U{:08X}", u32::from(c))]),
        }
    }
    scalar.push('"');
    scalar
}
