//! The result of a load test.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::counts::{Latencies, WorkerCounts, latencies};
use super::cpu::CpuUsed;
use super::{Gap, Http, LoadPlan};

/// The result of a load test.
#[derive(Debug, Clone, Serialize)]
pub struct LoadReport {
    /// The servers, as URLs.
    pub servers: Vec<String>,
    /// The version of HTTP: `1` or `2`.
    pub http: u8,
    /// Clients that sent requests at the same time.
    pub clients: usize,
    /// Connections that they used.
    pub connections: usize,
    /// The requested rate, in requests a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// The length of the measurement in seconds.
    pub seconds: f64,
    /// Requests that succeeded in that time.
    pub requests: u64,
    /// Successful requests a second.
    pub throughput: f64,
    /// How long they took, in microseconds.
    pub latency: Latency,
    /// The figures of each operation.
    pub operations: BTreeMap<&'static str, OperationReport>,
    /// Requests and connections that failed, by HTTP status or by the kind of transport failure.
    pub errors: BTreeMap<String, u64>,
    /// How often a client connected again after it had lost its connection.
    pub reconnects: u64,
    /// The longest time in which no request succeeded, in milliseconds.
    pub longest_gap_ms: f64,
    /// When that time began, in seconds after the start of the measurement.
    pub longest_gap_at_seconds: f64,
    /// Clients that were still waiting for an answer 20 seconds after the end.
    pub unanswered: usize,
    /// CPU time of a request. Absent if no request succeeded or a process ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
}

/// The figures of one operation.
#[derive(Debug, Clone, Serialize)]
pub struct OperationReport {
    /// Requests that succeeded.
    pub requests: u64,
    /// Successful requests a second.
    pub throughput: f64,
    /// How long they took, in microseconds.
    pub latency: Latency,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// The median.
    pub p50_us: f64,
    /// The 90th percentile.
    pub p90_us: f64,
    /// The 99th percentile.
    pub p99_us: f64,
    /// The 99.9th percentile.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
    /// The mean.
    pub mean_us: f64,
}

/// CPU time of a request, in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cpu {
    /// Of the server processes that the plan names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_us_per_request: Option<f64>,
    /// Of the load generator itself.
    pub client_us_per_request: f64,
    /// Processors that the server processes kept busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_processors: Option<f64>,
}

impl LoadReport {
    pub(super) fn new(
        plan: &LoadPlan,
        measured: Duration,
        all_counts: Vec<WorkerCounts>,
        unanswered: usize,
        gap: Gap,
        cpu: Option<CpuUsed>,
    ) -> Self {
        // A test that is stopped while it warms up has measured for no time at all. Do not divide by zero then.
        let seconds = measured.as_secs_f64().max(1e-9);
        let reconnects = all_counts.iter().map(|counts| counts.reconnects).sum();
        let (by_operation, errors) = merge(all_counts);
        let mut all = latencies();
        for one in by_operation.values() {
            all.add(one).expect("all histograms have the same bounds");
        }
        Self {
            servers: plan.endpoints.iter().map(ToString::to_string).collect(),
            http: if plan.http == Http::One { 1 } else { 2 },
            clients: plan.clients,
            connections: plan.connections,
            rate: plan.rate,
            seconds,
            requests: all.len(),
            throughput: per(all.len(), seconds),
            latency: Latency::of(&all),
            operations: by_operation.iter().map(|(name, one)| (*name, OperationReport::of(one, seconds))).collect(),
            errors,
            reconnects,
            longest_gap_ms: gap.length.as_secs_f64() * 1e3,
            longest_gap_at_seconds: gap.at.as_secs_f64(),
            unanswered,
            cpu: cpu.filter(|_| !all.is_empty()).map(|used| Cpu::of(used, all.len(), seconds)),
        }
    }
}

type Merged = (BTreeMap<&'static str, Latencies>, BTreeMap<String, u64>);

fn merge(all_counts: Vec<WorkerCounts>) -> Merged {
    let mut merged: BTreeMap<&'static str, Latencies> = BTreeMap::new();
    let mut errors: BTreeMap<String, u64> = BTreeMap::new();
    for counts in all_counts {
        for (operation, one) in counts.latencies {
            let sum = merged.entry(operation.name()).or_insert_with(latencies);
            sum.add(one).expect("all histograms have the same bounds");
        }
        for (kind, count) in counts.failures {
            *errors.entry(kind).or_default() += count;
        }
    }
    (merged, errors)
}

impl OperationReport {
    fn of(latencies: &Latencies, seconds: f64) -> Self {
        let requests = latencies.len();
        Self { requests, throughput: per(requests, seconds), latency: Latency::of(latencies) }
    }
}

impl Latency {
    fn of(latencies: &Latencies) -> Self {
        let at = |quantile| micros(latencies.value_at_quantile(quantile));
        Self {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: micros(latencies.max()),
            mean_us: latencies.mean() / 1e3,
        }
    }
}

impl Cpu {
    fn of(used: CpuUsed, requests: u64, seconds: f64) -> Self {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / per(requests, 1.0);
        Self {
            server_us_per_request: used.servers.map(each),
            client_us_per_request: each(used.own),
            server_processors: used.servers.map(|time| time.as_secs_f64() / seconds),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn per(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[expect(clippy::cast_precision_loss, reason = "a minute in nanoseconds is far below 2^52")]
fn micros(ns: u64) -> f64 {
    ns as f64 / 1e3
}
