//! Notices when the wall clock and the clock of leases move apart.
//!
//! Some hypervisors stop `CLOCK_BOOTTIME` while they pause a guest. The guest then believes that its lease holds, although
//! more time has passed for the leader. The wall clock shows the pause once the hypervisor or NTP has set it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{self, ClockPair};

/// How far the clocks were apart at the last look.
#[derive(Debug)]
pub(super) struct ClockWatch {
    /// Unless one of them jumps, the clocks move apart by less than this between two looks.
    most_ns: u64,
    ahead_ns: AtomicI64,
    /// Locked while the end of the lease changes.
    looks: Mutex<Looks>,
}

/// Moments in nanoseconds of `CLOCK_BOOTTIME`; 0 before the first.
#[derive(Debug, Default)]
struct Looks {
    last_ns: i64,
    /// When a look last found that a clock had jumped.
    jumped_ns: i64,
}

impl ClockWatch {
    /// Begins to watch. A jump is more than a tenth of this lease, which is what the leader's waits allow for.
    pub(super) fn new(lease: Duration, now: ClockPair) -> Self {
        let (most_ns, ahead_ns) = (clock::nanos(lease) / 10, AtomicI64::new(now.ahead_ns()));
        Self { most_ns, ahead_ns, looks: Mutex::default() }
    }

    /// Whether a clock has jumped since the last look. Each use of the lease asks this: a guest that was paused a moment
    /// ago does not know it.
    pub(super) fn has_jumped(&self, now: ClockPair) -> bool {
        apart_ns(self.ahead_ns.load(Ordering::Acquire), now) > self.most_ns
    }

    /// Looks. If a clock has jumped since the last look, this calls `end_lease`, and returns by how much.
    pub(super) fn look(&self, now: ClockPair, end_lease: impl FnOnce()) -> Option<Duration> {
        let mut looks = self.looks.lock();
        if now.boot_ns < looks.last_ns {
            // Another thread has looked since this one read the clocks.
            return None;
        }
        let apart_ns = apart_ns(self.ahead_ns.load(Ordering::Acquire), now);
        let jump = (apart_ns > self.most_ns).then(|| Duration::from_nanos(apart_ns));
        looks.last_ns = now.boot_ns;
        if jump.is_some() {
            looks.jumped_ns = now.boot_ns;
            // Until the lease has ended, each use of it must see the jump, and wait here.
            end_lease();
        }
        self.ahead_ns.store(now.ahead_ns(), Ordering::Release);
        jump
    }

    /// Calls `extend_lease`, unless a look has found a jump since the node asked for the lease at this moment.
    pub(super) fn unless_jumped_since(&self, asked_at_ns: i64, extend_lease: impl FnOnce()) {
        let looks = self.looks.lock();
        if asked_at_ns > looks.jumped_ns {
            extend_lease();
        }
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
        let look = |now| watch.look(now, || {});
        assert_eq!(look(at(1_001 * S, 11 * S)), None);
        // NTP may slew a clock by a tenth of a second within ten seconds.
        assert_eq!(look(at(1_011 * S + S / 10, 21 * S)), None);
        let after_pause = at(1_013 * S, 21 * S);
        assert!(watch.has_jumped(after_pause));
        assert_eq!(look(after_pause), Some(Duration::from_millis(1_900)));
        assert!(!watch.has_jumped(after_pause));
        assert_eq!(look(at(1_014 * S, 22 * S)), None);
        assert_eq!(look(at(1_014 * S, 23 * S)), Some(Duration::from_secs(1)), "somebody set the clock back");
    }

    #[test]
    fn every_thread_sees_a_jump_until_the_lease_has_ended() {
        let at = |unix_ns, boot_ns| ClockPair { unix_ns, boot_ns };
        let watch = ClockWatch::new(Duration::from_secs(2), at(1_000 * S, 10 * S));
        let (before, after) = (at(1_001 * S, 11 * S), at(1_031 * S, 12 * S));
        let mut ended = false;
        let jump = watch.look(after, || {
            ended = true;
            assert!(watch.has_jumped(after), "another thread uses the lease at this moment");
        });
        assert_eq!((jump, ended), (Some(Duration::from_secs(29)), true));
        assert_eq!(watch.look(before, || panic!("this thread read the clocks before the jump")), None);
        assert!(!watch.has_jumped(after));
    }
}
