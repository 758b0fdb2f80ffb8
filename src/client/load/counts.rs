//! What one client counted.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::{LoadOperation, Mix};
use crate::clock;

/// From a microsecond to a minute, in nanoseconds.
const SHORTEST_NS: u64 = 1_000;
const LONGEST_NS: u64 = 60_000_000_000;
/// Three digits: a latency is told to a tenth of a percent.
const DIGITS: u8 = 3;

/// Nanoseconds of successful requests.
pub type Latencies = Histogram<u64>;

/// What one client counted.
pub struct WorkerCounts {
    /// The client's number.
    pub worker: usize,
    /// Latencies by operation.
    pub latencies: BTreeMap<LoadOperation, Latencies>,
    /// Failures by status, or by why there was no answer.
    pub failures: BTreeMap<String, u64>,
    /// How often it connected again.
    pub reconnects: u64,
    /// Keys it created, or tried to.
    pub created: u64,
}

/// An empty histogram.
pub fn latencies() -> Latencies {
    Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS).expect("the bounds are in order")
}

impl WorkerCounts {
    /// Nothing yet, of these operations.
    pub fn new(worker: usize, mix: &Mix) -> Self {
        let latencies = mix.operations().map(|operation| (operation, latencies())).collect();
        Self { worker, latencies, failures: BTreeMap::new(), reconnects: 0, created: 0 }
    }

    /// Counts a success.
    pub fn succeed(&mut self, operation: LoadOperation, took: Duration) {
        if let Some(latencies) = self.latencies.get_mut(&operation) {
            latencies.saturating_record(clock::nanos(took));
        }
    }

    /// Counts a failure.
    pub fn fail(&mut self, kind: &str) {
        *self.failures.entry(kind.to_owned()).or_default() += 1;
    }
}
