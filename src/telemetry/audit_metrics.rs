//! The audit trail's part of `/v1/cluster/metrics`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::audit::{AuditFigures, SinkFigures};
use super::exposition::{counter, gauge, render};

/// The metrics in Prometheus text 0.0.4.
pub fn render_audit_metrics(figures: &AuditFigures) -> String {
    render(AuditFamilies(figures.clone()))
}

#[derive(Debug)]
struct AuditFamilies(AuditFigures);

impl Collector for AuditFamilies {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let (f, out) = (&self.0, &mut out);
        counter(out, "keyraft_audit_records_total", "Requests that the node recorded in its audit trail.", f.records)?;
        counter(out, "keyraft_audit_given_up_total", "Audit records lost because the queue was full.", f.given_up)?;
        counter(out, "keyraft_audit_unwritten_total", "Audit records lost because no sink took them.", f.unwritten)?;
        let help = "1 while the node refuses requests because no sink takes their audit records, else 0.";
        gauge(out, "keyraft_audit_refusing", help, u64::from(f.refusing))?;
        let up = ("keyraft_audit_sink_up", "1 if the sink takes audit records, else 0.");
        self.each_sink(out, up, MetricType::Gauge, |sink| u64::from(sink.up))?;
        let failures = ("keyraft_audit_sink_failures_total", "How often the audit sink failed.");
        self.each_sink(out, failures, MetricType::Counter, |sink| sink.failures)?;
        let lost = ("keyraft_audit_sink_lost_total", "Audit records that the sink missed.");
        self.each_sink(out, lost, MetricType::Counter, |sink| sink.lost)
    }
}

impl AuditFamilies {
    fn each_sink(
        &self,
        out: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        kind: MetricType,
        value: fn(&SinkFigures) -> u64,
    ) -> fmt::Result {
        if self.0.sinks.is_empty() {
            return Ok(());
        }
        let mut family = out.encode_descriptor(name, help, None, kind)?;
        for sink in &self.0.sinks {
            let labels = [("sink", sink.name)];
            let mut sample = family.encode_family(&labels)?;
            match kind {
                MetricType::Counter => {
                    sample.encode_counter::<prometheus_client::encoding::NoLabelSet, _, u64>(&value(sink), None)?;
                }
                _ => sample.encode_gauge(&value(sink))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::exposition::parse::families;
    use super::*;

    #[test]
    fn only_configured_sinks_have_metrics() {
        let sink = |name, up| SinkFigures { name, up, failures: 2, lost: 3 };
        let sinks = vec![sink("file", false), sink("syslog", true)];
        let figures = AuditFigures { records: 9, given_up: 1, unwritten: 4, refusing: true, sinks };
        let samples = |figures| -> std::collections::BTreeMap<String, f64> {
            families(&render_audit_metrics(figures)).into_values().flat_map(|family| family.samples).collect()
        };
        let expected = [
            ("keyraft_audit_records_total", 9.0),
            ("keyraft_audit_given_up_total", 1.0),
            ("keyraft_audit_unwritten_total", 4.0),
            ("keyraft_audit_refusing", 1.0),
            (r#"keyraft_audit_sink_up{sink="file"}"#, 0.0),
            (r#"keyraft_audit_sink_up{sink="syslog"}"#, 1.0),
            (r#"keyraft_audit_sink_failures_total{sink="file"}"#, 2.0),
            (r#"keyraft_audit_sink_failures_total{sink="syslog"}"#, 2.0),
            (r#"keyraft_audit_sink_lost_total{sink="file"}"#, 3.0),
            (r#"keyraft_audit_sink_lost_total{sink="syslog"}"#, 3.0),
        ];
        assert_eq!(samples(&figures), expected.map(|(name, value)| (name.to_owned(), value)).into());
        assert_eq!(samples(&AuditFigures::default()).len(), 4);
    }
}
