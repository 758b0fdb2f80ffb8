//! How long a connection may take for what it does, and what the sweep does with one that takes longer.

use std::time::Duration;

use super::state::{Activity, Observation};
use crate::config::LimitsConfig;

/// The longest time between two sweeps.
const LONGEST_PERIOD: Duration = Duration::from_secs(1);
/// The shortest time between two sweeps.
const SHORTEST_PERIOD: Duration = Duration::from_millis(10);

/// The time limits of connections, as numbers of sweeps.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimits {
    period: Duration,
    head: u32,
    first_request: u32,
    write: u32,
    idle: u32,
    age: u32,
    drain: u32,
}

/// What the sweep does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepDecision {
    /// Lets it go on.
    Leave,
    /// Makes its next answer the last one.
    AnswerOnceMore,
    /// Lets it finish the answers that are in flight, and then end.
    Drain,
    /// Ends it at once.
    Close,
}

impl TimeLimits {
    /// The limits of a configuration.
    pub fn new(limits: &LimitsConfig) -> Self {
        let LimitsConfig { header_timeout, first_request_timeout, write_timeout, idle_timeout, max_age, .. } = *limits;
        let all = [header_timeout, first_request_timeout, write_timeout, idle_timeout, max_age];
        let shortest = all.into_iter().min().unwrap_or(LONGEST_PERIOD);
        let period = (shortest / 4).clamp(SHORTEST_PERIOD, LONGEST_PERIOD);
        // One more than fits, since the first period may be almost over.
        let sweeps = |limit: Duration| u32::try_from(limit.as_nanos() / period.as_nanos() + 1).unwrap_or(u32::MAX);
        let [head, first_request, write, idle, age] = all.map(sweeps);
        Self { period, head, first_request, write, idle, age, drain: sweeps(limits.drain_timeout) }
    }

    /// The time between two sweeps.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What the sweep `now` does with a connection. `number` is the connection's own: it spreads the ages, so that
    /// connections which began together do not end together.
    pub fn decide(&self, seen: &Observation, now: u32, number: u64) -> SweepDecision {
        let over = |since: u32, limit: u32| now.wrapping_sub(since) > limit;
        let waits = [seen.stalled_since, seen.blocked_since];
        let stuck = |limit| waits.into_iter().flatten().any(|since| over(since, limit));
        let spread = u32::try_from(number % (u64::from(self.age) / 8 + 1)).unwrap_or(0);
        let age = self.age.saturating_add(spread);
        let is_answering = seen.activity == Activity::Answering;
        match seen.activity {
            _ if stuck(self.write.saturating_add(self.drain)) => SweepDecision::Close,
            _ if !is_answering && seen.drained_at.is_some_and(|since| over(since, self.drain)) => SweepDecision::Close,
            Activity::ReceivingHead(since) if over(since, self.head) => SweepDecision::Close,
            Activity::AwaitingFirstRequest { since, is_http2 } if over(since, self.first_request) => {
                // Over HTTP/2 a client cannot send a request before the preface, so closing loses no request.
                if is_http2 { SweepDecision::Close } else { SweepDecision::Drain }
            }
            Activity::Idle(since) if over(since, self.idle) => SweepDecision::Drain,
            _ if stuck(self.write) => SweepDecision::Drain,
            _ if seen.streams > 0 => SweepDecision::Leave,
            // By then, even a client that takes its answer byte by byte has had its time.
            _ if over(seen.accepted_at, age.saturating_mul(2)) && is_answering => SweepDecision::Close,
            _ if over(seen.accepted_at, age) && (seen.is_http2 || seen.activity == Activity::Handshake) => {
                SweepDecision::Drain
            }
            // A client of HTTP/1.1 may send a request while the server closes the connection, and would lose it. Only
            // an answer can say that the connection ends.
            _ if over(seen.accepted_at, age) => SweepDecision::AnswerOnceMore,
            _ => SweepDecision::Leave,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default limits, which mean one sweep a second.
    fn limits() -> TimeLimits {
        TimeLimits::new(&LimitsConfig::default())
    }

    fn seen(activity: Activity) -> Observation {
        Observation {
            activity,
            accepted_at: 1,
            stalled_since: None,
            blocked_since: None,
            streams: 0,
            drained_at: None,
            is_http2: false,
        }
    }

    /// Returns the sweep that drains a connection that stays like this, and the sweep that closes it.
    fn ends(seen: &Observation) -> (Option<u32>, Option<u32>) {
        let (mut seen, mut drained) = (*seen, None);
        for now in 1..20_000 {
            match limits().decide(&seen, now, 0) {
                SweepDecision::Leave | SweepDecision::AnswerOnceMore => {}
                SweepDecision::Drain => {
                    drained = drained.or(Some(now));
                    seen.drained_at = drained;
                }
                SweepDecision::Close => return (drained, Some(now)),
            }
        }
        (drained, None)
    }

    #[test]
    fn each_limit_ends_what_it_is_for() {
        let silent = |is_http2| seen(Activity::AwaitingFirstRequest { since: 1, is_http2 });
        let answering = seen(Activity::Answering);
        assert_eq!(limits().period(), Duration::from_secs(1));
        for (what, seen, expected) in [
            ("a head that never ends", seen(Activity::ReceivingHead(1)), (None, Some(13))),
            ("a missing preface", silent(true), (None, Some(33))),
            ("a missing first request", silent(false), (Some(33), Some(45))),
            ("an idle connection", seen(Activity::Idle(1)), (Some(183), Some(195))),
            (
                "an answer that the client does not take",
                Observation { stalled_since: Some(1), ..answering },
                (Some(33), Some(44)),
            ),
            (
                "a socket that accepts no bytes",
                Observation { blocked_since: Some(1), ..seen(Activity::Idle(1)) },
                (Some(33), Some(44)),
            ),
            ("its age, at work", Observation { is_http2: true, ..answering }, (Some(3_603), Some(7_204))),
            ("its age over HTTP/1.1, which its next answer says", answering, (None, Some(7_204))),
            ("a stream", Observation { streams: 1, ..answering }, (None, None)),
            ("a handshake, which has its own limit", seen(Activity::Handshake), (Some(3_603), Some(3_615))),
        ] {
            assert_eq!(ends(&seen), expected, "{what}");
        }
        let stuck_stream = Observation { streams: 1, stalled_since: Some(1), ..answering };
        assert_eq!(ends(&stuck_stream), (Some(33), Some(44)), "a stream that nobody reads ends, too");
    }

    #[test]
    fn connections_that_began_together_do_not_end_together() {
        let at = |number| {
            let work = seen(Activity::Answering);
            (1..5_000).find(|now| limits().decide(&work, *now, number) != SweepDecision::Leave).unwrap()
        };
        assert_eq!((at(0), at(1), at(449), at(451)), (3_603, 3_604, 4_052, 3_603));
    }

    #[test]
    fn an_old_connection_of_http_1_may_send_one_more_request() {
        let idle = |is_http2| {
            let seen = Observation { is_http2, ..seen(Activity::Idle(10_000)) };
            limits().decide(&seen, 10_001, 0)
        };
        assert_eq!((idle(false), idle(true)), (SweepDecision::AnswerOnceMore, SweepDecision::Drain));
    }

    #[test]
    fn the_shortest_limit_sets_how_often_the_sweep_runs() {
        let limits = LimitsConfig { write_timeout: Duration::from_millis(100), ..LimitsConfig::default() };
        assert_eq!(TimeLimits::new(&limits).period(), Duration::from_millis(25));
    }
}
