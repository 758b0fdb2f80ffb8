//! How far a load test has come, for a display, and a way to end it early.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock;

/// What a load test is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Creating keys and opening connections.
    Preparing,
    /// Sending requests that do not count.
    WarmingUp,
    /// Sending requests that count.
    Measuring,
    /// Deleting keys.
    CleaningUp,
}

/// A time in which no request succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gap {
    /// How long it was.
    pub length: Duration,
    /// When it began, counted from the start of the measurement.
    pub at: Duration,
}

/// The counts of a running test, shared with the display.
#[derive(Debug)]
pub struct LoadProgress {
    phase: AtomicU8,
    done: AtomicU64,
    /// When the last request succeeded, in nanoseconds after `start`.
    last_ns: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    failures: Mutex<BTreeMap<String, u64>>,
    /// The length of `longest`, which can be compared without the lock.
    longest_ns: AtomicU64,
    longest: Mutex<Gap>,
    /// When the measurement began, in nanoseconds after `start`.
    measured_ns: AtomicU64,
    start: Instant,
    stop: CancellationToken,
}

impl Default for LoadProgress {
    fn default() -> Self {
        Self {
            phase: AtomicU8::default(),
            done: AtomicU64::default(),
            last_ns: AtomicU64::default(),
            answered: AtomicU64::default(),
            failed: AtomicU64::default(),
            failures: Mutex::default(),
            longest_ns: AtomicU64::default(),
            longest: Mutex::default(),
            measured_ns: AtomicU64::default(),
            start: Instant::now(),
            stop: CancellationToken::new(),
        }
    }
}

impl LoadProgress {
    /// What the test is doing.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Preparing,
            1 => Phase::WarmingUp,
            2 => Phase::Measuring,
            _ => Phase::CleaningUp,
        }
    }

    /// How many requests succeeded so far, including the warm-up.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// How many requests and connections failed so far, including the warm-up.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// The failures by kind: the HTTP status, or the kind of transport failure.
    pub fn failures(&self) -> BTreeMap<String, u64> {
        self.failures.lock().clone()
    }

    /// How long ago the last request succeeded.
    pub fn silence(&self) -> Duration {
        Duration::from_nanos(self.ns(Instant::now()).saturating_sub(self.last_ns.load(Ordering::Relaxed)))
    }

    /// The longest time in the measurement so far in which no request succeeded.
    pub fn longest_gap(&self) -> Gap {
        *self.longest.lock()
    }

    /// Ends the test now. It still reports what it measured and deletes its keys.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) fn enter(&self, phase: Phase) {
        if matches!(phase, Phase::WarmingUp | Phase::Measuring) {
            let now = self.ns(Instant::now());
            self.last_ns.store(now, Ordering::Relaxed);
            self.measured_ns.store(now, Ordering::Relaxed);
            self.longest_ns.store(0, Ordering::Relaxed);
            *self.longest.lock() = Gap::default();
        }
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Ends the measurement. A gap that goes on counts up to now.
    pub(super) fn close(&self) {
        self.note_gap(self.ns(Instant::now()));
    }

    pub(super) fn count_success(&self, now: Instant) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.note_gap(self.ns(now));
    }

    /// Counts an answer that is not a success.
    pub(super) fn count_answer(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failure(&self, kind: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut failures = self.failures.lock();
        match failures.get_mut(kind) {
            Some(count) => *count += 1,
            None => drop(failures.insert(kind.to_owned(), 1)),
        }
    }

    /// Whether requests failed and no server has answered a single one, not even with an error.
    pub(super) fn is_without_answer(&self) -> bool {
        self.failed() > 0 && self.done() == 0 && self.answered.load(Ordering::Relaxed) == 0
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits for `end`, or until the test is stopped.
    pub(super) async fn until_stopped_or(&self, end: impl Future<Output = ()>) {
        tokio::select! {
            () = end => {}
            () = self.stop.cancelled() => {}
        }
    }

    fn note_gap(&self, now: u64) {
        let before = self.last_ns.swap(now, Ordering::Relaxed);
        let length = now.saturating_sub(before);
        if length > self.longest_ns.load(Ordering::Relaxed) {
            self.longest_ns.fetch_max(length, Ordering::Relaxed);
            let at = before.saturating_sub(self.measured_ns.load(Ordering::Relaxed));
            let mut longest = self.longest.lock();
            if Duration::from_nanos(length) > longest.length {
                *longest = Gap { length: Duration::from_nanos(length), at: Duration::from_nanos(at) };
            }
        }
    }

    fn ns(&self, moment: Instant) -> u64 {
        clock::nanos(moment.saturating_duration_since(self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_found_with_its_start_also_at_the_end() {
        let progress = LoadProgress::default();
        progress.enter(Phase::Measuring);
        let begin = progress.start + Duration::from_nanos(progress.measured_ns.load(Ordering::Relaxed));
        let at = |ms| begin + Duration::from_millis(ms);
        for ms in [1000, 1010, 4010, 4020] {
            progress.count_success(at(ms));
        }
        let gap = progress.longest_gap();
        assert_eq!((gap.length.as_millis(), gap.at.as_millis()), (3000, 1010));
        progress.note_gap(progress.ns(at(9000)));
        assert_eq!(progress.longest_gap().at.as_millis(), 4020);
    }

    #[test]
    fn a_test_is_without_an_answer_until_any_server_answers() {
        let progress = LoadProgress::default();
        assert!(!progress.is_without_answer());
        progress.count_failure("connection_refused");
        assert!(progress.is_without_answer());
        progress.count_answer();
        assert!(!progress.is_without_answer());
        assert_eq!(progress.failures(), BTreeMap::from([("connection_refused".to_owned(), 1)]));
    }
}
