//! `/v1/metrics`: exactly the families of wire contract, "Streams, metrics and status", because the KES SDK reads them
//! by name.

use std::fmt;
use std::ops::RangeInclusive;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::exposition::{counter, gauge, render};
use super::http_metrics::{BUCKETS, HttpCounts, HttpMetrics};
use super::{Audit, ErrorLog, ProcessFigures};

/// The metrics in Prometheus text 0.0.4.
pub fn render_kes_metrics(http: &HttpMetrics, audit: &Audit, errors: &ErrorLog, process: &ProcessFigures) -> String {
    render(KesFamilies {
        http: http.counts(),
        audit_events: audit.events(),
        error_events: errors.events(),
        process: *process,
    })
}

#[derive(Debug)]
struct KesFamilies {
    http: HttpCounts,
    audit_events: u64,
    error_events: u64,
    process: ProcessFigures,
}

impl Collector for KesFamilies {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut out;
        self.requests(
            out,
            "kes_http_request_success",
            "Requests that the node answered with a status below 400.",
            100..=399,
        )?;
        self.requests(
            out,
            "kes_http_request_error",
            "Requests that the node refused with a status of 4xx.",
            400..=499,
        )?;
        self.requests(out, "kes_http_request_failure", "Requests that failed with a status of 5xx.", 500..=599)?;
        gauge(out, "kes_http_request_active", "Requests that the node is serving.", self.http.active)?;
        self.response_time(out)?;
        counter(out, "kes_log_audit_events", "Requests that the node recorded in its audit trail.", self.audit_events)?;
        counter(out, "kes_log_error_events", "Errors that the node logged.", self.error_events)?;
        self.system(out)
    }
}

impl KesFamilies {
    /// Writes one of the three families by status. The family always appears, and a status once a request had it.
    fn requests(
        &self,
        out: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        codes: RangeInclusive<u16>,
    ) -> fmt::Result {
        let counted = self.http.by_status.iter().filter(|(code, _)| codes.contains(code));
        let mut family = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (code, count) in counted {
            family.encode_family(&[("code", *code)])?.encode_counter::<NoLabelSet, _, f64>(count, None)?;
        }
        Ok(())
    }

    fn response_time(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let bounds = BUCKETS.into_iter().map(|(_, seconds)| seconds).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.http.by_time).collect();
        let help = "Seconds from a request to its answer.";
        let mut family = out.encode_descriptor("kes_http_response_time", help, None, MetricType::Histogram)?;
        let count = self.http.by_time.iter().sum();
        family.encode_histogram::<NoLabelSet>(self.http.seconds, count, &buckets, None)
    }

    fn system(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let process = &self.process;
        gauge(out, "kes_system_up_time", "Seconds since the process started.", process.uptime_s)?;
        gauge(out, "kes_system_num_cpu", "Logical CPUs the process may run on.", process.num_cpu)?;
        gauge(out, "kes_system_num_cpu_used", "CPUs' worth of time that the process may use.", process.num_cpu_used)?;
        gauge(out, "kes_system_num_threads", "Threads of the process.", process.threads)?;
        gauge(out, "kes_system_mem_heap_used", "Bytes of anonymous memory in use.", process.heap_used)?;
        gauge(out, "kes_system_mem_heap_objects", "Always 0: Keyraft does not count objects.", 0_u64)?;
        gauge(out, "kes_system_mem_stack_used", "Bytes of the main thread's stack.", process.stack_used)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::exposition::parse::{Family, families};
    use super::super::record::tests::record;
    use super::*;

    const PROCESS: ProcessFigures =
        ProcessFigures { uptime_s: 1.5, num_cpu: 2, num_cpu_used: 1, threads: 7, heap_used: 4096, stack_used: 8192 };

    /// A family's name and type, and its samples by the rest of their names.
    type Expected<'a> = (&'a str, &'a str, Vec<(&'a str, f64)>);

    fn audit() -> std::sync::Arc<Audit> {
        super::super::audit::tests::silent(8)
    }

    fn scrape(http: &HttpMetrics) -> BTreeMap<String, Family> {
        let audit = audit();
        audit.try_record(record("/")).unwrap();
        families(&render_kes_metrics(http, &audit, &ErrorLog::default(), &PROCESS))
    }

    #[test]
    fn families_and_samples_are_those_of_the_contract() {
        let http = HttpMetrics::default();
        for (status, took_ms) in [(200, 1), (200, 60), (403, 1), (404, 1), (503, 20_000)] {
            http.started();
            http.finished(status, Duration::from_millis(took_ms));
        }
        http.started();
        let mut expected: Vec<Expected<'_>> = vec![
            ("kes_http_request_success", "counter", vec![(r#"{code="200"}"#, 2.0)]),
            ("kes_http_request_error", "counter", vec![(r#"{code="403"}"#, 1.0), (r#"{code="404"}"#, 1.0)]),
            ("kes_http_request_failure", "counter", vec![(r#"{code="503"}"#, 1.0)]),
            ("kes_http_request_active", "gauge", vec![("", 1.0)]),
            ("kes_log_audit_events", "counter", vec![("", 1.0)]),
            ("kes_log_error_events", "counter", vec![("", 0.0)]),
            ("kes_system_up_time", "gauge", vec![("", 1.5)]),
            ("kes_system_num_cpu", "gauge", vec![("", 2.0)]),
            ("kes_system_num_cpu_used", "gauge", vec![("", 1.0)]),
            ("kes_system_num_threads", "gauge", vec![("", 7.0)]),
            ("kes_system_mem_heap_used", "gauge", vec![("", 4096.0)]),
            ("kes_system_mem_heap_objects", "gauge", vec![("", 0.0)]),
            ("kes_system_mem_stack_used", "gauge", vec![("", 8192.0)]),
        ];
        let below = ["0.01", "0.05", "0.1", "0.25", "0.5", "1", "1.5", "3", "5", "10", "+Inf"];
        let buckets = below.map(|le| format!(r#"_bucket{{le="{le}"}}"#));
        let counts = [3.0, 3.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 5.0];
        let mut time: Vec<_> = buckets.iter().map(String::as_str).zip(counts).collect();
        time.extend([("_sum", 20.063), ("_count", 5.0)]);
        expected.push(("kes_http_response_time", "histogram", time));

        let mut found = scrape(&http);
        for (name, kind, samples) in expected {
            let family = found.remove(name).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(family.kind, kind, "{name}");
            let samples: BTreeMap<_, _> = samples.into_iter().map(|(s, value)| (format!("{name}{s}"), value)).collect();
            assert_eq!(family.samples, samples, "{name}");
        }
        assert!(found.is_empty(), "more than the contract names: {:?}", found.keys());
    }

    #[test]
    fn a_status_appears_once_a_request_had_it() {
        let http = HttpMetrics::default();
        let codes = |http| {
            let families = scrape(http);
            let of = |name: &str| families[name].samples.keys().cloned().collect::<Vec<_>>();
            [of("kes_http_request_success"), of("kes_http_request_error"), of("kes_http_request_failure")].concat()
        };
        assert!(codes(&http).is_empty(), "the families are named, without a series");
        http.finished(404, Duration::ZERO);
        assert_eq!(codes(&http), [r#"kes_http_request_error{code="404"}"#]);
    }
}
