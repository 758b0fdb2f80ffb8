//! How far a load test has come, for someone who watches; and a way to end it early.

use std::future::Future;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

/// What a load test is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Making keys and connections.
    Preparing,
    /// Requests that do not count.
    WarmingUp,
    /// Requests that count.
    Measuring,
    /// Deleting keys.
    CleaningUp,
}

/// Counts of a running test, shared with whoever watches.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    done: AtomicU64,
    failed: AtomicU64,
    stop: CancellationToken,
}

impl Progress {
    /// What it is doing.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Preparing,
            1 => Phase::WarmingUp,
            2 => Phase::Measuring,
            _ => Phase::CleaningUp,
        }
    }

    /// Requests answered well so far, those of the warm-up too.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Requests that failed so far.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Ends the test now: what was measured is reported, and keys are deleted.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(super) fn count(&self, good: bool) {
        let counter = if good { &self.done } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits for `end`, or for the stop.
    pub(super) async fn stopped_or(&self, end: impl Future<Output = ()>) {
        tokio::select! {
            () = end => {}
            () = self.stop.cancelled() => {}
        }
    }
}
