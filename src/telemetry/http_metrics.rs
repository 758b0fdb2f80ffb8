//! Counts requests without a lock, by a few relaxed atomic additions.

use crate::clock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the response time's buckets (wire contract, "Streams, metrics and status"), with how Prometheus
/// writes them.
pub(super) const BUCKETS: [(Duration, f64); 10] = [
    (Duration::from_millis(10), 0.01),
    (Duration::from_millis(50), 0.05),
    (Duration::from_millis(100), 0.1),
    (Duration::from_millis(250), 0.25),
    (Duration::from_millis(500), 0.5),
    (Duration::from_secs(1), 1.0),
    (Duration::from_millis(1500), 1.5),
    (Duration::from_secs(3), 3.0),
    (Duration::from_secs(5), 5.0),
    (Duration::from_secs(10), 10.0),
];

/// HTTP statuses run from 100 to 599.
const STATUSES: usize = 500;

/// Counts of the requests of this node.
pub struct HttpMetrics {
    started: AtomicU64,
    by_status: [AtomicU64; STATUSES],
    /// Requests in each bucket, and those that took longer than all. Not cumulative.
    by_time: [AtomicU64; BUCKETS.len() + 1],
    time_ns: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HttpCounts {
    /// Requests that the node is serving.
    pub(super) active: u64,
    /// Requests by status, without statuses that did not occur.
    pub(super) by_status: Vec<(u16, u64)>,
    /// Requests by the time they took, not cumulative. The last count is of those beyond all buckets.
    pub(super) by_time: [u64; BUCKETS.len() + 1],
    /// The time that all requests took together, in seconds.
    pub(super) seconds: f64,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            started: AtomicU64::new(0),
            by_status: std::array::from_fn(|_| AtomicU64::new(0)),
            by_time: std::array::from_fn(|_| AtomicU64::new(0)),
            time_ns: AtomicU64::new(0),
        }
    }
}

impl HttpMetrics {
    /// Counts a request that arrived.
    pub fn started(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    /// Counts an answered request. Call it once for every [`HttpMetrics::started`], even if the client has gone.
    pub fn finished(&self, status: u16, took: Duration) {
        let index = usize::from(status.clamp(100, 599)) - 100;
        self.by_status[index].fetch_add(1, Relaxed);
        self.by_time[BUCKETS.partition_point(|(bound, _)| *bound < took)].fetch_add(1, Relaxed);
        self.time_ns.fetch_add(clock::nanos(took), Relaxed);
    }

    /// Returns the counts. A request that arrives meanwhile may be in one of them and not yet in another.
    pub(super) fn counts(&self) -> HttpCounts {
        let by_status: Vec<_> = (100..).zip(&self.by_status).map(|(code, n)| (code, n.load(Relaxed))).collect();
        let finished: u64 = by_status.iter().map(|(_, n)| n).sum();
        HttpCounts {
            active: self.started.load(Relaxed).saturating_sub(finished),
            by_status: by_status.into_iter().filter(|(_, n)| *n > 0).collect(),
            by_time: std::array::from_fn(|i| self.by_time[i].load(Relaxed)),
            seconds: Duration::from_nanos(self.time_ns.load(Relaxed)).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_counts_requests_up_to_its_bound() {
        for (i, (bound, seconds)) in BUCKETS.into_iter().enumerate() {
            assert!((bound.as_secs_f64() - seconds).abs() < f64::EPSILON);
            let metrics = HttpMetrics::default();
            metrics.finished(200, bound);
            metrics.finished(200, bound + Duration::from_nanos(1));
            let counts = metrics.counts();
            assert_eq!((counts.by_time[i], counts.by_time[i + 1]), (1, 1));
        }
    }

    #[test]
    fn requests_are_active_until_they_finish() {
        let metrics = HttpMetrics::default();
        metrics.started();
        metrics.started();
        metrics.finished(403, Duration::from_millis(1500));
        let counts = metrics.counts();
        assert_eq!((counts.active, counts.by_status, counts.seconds), (1, vec![(403, 1)], 1.5));
    }
}
