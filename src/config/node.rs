//! The sections `seal`, `consistency` and `limits`: where the root key is, and the limits of one node.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::section::Section;
use super::settings::{ConsistencyConfig, LimitsConfig, SealConfig};
use super::{duration, kes, value};

const LEASE: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(60);
const CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;
const RESERVED_FILES: RangeInclusive<usize> = 64..=1_000_000;
const STREAMS: RangeInclusive<u32> = 1..=65_536;
const WAIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
const AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(8760 * 3600);
const DRAIN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(600);
const AUDIT_QUEUE: RangeInclusive<usize> = 16..=16_777_216;

/// Where the root key comes from, which a node needs.
pub(super) fn seal(top: &Section<'_>) -> Option<SealConfig> {
    if !top.gives("seal") {
        top.problem(top.line_of("seal"), "the section `seal` is missing: add `seal: {file: root.key}`");
        return None;
    }
    let before = top.problem_count();
    let seal = top.section("seal", &["file", "env"]);
    let file = seal.value("file", value::path);
    let env = seal.value("env", value::variable);
    match (file, env) {
        (Some(file), None) => Some(SealConfig::File(file)),
        (None, Some(env)) => Some(SealConfig::Env(env)),
        (Some(_), Some(_)) => {
            seal.problem(seal.line, "seal: both file and env are given; keep the one that holds the root key");
            None
        }
        (None, None) => {
            if seal.problem_count() == before {
                seal.problem(seal.line, "seal: neither file nor env is given; add `file: root.key`");
            }
            None
        }
    }
}

/// What the node may do while it cannot reach a leader. `offline` is the value of the setting that KES has for it.
pub(super) fn consistency(top: &Section<'_>, offline: Option<Duration>) -> ConsistencyConfig {
    let consistency = top.section("consistency", &["lease", "offline"]);
    let own = consistency.value("offline", duration::within(kes::EXPIRY));
    ConsistencyConfig {
        lease: consistency.value("lease", duration::within(LEASE)).unwrap_or(Duration::from_secs(2)),
        offline: own.or(offline).unwrap_or(Duration::from_secs(3600)),
    }
}

/// Limits on what clients may use up.
pub(super) fn limits(top: &Section<'_>) -> LimitsConfig {
    const SETTINGS: &[&str] = &[
        "connections",
        "reserved_files",
        "streams",
        "handshake_timeout",
        "header_timeout",
        "first_request_timeout",
        "write_timeout",
        "idle_timeout",
        "max_age",
        "drain_timeout",
        "audit_queue",
    ];
    let limits = top.section("limits", SETTINGS);
    let standard = LimitsConfig::default();
    let wait = |key, range, standard| limits.value(key, duration::within(range)).unwrap_or(standard);
    let count = |key, range, standard| limits.value(key, value::count(range)).unwrap_or(standard);
    LimitsConfig {
        connections: count("connections", CONNECTIONS, standard.connections),
        reserved_files: count("reserved_files", RESERVED_FILES, standard.reserved_files),
        streams: limits.value("streams", value::count(STREAMS)).unwrap_or(standard.streams),
        handshake_timeout: wait("handshake_timeout", WAIT, standard.handshake_timeout),
        header_timeout: wait("header_timeout", WAIT, standard.header_timeout),
        first_request_timeout: wait("first_request_timeout", WAIT, standard.first_request_timeout),
        write_timeout: wait("write_timeout", WAIT, standard.write_timeout),
        idle_timeout: wait("idle_timeout", IDLE, standard.idle_timeout),
        max_age: wait("max_age", AGE, standard.max_age),
        drain_timeout: wait("drain_timeout", DRAIN, standard.drain_timeout),
        audit_queue: count("audit_queue", AUDIT_QUEUE, standard.audit_queue),
    }
}
