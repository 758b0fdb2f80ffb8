//! Logs what this node and its peers refuse each other: each peer and reason once, and again after a while.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::policy::Identity;

/// How long the node does not log the same refusal again.
const QUIET: Duration = Duration::from_secs(600);
/// How many refusals the node remembers. Above that it logs nothing new until it has forgotten the oldest.
const REMEMBERED: usize = 64;
/// How many of them may be of one node, and of all nodes that are not known members. Their words may differ each time.
/// Without these shares, somebody could keep what another node is refused for out of the log.
const OF_ONE: usize = 8;
const OF_STRANGERS: usize = 24;

/// The refusals that the node has logged lately.
#[derive(Default)]
pub(in crate::raft) struct Refusals(Mutex<HashMap<(Identity, String), Logged>>);

struct Logged {
    at: Instant,
    is_stranger: bool,
}

/// The node at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(in crate::raft) struct Caller {
    /// Its TLS key.
    pub key: Identity,
    /// Whether that key is not the key of a known member.
    pub is_stranger: bool,
}

impl Refusals {
    /// Logs that this node refused a call, unless it did so within [`QUIET`].
    pub(in crate::raft) fn log_call(&self, caller: Caller, reason: &str) {
        if self.is_news(caller, reason, Instant::now()) {
            tracing::warn!(certificate = %caller.key, reason, "this node refused a call from another node");
        }
    }

    /// Logs that this node refused a connection, unless it did so within [`QUIET`].
    pub(in crate::raft) fn log_connection(&self, caller: Caller, reason: &str) {
        if self.is_news(caller, reason, Instant::now()) {
            tracing::warn!(certificate = %caller.key, reason, "this node refused a connection from another node");
        }
    }

    /// Logs that this node refused a connection that came too early or too late in a start, unless it did so within
    /// [`QUIET`]. Nothing is wrong then, so the level is INFO.
    pub(in crate::raft) fn log_untimely(&self, caller: Caller, reason: &str) {
        if self.is_news(caller, reason, Instant::now()) {
            tracing::info!(certificate = %caller.key, reason, "this node refused a connection from another node");
        }
    }

    /// Logs that the node that connected refuses this one, unless it did so within [`QUIET`].
    pub(in crate::raft) fn log_refused_by(&self, caller: Caller, reason: &str) {
        if !self.is_news(caller, reason, Instant::now()) {
            return;
        }
        let certificate = caller.key;
        if caller.is_stranger {
            tracing::warn!(%certificate, reason, "a node that this one does not know refuses it");
        } else {
            tracing::warn!(%certificate, reason, "another node refuses this one");
        }
    }

    fn is_news(&self, caller: Caller, reason: &str, now: Instant) -> bool {
        let Caller { key, is_stranger } = caller;
        let mut logged = self.0.lock();
        logged.retain(|_, logged| now.saturating_duration_since(logged.at) < QUIET);
        let of_one = logged.keys().filter(|(other, _)| *other == key).count();
        let of_strangers = logged.values().filter(|logged| logged.is_stranger).count();
        let has_room = logged.len() < REMEMBERED && of_one < OF_ONE && !(is_stranger && of_strangers >= OF_STRANGERS);
        let refusal = (key, reason.to_owned());
        let is_news = has_room && !logged.contains_key(&refusal);
        if is_news {
            logged.insert(refusal, Logged { at: now, is_stranger });
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(byte: u8, is_stranger: bool) -> Caller {
        Caller { key: Identity::from_bytes([byte; Identity::LEN]), is_stranger }
    }

    #[test]
    fn a_refusal_is_logged_once_for_each_caller_and_reason_and_again_after_a_while() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let [one, two] = [1, 2].map(|byte| caller(byte, false));
        assert!(refusals.is_news(one, "a", now));
        assert!(!refusals.is_news(one, "a", now));
        assert!(refusals.is_news(one, "b", now) && refusals.is_news(two, "a", now));
        assert!(refusals.is_news(one, "a", now + QUIET));
    }

    #[test]
    fn endless_callers_fill_neither_the_log_nor_the_memory() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let news = |caller, now| {
            let reasons = (0..10 * REMEMBERED).map(|number| number.to_string());
            reasons.filter(|reason| refusals.is_news(caller, reason, now)).count()
        };
        assert_eq!(news(caller(0, false), now), OF_ONE);
        let all: usize = (1..=u8::MAX).map(|byte| news(caller(byte, false), now)).sum();
        assert_eq!(all, REMEMBERED - OF_ONE);
    }

    #[test]
    fn strangers_cannot_keep_the_refusal_of_a_member_out_of_the_log() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let news = (0..=u8::MAX).filter(|byte| refusals.is_news(caller(*byte, true), &byte.to_string(), now));
        assert_eq!(news.count(), OF_STRANGERS);
        assert!(refusals.is_news(caller(1, false), "it has another cluster key", now));
    }
}
