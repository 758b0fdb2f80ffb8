//! Readers of single values. Their errors are clauses that follow the value: "'x' is not …; write …".

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::environment;
use super::settings::LogFormat;
use crate::policy::{Identity, KeyName};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The beginning of an API key, which may also be left out (wire contract, "Identity and TLS").
pub(super) const API_KEY: &str = "kes:v1:";
/// How many bytes a root key and an API key have.
const SECRET_BYTES: RangeInclusive<usize> = 32..=33;

/// Whether a text may be an API key, a root key or a static key of MinIO: 32 or 33 bytes in base64, after the last colon.
pub(super) fn is_secret(text: &str) -> bool {
    let digits = text.rsplit(':').next().unwrap_or(text).trim_end_matches('=');
    STANDARD_NO_PAD.decode(digits).is_ok_and(|bytes| SECRET_BYTES.contains(&bytes.len()))
}

/// A switch, in any spelling of YAML 1.1 or 1.2.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        _ => Err("is neither on nor off".to_owned()),
    }
}

/// The switch of a log. KES also allows a level there, and any level counts as on.
pub(super) fn log_switch(text: &str) -> Result<bool, String> {
    let error = "is neither on nor off, nor a level that KES knows: DEBUG, INFO, WARN or ERROR";
    switch(text).or_else(|_| if is_kes_level(text) { Ok(true) } else { Err(error.to_owned()) })
}

/// Whether a text is a level of KES: a name in any case, with or without an offset, as in `INFO+1`.
pub(super) fn is_kes_level(text: &str) -> bool {
    const NAMES: [&str; 4] = ["debug", "info", "warn", "error"];
    let (name, offset) = text.split_at(text.find(['+', '-']).unwrap_or(text.len()));
    let is_offset = offset.is_empty() || offset.parse::<i32>().is_ok();
    is_offset && NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// An address to listen on. `:7373` means every interface, on IPv4 and IPv6. Resolves a host name, to IPv4 if possible.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    let error = || "is not an address to listen on; write it like 0.0.0.0:7373 or :7373".to_owned();
    if full.contains('/') {
        return Err(error());
    }
    let found: Vec<SocketAddr> = full.to_socket_addrs().map_err(|_| error())?.collect();
    found.iter().find(|address| address.is_ipv4()).or(found.first()).copied().ok_or_else(error)
}

/// The `host:port` at which others reach a node.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return Err("must be host:port alone, without a scheme".to_owned());
    }
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let host = |host: &str| {
        !host.is_empty() && !host.contains(['/', '@', ' ']) && (!host.contains(':') || host.starts_with('['))
    };
    match text.rsplit_once(':') {
        Some((h, p)) if host(h) && port(p) => Ok(text.to_owned()),
        _ => Err("does not have the form host:port; write it like 10.0.0.1:7373 or node-1.example.com:7373".to_owned()),
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

/// Returns a reader of whole numbers in a range.
pub(super) fn count<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Copy + std::fmt::Display,
{
    move |text| {
        let error = || format!("is not a whole number from {} to {}", range.start(), range.end());
        text.parse().ok().filter(|count| range.contains(count)).ok_or_else(error)
    }
}

/// Returns a reader of sizes in bytes in a range: `1048576`, `64KiB`, `100MiB`, `2GiB`.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    move |text| {
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, bytes)| Some((text.strip_suffix(name)?.trim_end(), *bytes)))
            .unwrap_or((text, 1));
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let bytes = digits.then(|| number.parse::<u64>().ok()?.checked_mul(unit)).flatten();
        let error = || format!("is not a size from {} to {} bytes; write it like 100MiB", range.start(), range.end());
        bytes.filter(|bytes| range.contains(bytes)).ok_or_else(error)
    }
}

/// An identity. Refuses an API key, which somebody may confuse with it.
pub(super) fn identity(text: &str) -> Result<Identity, String> {
    if text.starts_with(API_KEY) || is_secret(text) {
        return Err("is an API key, which is secret; write the identity that `keyraft identity of` prints".to_owned());
    }
    text.parse().map_err(|error| format!("is not an identity: {error}"))
}

/// The name of a key.
pub(super) fn key_name(text: &str) -> Result<String, String> {
    let error = "is not a key name; write 1 to 80 letters, digits, '_' or '-', with '-' only inside";
    KeyName::parse(text).map(|name| name.as_str().to_owned()).map_err(|_| error.to_owned())
}

/// The name of a node.
pub(super) fn node_name(text: &str) -> Result<String, String> {
    let fits = text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let error = || "is not a node name; write 1 to 63 letters, digits, '-', '_' or '.'".to_owned();
    (fits && !text.is_empty()).then(|| text.to_owned()).ok_or_else(error)
}

/// The name of an HTTP header (RFC 9110, section 5.1).
pub(super) fn header(text: &str) -> Result<String, String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let fits = !text.is_empty() && text.bytes().all(is_token);
    fits.then(|| text.to_owned()).ok_or_else(|| "is not the name of an HTTP header".to_owned())
}

/// The name of a variable of the environment.
pub(super) fn variable(text: &str) -> Result<String, String> {
    let error = || "is not the name of an environment variable; write the name, not its value".to_owned();
    environment::is_name(text).then(|| text.to_owned()).ok_or_else(error)
}

/// A tracing filter: levels, each for one target or for all.
pub(super) fn filter(text: &str) -> Result<String, String> {
    let is_level = |level: &str| LEVELS.contains(&level.to_ascii_lowercase().as_str());
    let directive = |part: &str| match part.rsplit_once('=') {
        Some((target, level)) => !target.trim().is_empty() && is_level(level),
        None => is_level(part),
    };
    let error =
        || format!("is not a log level; write one of {}, or a filter like info,keyraft=debug", LEVELS.join(", "));
    text.split(',').all(|part| directive(part.trim())).then(|| text.to_owned()).ok_or_else(error)
}

/// The form of log lines.
pub(super) fn format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("is not a log format; write text or json".to_owned()),
    }
}

/// The version of the file's format.
pub(super) fn version(text: &str) -> Result<(), String> {
    (text == "v1").then_some(()).ok_or_else(|| "is not a version of this file's format; write v1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_have_several_spellings() {
        for on in ["on", "On", "ON", "true", "yes"] {
            assert_eq!(switch(on), Ok(true), "{on}");
        }
        for off in ["off", "FALSE", "no"] {
            assert_eq!(switch(off), Ok(false), "{off}");
        }
        assert!(switch("1").is_err());
    }

    #[test]
    fn a_level_switches_a_log_on() {
        for on in ["on", "Yes", "ERROR", "warn", "Info", "DEBUG", "INFO+1", "error-4"] {
            assert_eq!(log_switch(on), Ok(true), "{on}");
        }
        assert_eq!(log_switch("off"), Ok(false));
        for bad in ["1", "", "trace", "WARNING", "INFO+", "INFO+x", "+1", "loud"] {
            assert!(log_switch(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_have_a_port_and_may_leave_out_the_host() {
        for (text, full) in [("0.0.0.0:7373", "0.0.0.0:7373"), (":7373", "[::]:7373"), ("[::1]:0", "[::1]:0")] {
            assert_eq!(address(text), Ok(full.parse().unwrap()), "{text}");
        }
        for bad in ["", "0.0.0.0", "7373", "0.0.0.0:65536", "::1:x", "https://0.0.0.0:7373"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn endpoints_are_host_and_port() {
        for good in ["127.0.0.1:1", "node-1:7373", "[::1]:7373", "a.b.c:65535"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in
            ["", ":7373", "node", "node:", "node:0", "node:70000", "https://node:1", "a/b:1", "::1:7373", "u@h:1"]
        {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_name_levels() {
        for good in ["info", "WARN", "info,keyraft=debug", "keyraft::raft=trace, warn"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["", "infoo", "keyraft", "keyraft=", "=info", "info,", "keyraft=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, bytes) in [("4096", 4096), ("4KiB", 4096), ("3 MiB", 3 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(size(1..=1 << 40)(text), Ok(bytes), "{text}");
        }
        for bad in ["", "KiB", "1KB", "-1", "+1", "1.5MiB", "99999999999TiB", "0", "2TiB"] {
            assert!(size(1..=1 << 40)(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_follow_their_grammars() {
        assert!(node_name("node-1.example_2").is_ok());
        assert!(["", "a b", "a/b", &"a".repeat(64)].iter().all(|bad| node_name(bad).is_err()));
        assert!(header("X-Tls-Client-Cert").is_ok());
        assert!(["", "X Cert", "X:"].iter().all(|bad| header(bad).is_err()));
        assert!(variable("KEYRAFT_ROOT_KEY").is_ok());
        assert!(["", "1A", "A-B", "c2VjcmV0="].iter().all(|bad| variable(bad).is_err()));
        assert_eq!(count(1..=3_u32)("3"), Ok(3));
        assert!(["0", "4", "-1", "", "1.0", "x"].iter().all(|bad| count(1..=3_u32)(bad).is_err()));
    }
}
