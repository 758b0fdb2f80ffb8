//! The counts of one client.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::{LoadOperation, Mix};
use crate::clock;

/// The range of the histogram: a latency outside counts as a microsecond or as a minute.
const SHORTEST_NS: u64 = 1_000;
const LONGEST_NS: u64 = 60_000_000_000;
/// Significant digits of a latency: a report is exact to a tenth of a percent.
const DIGITS: u8 = 3;

/// The latencies of successful requests, in nanoseconds.
pub type Latencies = Histogram<u64>;

/// What one client counted.
pub struct WorkerCounts {
    /// The client's number.
    pub worker: usize,
    /// Latencies by operation.
    pub latencies: BTreeMap<LoadOperation, Latencies>,
    /// Failures by HTTP status, or by the kind of transport failure.
    pub failures: BTreeMap<String, u64>,
    /// How often it connected again after it had lost its connection.
    pub reconnects: u64,
    /// How many keys it created or tried to create.
    pub created: u64,
}

/// An empty histogram.
pub fn latencies() -> Latencies {
    Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS).expect("the bounds are in order")
}

impl WorkerCounts {
    /// Empty counts for the operations of a mix.
    pub fn new(worker: usize, mix: &Mix) -> Self {
        let latencies = mix.operations().map(|operation| (operation, latencies())).collect();
        Self { worker, latencies, failures: BTreeMap::new(), reconnects: 0, created: 0 }
    }

    /// Counts a success.
    pub fn count_success(&mut self, operation: LoadOperation, took: Duration) {
        if let Some(latencies) = self.latencies.get_mut(&operation) {
            latencies.saturating_record(clock::nanos(took));
        }
    }

    /// Counts a failure.
    pub fn count_failure(&mut self, kind: &str) {
        *self.failures.entry(kind.to_owned()).or_default() += 1;
    }
}
