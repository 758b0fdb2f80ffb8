//! Logs what this node and its peers refuse each other: each peer and reason once, and again after a while.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::policy::Identity;

/// How long the node does not log the same refusal again.
const QUIET: Duration = Duration::from_secs(600);
/// How many refusals the node remembers. Above that it logs nothing new until it has forgotten the oldest.
const REMEMBERED: usize = 64;

/// The refusals that the node has logged lately.
#[derive(Default)]
pub(in crate::raft) struct Refusals(Mutex<HashMap<(Identity, String), Instant>>);

impl Refusals {
    /// Logs that this node refused a call, unless it did so within [`QUIET`].
    pub(in crate::raft) fn log_call(&self, caller: Identity, reason: &str) {
        if self.is_news(caller, reason, Instant::now()) {
            tracing::warn!(certificate = %caller, reason, "this node refused a call from another node");
        }
    }

    /// Logs that this node refused a connection, unless it did so within [`QUIET`].
    pub(in crate::raft) fn log_connection(&self, caller: Identity, reason: &str) {
        if self.is_news(caller, reason, Instant::now()) {
            tracing::warn!(certificate = %caller, reason, "this node refused a connection from another node");
        }
    }

    /// Logs that the node that connected refuses this one, unless it did so within [`QUIET`].
    pub(in crate::raft) fn log_refused_by(&self, caller: Identity, reason: &str) {
        if self.is_news(caller, reason, Instant::now()) {
            tracing::warn!(certificate = %caller, reason, "another node refuses this one");
        }
    }

    fn is_news(&self, caller: Identity, reason: &str, now: Instant) -> bool {
        let mut logged = self.0.lock();
        logged.retain(|_, at| now.saturating_duration_since(*at) < QUIET);
        let refusal = (caller, reason.to_owned());
        let is_news = logged.len() < REMEMBERED && !logged.contains_key(&refusal);
        if is_news {
            logged.insert(refusal, now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_logged_once_for_each_caller_and_reason_and_again_after_a_while() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let [one, two] = [1, 2].map(|byte| Identity::from_bytes([byte; Identity::LEN]));
        assert!(refusals.is_news(one, "a", now));
        assert!(!refusals.is_news(one, "a", now));
        assert!(refusals.is_news(one, "b", now) && refusals.is_news(two, "a", now));
        assert!(refusals.is_news(one, "a", now + QUIET));
    }

    #[test]
    fn endless_callers_fill_neither_the_log_nor_the_memory() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let caller = Identity::from_bytes([1; Identity::LEN]);
        let news = (0..10 * REMEMBERED).filter(|number| refusals.is_news(caller, &number.to_string(), now));
        assert_eq!(news.count(), REMEMBERED);
    }
}
