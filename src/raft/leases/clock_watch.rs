//! Notices when the wall clock and the clock of leases move apart.
//!
//! Some hypervisors stop `CLOCK_BOOTTIME` while they pause a guest. The guest then believes that its lease holds, although
//! more time has passed for the leader. The wall clock shows the pause once the hypervisor or NTP has set it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::{self, ClockPair};

/// How far the clocks were apart at the last look.
#[derive(Debug)]
pub(super) struct ClockWatch {
    /// Unless one of them jumps, the clocks move apart by less than this between two looks.
    most_ns: u64,
    ahead_ns: AtomicI64,
}

impl ClockWatch {
    /// Begins to watch. A jump is more than a tenth of this lease, which is what the leader's waits allow for.
    pub(super) fn new(lease: Duration, now: ClockPair) -> Self {
        Self { most_ns: clock::nanos(lease) / 10, ahead_ns: AtomicI64::new(now.ahead_ns()) }
    }

    /// Whether a clock has jumped since the last look. Each use of the lease asks this: a guest that was paused a moment
    /// ago does not know it.
    pub(super) fn has_jumped(&self, now: ClockPair) -> bool {
        apart_ns(self.ahead_ns.load(Ordering::Acquire), now) > self.most_ns
    }

    /// Looks. Returns by how much a clock has jumped since the last look, if one has.
    pub(super) fn look(&self, now: ClockPair) -> Option<Duration> {
        // Of threads that look at the same time, each finds what another one left. So one of them sees the jump.
        let apart_ns = apart_ns(self.ahead_ns.swap(now.ahead_ns(), Ordering::AcqRel), now);
        (apart_ns > self.most_ns).then(|| Duration::from_nanos(apart_ns))
    }
}

fn apart_ns(ahead_before_ns: i64, now: ClockPair) -> u64 {
    now.ahead_ns().saturating_sub(ahead_before_ns).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn a_jump_of_the_wall_clock_is_seen_once_and_slewing_is_not_a_jump() {
        let at = |unix_ns, boot_ns| ClockPair { unix_ns, boot_ns };
        let watch = ClockWatch::new(Duration::from_secs(2), at(1_000 * S, 10 * S));
        assert_eq!(watch.look(at(1_001 * S, 11 * S)), None);
        // NTP may slew a clock by a tenth of a second within ten seconds.
        assert_eq!(watch.look(at(1_011 * S + S / 10, 21 * S)), None);
        let after_pause = at(1_013 * S, 21 * S);
        assert!(watch.has_jumped(after_pause));
        assert_eq!(watch.look(after_pause), Some(Duration::from_millis(1_900)));
        assert!(!watch.has_jumped(after_pause));
        assert_eq!(watch.look(at(1_014 * S, 22 * S)), None);
        assert_eq!(watch.look(at(1_014 * S, 23 * S)), Some(Duration::from_secs(1)), "somebody set the clock back");
    }
}
