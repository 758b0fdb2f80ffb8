//! What this node waits for, as its log and its local status show it. The log repeats it often at first, and then once
//! a minute.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};

/// The pause between two looks at what this node waits for.
const LOOK: Duration = Duration::from_millis(500);
/// The log does not mention a shorter wait. This is also the shortest time between two lines.
const FIRST: Duration = Duration::from_secs(2);
/// The longest time between two lines of the log.
const LONGEST: Duration = Duration::from_secs(60);

/// What this node waits for. All clones share it.
#[derive(Debug, Clone, Default)]
pub struct Waits(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What the node waits for besides its peers, such as the cluster's first command.
    step: ArcSwapOption<String>,
    peers: ArcSwap<Vec<String>>,
}

impl Waits {
    /// What this node waits for now, one text for each. Empty when the node works.
    pub fn now(&self) -> Vec<String> {
        let step = self.0.step.load_full().map(|step| step.as_ref().clone());
        self.0.peers.load().iter().cloned().chain(step).collect()
    }

    /// Sets what the node waits for besides its peers. `None` ends that wait.
    pub fn set_step(&self, step: Option<String>) {
        self.0.step.store(step.map(Arc::new));
    }

    /// Sets what the node waits for from its peers.
    pub(in crate::raft) fn set_peers(&self, peers: Vec<String>) {
        self.0.peers.store(Arc::new(peers));
    }

    /// Logs what the node waits for. Never returns.
    pub async fn log(self) {
        let mut schedule = Schedule::default();
        loop {
            let waits = self.now();
            match schedule.look(Instant::now(), &waits) {
                Some(WaitLine::Waits(since)) => {
                    tracing::warn!(waiting_for = waits.join("; "), seconds = since.as_secs(), "this node waits");
                }
                Some(WaitLine::Over(since)) => {
                    tracing::info!(seconds = since.as_secs(), "this node no longer waits");
                }
                None => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Decides when the log mentions a wait.
#[derive(Default)]
struct Schedule {
    wait: Option<OngoingWait>,
}

struct OngoingWait {
    since: Instant,
    next: Instant,
    pause: Duration,
    logged: Option<Instant>,
    /// The lists of reasons that the log has mentioned.
    known: HashSet<Vec<String>>,
}

/// A line to log, with the time that the node has waited.
#[derive(Debug, PartialEq, Eq)]
enum WaitLine {
    Waits(Duration),
    Over(Duration),
}

impl Schedule {
    /// What to log now. A wait gets a line after [`FIRST`] and then after pauses that double up to [`LONGEST`]. A new
    /// reason gets one sooner, but never less than [`FIRST`] after the last line.
    fn look(&mut self, now: Instant, waits: &[String]) -> Option<WaitLine> {
        if waits.is_empty() {
            let over = self.wait.take()?;
            return over.logged.map(|_| WaitLine::Over(now - over.since));
        }
        let waiting = self.wait.get_or_insert_with(|| OngoingWait {
            since: now,
            next: now + FIRST,
            pause: FIRST,
            logged: None,
            known: HashSet::new(),
        });
        let is_new = waiting.logged.is_some_and(|at| now >= at + FIRST) && !waiting.known.contains(waits);
        if now < waiting.next && !is_new {
            return None;
        }
        if now >= waiting.next {
            waiting.pause = if waiting.logged.is_none() { FIRST } else { (waiting.pause * 2).min(LONGEST) };
        }
        (waiting.next, waiting.logged) = (now + waiting.pause, Some(now));
        // A reason that comes and goes counts as new only once.
        waiting.known.insert(waits.to_vec());
        Some(WaitLine::Waits(now - waiting.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged_at(seconds: std::ops::Range<u64>, waits: impl Fn(u64) -> Vec<String>) -> Vec<u64> {
        let (mut schedule, begin) = (Schedule::default(), Instant::now());
        let logged = seconds.filter(|second| {
            let line = schedule.look(begin + Duration::from_secs(*second), &waits(*second));
            matches!(line, Some(WaitLine::Waits(_)))
        });
        logged.collect()
    }

    #[test]
    fn a_long_wait_is_logged_often_at_first_and_then_once_a_minute() {
        let logged = logged_at(0..250, |_| vec!["a leader".to_owned()]);
        assert_eq!(logged, [2, 4, 8, 16, 32, 64, 124, 184, 244]);
    }

    #[test]
    fn a_new_reason_is_logged_early_and_one_that_comes_and_goes_is_new_once() {
        let at = |second: u64| vec![if second < 40 { "a" } else { "b" }.to_owned()];
        assert!(logged_at(0..50, at).contains(&40));
        let flapping = logged_at(0..100, |second| vec![(second % 2).to_string()]);
        assert!(flapping.len() < 10, "{flapping:?}");
    }

    #[test]
    fn a_short_wait_is_not_logged_and_the_end_of_a_long_one_is() {
        let (mut schedule, begin) = (Schedule::default(), Instant::now());
        let mut look = |seconds, waits: &[String]| schedule.look(begin + Duration::from_secs(seconds), waits);
        let leader = ["a leader".to_owned()];
        assert_eq!((look(0, &leader), look(1, &[])), (None, None));
        assert_eq!((look(2, &leader), look(4, &leader)), (None, Some(WaitLine::Waits(Duration::from_secs(2)))));
        assert_eq!((look(9, &[]), look(10, &[])), (Some(WaitLine::Over(Duration::from_secs(7))), None));
    }

    #[test]
    fn peers_come_before_the_step() {
        let waits = Waits::default();
        waits.set_step(Some("the cluster's first command".to_owned()));
        waits.set_peers(vec!["node-2".to_owned()]);
        assert_eq!(waits.now(), ["node-2", "the cluster's first command"]);
        waits.set_peers(Vec::new());
        waits.set_step(None);
        assert!(waits.now().is_empty());
    }
}
