//! The small sections that KES has too: `admin`, `api`, `keys`, `cache` and `log`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::section::{Section, SettingText};
use super::settings::{CacheConfig, LogConfig, LogFormat, RouteConfig};
use super::{SKIP_AUTH, duration, routes, value};
use crate::policy::{ActionKind, Identity};

/// What KES users write so that nobody is the admin.
const NO_ADMIN: [&str; 2] = ["disabled", "_"];

/// Up to a year, like everything that a node may use without asking the leader.
pub(super) const EXPIRY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(8760 * 3600);
/// A deleted key can be restored for a year at most, because a user who deletes a key wants its secret to be gone.
const DELETION_WINDOW: RangeInclusive<Duration> = EXPIRY;
const CAPACITY: RangeInclusive<usize> = 1..=10_000_000;
const ROUTE_TIMEOUT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);

/// The admin. Any value but an identity means that the file names no admin. Warns unless that is clearly intended.
pub(super) fn admin(top: &Section<'_>) -> Option<Identity> {
    let admin = top.section("admin", &["identity"]);
    let before = top.problem_count();
    let Some(SettingText { line, value, .. }) = admin.text("identity") else {
        if top.problem_count() == before {
            top.warn(
                admin.line,
                "admin.identity is missing, so this file makes nobody an admin; write `disabled` if that is intended",
            );
        }
        return None;
    };
    let identity = value.parse().ok();
    if identity.is_none() && !NO_ADMIN.contains(&value.as_str()) {
        let message = "admin.identity is not an identity (64 lower-case hexadecimal digits), so this file makes nobody an \
                       admin; write `disabled` if that is intended";
        admin.warn(line, message);
    }
    identity
}

/// Settings of routes, by path without a slash at the end.
pub(super) fn api(top: &Section<'_>) -> BTreeMap<String, RouteConfig> {
    let mut api = BTreeMap::new();
    for (path, section) in top.named_sections("api", &["skip_auth", "timeout"]) {
        let Some(route) = routes::named(path) else {
            section.problem(section.line, format!("api: '{path}' is not a route; `GET /v1/api` lists the routes"));
            continue;
        };
        if api.insert(route.to_owned(), route_settings(route, &section)).is_some() {
            section.problem(section.line, format!("api: the route {route} appears twice; keep one of them"));
        }
    }
    api
}

fn route_settings(route: &str, section: &Section<'_>) -> RouteConfig {
    let skip_auth = section.value("skip_auth", value::switch).unwrap_or(false);
    let allowed = SKIP_AUTH.map(ActionKind::path);
    if skip_auth && !allowed.contains(&route) {
        let allowed = allowed.join(", ");
        let message = format!("api.{route}.skip_auth is allowed only for {allowed}; remove it here");
        section.problem(section.line_of("skip_auth"), message);
    }
    // KES writes zero for the default of the route.
    let timeout = section.value("timeout", duration::within(ROUTE_TIMEOUT)).filter(|timeout| !timeout.is_zero());
    RouteConfig { skip_auth, timeout }
}

/// The names of the keys to create, in the order of the file and without duplicates, and how long a deleted key can be
/// restored. In KES `keys` is a list; with a deletion window it is a section.
pub(super) fn keys(top: &Section<'_>) -> (Vec<String>, Duration) {
    if !top.is_section("keys") {
        return (names(top, "keys"), Duration::ZERO);
    }
    let keys = top.section("keys", &["deletion_window", "create"]);
    let window = keys.value("deletion_window", duration::within(DELETION_WINDOW)).unwrap_or_default();
    (names(&keys, "create"), window)
}

fn names(section: &Section<'_>, list: &str) -> Vec<String> {
    let mut names = Vec::new();
    for key in section.listed_sections(list, &["name"]) {
        let Some(name) = key.required("name", "my-key", value::key_name) else { continue };
        if names.contains(&name) {
            key.warn(key.line, format!("keys: '{name}' appears twice; keep one of them"));
        } else {
            names.push(name);
        }
    }
    names
}

/// How long opened keys stay in memory. Also returns what KES calls `offline`, which here belongs to `consistency`.
pub(super) fn cache(top: &Section<'_>) -> (CacheConfig, Option<Duration>) {
    let cache = top.section("cache", &["expiry", "capacity"]);
    let expiry = cache.section("expiry", &["any", "unused", "offline"]);
    let config = CacheConfig {
        any: expiry.value("any", duration::within(EXPIRY)).unwrap_or(Duration::from_secs(5 * 60)),
        unused: expiry.value("unused", duration::within(EXPIRY)).unwrap_or(Duration::from_secs(30)),
        capacity: cache.value("capacity", value::count(CAPACITY)).unwrap_or(10_000),
    };
    (config, expiry.value("offline", duration::within(EXPIRY)))
}

/// Which events the node logs, and in which form.
pub(super) fn log(top: &Section<'_>) -> LogConfig {
    let log = top.section("log", &["error", "audit", "level", "format"]);
    LogConfig {
        error: log_switch(&log, "error").unwrap_or(true),
        audit: log_switch(&log, "audit").unwrap_or(false),
        level: log.value("level", value::filter).unwrap_or_else(|| "info".to_owned()),
        format: log.value("format", value::format).unwrap_or(LogFormat::Text),
    }
}

/// A log switch. KES also allows a level there. Here a level switches the log on, and only `log.level` filters events.
fn log_switch(log: &Section<'_>, key: &str) -> Option<bool> {
    let text = log.text(key)?;
    if value::is_kes_level(&text.value) {
        let message = format!(
            "log.{key}: the level '{}' counts as on; `log.level` sets which events the log shows",
            text.shown()
        );
        log.warn(text.line, message);
    }
    log.parse(&text, value::log_switch)
}
