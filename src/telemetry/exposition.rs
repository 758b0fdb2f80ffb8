//! Writes metrics as Prometheus text 0.0.4. The metrics crate writes `OpenMetrics` only.

use std::borrow::Cow;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// Writes all families of a collector.
pub(super) fn render(families: impl Collector) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(families));
    let mut open_metrics = String::new();
    text::encode(&mut open_metrics, &registry).expect("writing to a string cannot fail");
    to_text_0_0_4(&open_metrics)
}

/// Writes a family of one counter. A name that must end in `_total` has to be passed with it.
pub(super) fn counter(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> std::fmt::Result {
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
}

/// Writes a family of one gauge.
pub(super) fn gauge(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeGaugeValue,
) -> std::fmt::Result {
    out.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

/// Converts the text of the metrics crate in three ways: a counter's samples have their family's name (`OpenMetrics`
/// adds `_total`), a bucket's bound is `1` and not `1.0`, and the end mark goes away.
fn to_text_0_0_4(open_metrics: &str) -> String {
    let mut counter = None;
    let mut out = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| *line != "# EOF") {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            counter = family.strip_suffix(" counter");
        }
        let sample_of = |name: &str| line.strip_prefix(name).and_then(|rest| rest.strip_prefix("_total"));
        match counter.and_then(|name| Some((name, sample_of(name)?))) {
            Some((name, rest)) => out.extend([name, rest]),
            None => out.push_str(&bound_without_fraction(line)),
        }
        out.push('\n');
    }
    out
}

/// Writes the bound of a bucket's line as `1` instead of `1.0`. Leaves other lines as they are.
fn bound_without_fraction(line: &str) -> Cow<'_, str> {
    let of_bucket = line.contains("{le=\"") || line.contains(",le=\"");
    if of_bucket { line.replace(".0\"}", "\"}").into() } else { line.into() }
}

#[cfg(test)]
pub(super) mod parse {
    //! Parses the text strictly, for tests.

    use std::collections::BTreeMap;

    /// A family of metrics.
    #[derive(Debug, PartialEq)]
    pub(in crate::telemetry) struct Family {
        /// The type of the family.
        pub(in crate::telemetry) kind: String,
        /// Values by name and labels.
        pub(in crate::telemetry) samples: BTreeMap<String, f64>,
    }

    /// Reads families by name: HELP, TYPE, then samples that bear the family's name.
    pub(in crate::telemetry) fn families(text: &str) -> BTreeMap<String, Family> {
        let mut families = BTreeMap::new();
        let blocks = text.strip_prefix("# HELP ").expect("text begins with HELP").split("\n# HELP ");
        for block in blocks {
            let mut lines = block.lines();
            let (name, help) = lines.next().unwrap().split_once(' ').unwrap();
            assert!(!help.is_empty());
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).expect("TYPE follows HELP");
            let samples = lines.map(|line| {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                assert!(sample.starts_with(name), "{sample} in {name}");
                (sample.to_owned(), value.parse().unwrap())
            });
            let family = Family { kind: kind.to_owned(), samples: samples.collect() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} twice");
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_become_text_0_0_4() {
        let open_metrics = "\
# HELP a Counted.
# TYPE a counter
a_total{code=\"200\"} 1
# HELP b_total Counted too.
# TYPE b_total counter
b_total_total 2
# HELP c Measured.
# TYPE c gauge
c 1.0
# HELP d Timed.
# TYPE d histogram
d_bucket{le=\"0.5\"} 1
d_bucket{le=\"1.0\"} 1
# EOF
";
        let text = "\
# HELP a Counted.
# TYPE a counter
a{code=\"200\"} 1
# HELP b_total Counted too.
# TYPE b_total counter
b_total 2
# HELP c Measured.
# TYPE c gauge
c 1.0
# HELP d Timed.
# TYPE d histogram
d_bucket{le=\"0.5\"} 1
d_bucket{le=\"1\"} 1
";
        assert_eq!(to_text_0_0_4(open_metrics), text);
    }
}
