//! The `audit` section: where audit records go besides the console, and whether the node serves without them.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use super::{duration, value};

const MAX_SIZE: RangeInclusive<u64> = 64 << 10..=1 << 40;
const MAX_AGE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(3600 * 24 * 366);
const KEEP: RangeInclusive<usize> = 1..=100_000;

/// Where audit records go besides the console, and whether the node serves without them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditConfig {
    /// Whether the node refuses requests while no sink takes their records.
    pub required: bool,
    /// A file on this node.
    pub file: Option<AuditFileConfig>,
    /// A syslog server.
    pub syslog: Option<SyslogConfig>,
}

/// A file that audit records go to, and when it is rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFileConfig {
    /// The current file. Rotated files have its name and the number of their first record.
    pub path: PathBuf,
    /// The size in bytes at which the node rotates it.
    pub max_size: u64,
    /// The age of its first record at which the node rotates it.
    pub max_age: Duration,
    /// How many rotated files the node keeps.
    pub keep: usize,
}

/// A syslog server that audit records go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogConfig {
    /// Where it listens.
    pub address: SyslogAddress,
    /// The facility of the records.
    pub facility: Facility,
}

/// Where a syslog server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogAddress {
    /// The syslog of this machine, at a datagram socket such as `/dev/log`.
    Unix(PathBuf),
    /// The `host:port` of a server that takes each record in a datagram (RFC 5426).
    Udp(String),
    /// The `host:port` of a server that takes each record after its length (RFC 6587, section 3.4.1).
    Tcp(String),
}

/// A facility of syslog (RFC 5424, section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// The number of the facility.
    pub fn number(self) -> u8 {
        self.0
    }

    fn parse(text: &str) -> Result<Self, String> {
        let found = FACILITIES.iter().find(|(name, _)| *name == text).map(|(_, number)| Self(*number));
        let names: Vec<_> = FACILITIES.iter().map(|(name, _)| *name).collect();
        found.ok_or_else(|| format!("is not a syslog facility; write one of {}", names.join(", ")))
    }
}

const FACILITIES: [(&str, u8); 13] = [
    ("user", 1),
    ("daemon", 3),
    ("auth", 4),
    ("authpriv", 10),
    ("audit", 13),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];
const AUTHPRIV: Facility = Facility(10);

/// Where audit records go. `on_console` says whether the console takes them too.
pub(super) fn settings(top: &Section<'_>, on_console: bool) -> AuditConfig {
    let audit = top.section("audit", &["required", "file", "syslog"]);
    let before = audit.problem_count();
    let config = AuditConfig {
        required: audit.value("required", value::switch).unwrap_or(false),
        file: audit.gives("file").then(|| file(&audit)).flatten(),
        syslog: audit.gives("syslog").then(|| syslog(&audit)).flatten(),
    };
    if config.required
        && !on_console
        && config.file.is_none()
        && config.syslog.is_none()
        && audit.problem_count() == before
    {
        let needs = "audit.required needs a sink for the records; add `file: {path: audit.log}`, `syslog` or \
                     `log: {audit: on}`";
        audit.problem(audit.line_of("required"), needs);
    }
    config
}

fn file(audit: &Section<'_>) -> Option<AuditFileConfig> {
    let file = audit.section("file", &["path", "max_size", "max_age", "keep"]);
    let path = file.required("path", "/var/log/keyraft/audit.log", value::path);
    let max_size = file.value("max_size", value::size(MAX_SIZE)).unwrap_or(100 << 20);
    let max_age = file.value("max_age", duration::within(MAX_AGE)).unwrap_or(Duration::from_secs(24 * 3600));
    let keep = file.value("keep", value::count(KEEP)).unwrap_or(30);
    Some(AuditFileConfig { path: path?, max_size, max_age, keep })
}

fn syslog(audit: &Section<'_>) -> Option<SyslogConfig> {
    let syslog = audit.section("syslog", &["address", "facility"]);
    let address = syslog.required("address", "unix:/dev/log", address);
    let facility = syslog.value("facility", Facility::parse).unwrap_or(AUTHPRIV);
    Some(SyslogConfig { address: address?, facility })
}

fn address(text: &str) -> Result<SyslogAddress, String> {
    let error = || "is not a syslog address; write unix:/dev/log, udp://host:514 or tcp://host:601".to_owned();
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        return Ok(SyslogAddress::Unix(path.into()));
    }
    let (kind, server): (fn(String) -> SyslogAddress, _) = match text.split_once("://") {
        Some(("udp", server)) => (SyslogAddress::Udp, server),
        Some(("tcp", server)) => (SyslogAddress::Tcp, server),
        _ => return Err(error()),
    };
    value::endpoint(server).map(kind).map_err(|_| error())
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Udp(server) => write!(f, "udp://{server}"),
            Self::Tcp(server) => write!(f, "tcp://{server}"),
        }
    }
}

impl fmt::Display for Facility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FACILITIES.iter().find(|(_, number)| *number == self.0).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl Default for SyslogConfig {
    fn default() -> Self {
        Self { address: SyslogAddress::Unix("/dev/log".into()), facility: AUTHPRIV }
    }
}
