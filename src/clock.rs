//! The only source of wall time, and of a time that never steps and goes on while the machine sleeps.

use std::time::Duration;
#[cfg(not(feature = "simulation"))]
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Nanoseconds since the Unix epoch, by this machine's wall clock.
#[cfg(not(feature = "simulation"))]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn unix_ns() -> i64 {
    signed_nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Nanoseconds since this machine booted, sleep included (`CLOCK_BOOTTIME`). Leases are measured by it.
#[cfg(not(feature = "simulation"))]
pub fn boot_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

/// Nanoseconds since the Unix epoch, by the clock of the simulation.
#[cfg(feature = "simulation")]
pub fn unix_ns() -> i64 {
    signed_nanos(turmoil::since_epoch().unwrap_or_default())
}

/// Nanoseconds since the machines of the simulation booted, an hour before it began.
#[cfg(feature = "simulation")]
pub fn boot_ns() -> i64 {
    signed_nanos(Duration::from_secs(3_600) + turmoil::sim_elapsed().unwrap_or_default())
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockPair {
    /// As [`unix_ns`] has it.
    pub unix_ns: i64,
    /// As [`boot_ns`] has it.
    pub boot_ns: i64,
}

impl ClockPair {
    /// Both clocks now.
    pub fn now() -> Self {
        Self { unix_ns: unix_ns(), boot_ns: boot_ns() }
    }

    /// How far the wall clock is ahead of the other one, in nanoseconds. This changes when one of them jumps.
    pub fn ahead_ns(self) -> i64 {
        self.unix_ns.saturating_sub(self.boot_ns)
    }
}

/// A duration in nanoseconds, for counters and messages. It cuts a duration of more than 584 years short.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration in nanoseconds, for sums with [`boot_ns`] and [`unix_ns`]. It cuts a duration of more than 292 years
/// short.
pub fn signed_nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// The date that stands for an unknown one: the zero date of wire contract, "Ciphertexts".
pub const UNKNOWN_DATE: &str = "0001-01-01T00:00:00Z";

/// Formats a Unix time in nanoseconds as RFC 3339 in UTC. `None` becomes [`UNKNOWN_DATE`].
pub fn rfc3339(unix_ns: Option<i64>) -> String {
    unix_ns
        .and_then(|ns| OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| UNKNOWN_DATE.to_owned())
}

/// Parses an RFC 3339 text to a Unix time in nanoseconds.
pub fn from_rfc3339(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(Some(1_646_128_800_000_000_000)), "2022-03-01T10:00:00Z");
        assert_eq!(rfc3339(Some(1_500_000_000_250_000_000)), "2017-07-14T02:40:00.25Z");
        assert_eq!(rfc3339(None), "0001-01-01T00:00:00Z");
        assert_eq!(from_rfc3339("2017-07-14T02:40:00.25Z"), Some(1_500_000_000_250_000_000));
        assert_eq!(from_rfc3339("2022-03-01T11:00:00+01:00"), Some(1_646_128_800_000_000_000));
        assert_eq!(from_rfc3339("yesterday"), None);
    }
}
