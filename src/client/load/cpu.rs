//! The CPU time of processes, from Linux's accounting in `/proc`.

use std::time::Duration;

use super::LoadError;

/// Ticks a second in `/proc`. Linux shows 100 to user space on every machine, also where the kernel's own clock differs.
const TICKS_PER_SECOND: u64 = 100;

/// The CPU time that processes have used since they began.
pub struct CpuTimes {
    servers: Option<Duration>,
    own: Duration,
}

/// The CPU time used between two readings.
#[derive(Debug, Clone, Copy)]
pub struct CpuUsed {
    /// By the server processes, if the plan names any.
    pub servers: Option<Duration>,
    /// By this process.
    pub own: Duration,
}

impl CpuTimes {
    /// Reads the times now.
    pub fn now(servers: &[u32]) -> Result<Self, LoadError> {
        let mut sum = Duration::ZERO;
        for pid in servers {
            sum += of_process(*pid).map_err(|source| LoadError::Process { pid: *pid, source })?;
        }
        let pid = std::process::id();
        let own = of_process(pid).map_err(|source| LoadError::Process { pid, source })?;
        Ok(Self { servers: (!servers.is_empty()).then_some(sum), own })
    }

    /// The time used since an earlier reading.
    pub fn since(&self, earlier: &Self) -> CpuUsed {
        let servers = self.servers.zip(earlier.servers).map(|(now, then)| now.saturating_sub(then));
        CpuUsed { servers, own: self.own.saturating_sub(earlier.own) }
    }
}

fn of_process(pid: u32) -> std::io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse(&stat).ok_or_else(|| std::io::Error::other("/proc shows its times in an unknown form"))
}

/// User and system time, fields 14 and 15. The second field is a name in parentheses that may hold any character, so
/// counting begins after the last parenthesis.
fn parse(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_after_a_name_with_blanks_and_parentheses() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 100 1000 10";
        assert_eq!(parse(stat), Some(Duration::from_secs(2)));
        assert!(of_process(std::process::id()).is_ok());
    }
}
