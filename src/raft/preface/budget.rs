//! Limits the signatures that this node makes for strangers.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many prefaces this node signs within [`PERIOD`] for nodes that are not known members. A member that joined while
/// this node was away is one of them, too.
const SIGNATURES: u32 = 32;
const PERIOD: Duration = Duration::from_secs(1);

/// How many of them this node has made in this period.
#[derive(Default)]
pub(super) struct StrangerBudget(Mutex<Option<(Instant, u32)>>);

impl StrangerBudget {
    /// Whether there is one left.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut spent = self.0.lock();
        let count = match *spent {
            Some((since, count)) if now.saturating_duration_since(since) < PERIOD => count,
            _ => {
                *spent = Some((now, 0));
                0
            }
        };
        if let Some((_, spent)) = &mut *spent {
            *spent = count.saturating_add(1);
        }
        count < SIGNATURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_get_so_many_signatures_in_each_period() {
        let (budget, now) = (StrangerBudget::default(), Instant::now());
        assert_eq!((0..1000).filter(|_| budget.take(now)).count(), 32);
        assert!(!budget.take(now + PERIOD / 2));
        assert_eq!((0..1000).filter(|_| budget.take(now + PERIOD)).count(), 32);
    }
}
