//! How long a connection may do what it does, in sweeps, and what becomes of one that takes longer.

use std::time::Duration;

use super::state::{Doing, Seen};
use crate::config::LimitsConfig;

/// The longest time between two sweeps.
const LONGEST_PERIOD: Duration = Duration::from_secs(1);
/// The shortest.
const SHORTEST_PERIOD: Duration = Duration::from_millis(10);

/// The limits, in sweeps.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    period: Duration,
    head: u32,
    first: u32,
    write: u32,
    idle: u32,
    age: u32,
    drain: u32,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Leave,
    /// It goes on until its next answer, which is its last.
    AnswerOnceMore,
    /// It finishes what it is answering, and ends.
    Drain,
    /// It ends at once.
    Close,
}

impl Patience {
    /// The patience of these limits.
    pub fn new(limits: &LimitsConfig) -> Self {
        let LimitsConfig { header_timeout, first_request_timeout, write_timeout, idle_timeout, max_age, .. } = *limits;
        let all = [header_timeout, first_request_timeout, write_timeout, idle_timeout, max_age];
        let shortest = all.into_iter().min().unwrap_or(LONGEST_PERIOD);
        let period = (shortest / 4).clamp(SHORTEST_PERIOD, LONGEST_PERIOD);
        // One more than fits, since the first may be almost over.
        let sweeps = |limit: Duration| u32::try_from(limit.as_nanos() / period.as_nanos() + 1).unwrap_or(u32::MAX);
        let [head, first, write, idle, age] = all.map(sweeps);
        Self { period, head, first, write, idle, age, drain: sweeps(limits.drain_timeout) }
    }

    /// The time between two sweeps.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What becomes of a connection that is seen like this at the sweep `now`; `number` spreads the ages, so that
    /// connections which began together do not end together.
    pub fn judge(&self, seen: &Seen, now: u32, number: u64) -> Verdict {
        let over = |since: u32, limit: u32| now.wrapping_sub(since) > limit;
        let stuck = |limit| [seen.unsent, seen.blocked].into_iter().flatten().any(|since| over(since, limit));
        let spread = u32::try_from(number % (u64::from(self.age) / 8 + 1)).unwrap_or(0);
        let age = self.age.saturating_add(spread);
        let is_answering = seen.doing == Doing::Answering;
        match seen.doing {
            _ if stuck(self.write.saturating_add(self.drain)) => Verdict::Close,
            _ if !is_answering && seen.drained.is_some_and(|since| over(since, self.drain)) => Verdict::Close,
            Doing::Asking(since) if over(since, self.head) => Verdict::Close,
            // Over HTTP/2 nothing can be asked before the preface, so that nothing is lost.
            Doing::Silent { since, h2: true } if over(since, self.first) => Verdict::Close,
            Doing::Silent { since, h2: false } if over(since, self.first) => Verdict::Drain,
            Doing::Idling(since) if over(since, self.idle) => Verdict::Drain,
            _ if stuck(self.write) => Verdict::Drain,
            _ if seen.streams > 0 => Verdict::Leave,
            // A client that takes its answer byte by byte has had its time by then.
            _ if over(seen.born, age.saturating_mul(2)) && is_answering => Verdict::Close,
            _ if over(seen.born, age) && (seen.h2 || seen.doing == Doing::Shaking) => Verdict::Drain,
            // A client of HTTP/1.1 may write a request while its connection is closed, and would lose it: only an answer
            // can say that the connection ends.
            _ if over(seen.born, age) => Verdict::AnswerOnceMore,
            _ => Verdict::Leave,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sweep a second.
    fn patience() -> Patience {
        Patience::new(&LimitsConfig::default())
    }

    fn seen(doing: Doing) -> Seen {
        Seen { doing, born: 1, unsent: None, blocked: None, streams: 0, drained: None, h2: false }
    }

    /// When a connection that stays like this is drained, and when it is closed.
    fn ends(seen: &Seen) -> (Option<u32>, Option<u32>) {
        let (mut seen, mut drained) = (*seen, None);
        for now in 1..20_000 {
            match patience().judge(&seen, now, 0) {
                Verdict::Leave | Verdict::AnswerOnceMore => {}
                Verdict::Drain => {
                    drained = drained.or(Some(now));
                    seen.drained = drained;
                }
                Verdict::Close => return (drained, Some(now)),
            }
        }
        (drained, None)
    }

    #[test]
    fn each_limit_ends_what_it_is_for() {
        let silent = |h2| seen(Doing::Silent { since: 1, h2 });
        assert_eq!(patience().period(), Duration::from_secs(1));
        for (what, seen, expected) in [
            ("a head that never ends", seen(Doing::Asking(1)), (None, Some(13))),
            ("no preface", silent(true), (None, Some(33))),
            ("no first request", silent(false), (Some(33), Some(45))),
            ("idling", seen(Doing::Idling(1)), (Some(183), Some(195))),
            ("nothing taken of an answer", Seen { unsent: Some(1), ..seen(Doing::Answering) }, (Some(33), Some(44))),
            ("nothing taken of the socket", Seen { blocked: Some(1), ..seen(Doing::Idling(1)) }, (Some(33), Some(44))),
            ("its age, at work", Seen { h2: true, ..seen(Doing::Answering) }, (Some(3_603), Some(7_204))),
            ("its age over HTTP/1.1, which its next answer says", seen(Doing::Answering), (None, Some(7_204))),
            ("a stream", Seen { streams: 1, ..seen(Doing::Answering) }, (None, None)),
            ("a handshake, which has its own limit", seen(Doing::Shaking), (Some(3_603), Some(3_615))),
        ] {
            assert_eq!(ends(&seen), expected, "{what}");
        }
        let stuck_stream = Seen { streams: 1, unsent: Some(1), ..seen(Doing::Answering) };
        assert_eq!(ends(&stuck_stream), (Some(33), Some(44)), "a stream that nobody reads is none to keep");
    }

    #[test]
    fn connections_that_began_together_do_not_end_together() {
        let at = |number| {
            let work = seen(Doing::Answering);
            (1..5_000).find(|now| patience().judge(&work, *now, number) != Verdict::Leave).unwrap()
        };
        assert_eq!((at(0), at(1), at(449), at(451)), (3_603, 3_604, 4_052, 3_603));
    }

    #[test]
    fn an_old_connection_of_http_1_is_left_to_ask_once_more() {
        let idling = |h2| patience().judge(&Seen { h2, ..seen(Doing::Idling(10_000)) }, 10_001, 0);
        assert_eq!((idling(false), idling(true)), (Verdict::AnswerOnceMore, Verdict::Drain));
    }

    #[test]
    fn the_shortest_limit_sets_how_often_is_looked() {
        let limits = LimitsConfig { write_timeout: Duration::from_millis(100), ..LimitsConfig::default() };
        assert_eq!(Patience::new(&limits).period(), Duration::from_millis(25));
    }
}
