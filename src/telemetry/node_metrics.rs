//! The part of `/v1/cluster/metrics` about the build, and about the dates of the node's certificates.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::exposition::render;

/// The build that runs, and its certificates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFigures {
    /// The version of the program.
    pub version: &'static str,
    /// The commit from which it was built.
    pub commit: &'static str,
    /// Every certificate that the node uses.
    pub certificates: Vec<CertificateExpiry>,
}

/// When a certificate expires.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CertificateExpiry {
    /// What the node uses it for.
    pub usage: &'static str,
    /// Its place among the certificates of this usage, from 1.
    pub number: usize,
    /// Its subject.
    pub subject: String,
    /// The file that holds it.
    pub file: String,
    /// The last second at which it is valid, in Unix time.
    pub not_after_s: i64,
}

/// The metrics in Prometheus text 0.0.4.
pub fn render_node_metrics(figures: NodeFigures) -> String {
    render(NodeFamilies(figures))
}

#[derive(Debug)]
struct NodeFamilies(NodeFigures);

impl Collector for NodeFamilies {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let NodeFigures { version, commit, certificates } = &self.0;
        let help = "Always 1; the labels say which build runs.";
        let mut build = out.encode_descriptor("keyraft_build_info", help, None, MetricType::Gauge)?;
        build.encode_family(&[("version", *version), ("commit", *commit)])?.encode_gauge(&1_u64)?;
        if certificates.is_empty() {
            return Ok(());
        }
        let (name, help) = ("keyraft_certificate_expiry_seconds", "When a certificate expires, in Unix time.");
        let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for CertificateExpiry { usage, number, subject, file, not_after_s } in certificates {
            let number = number.to_string();
            let labels = [("certificate", *usage), ("number", &number), ("subject", subject), ("file", file)];
            family.encode_family(&labels)?.encode_gauge(not_after_s)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::exposition::parse::families;
    use super::*;

    #[test]
    fn every_certificate_has_a_sample_of_its_own() {
        let expiry = |usage, number, file: &str| CertificateExpiry {
            usage,
            number,
            subject: r#"CN="a", O=b"#.to_owned(),
            file: file.to_owned(),
            not_after_s: 1_700_000_000,
        };
        let certificates = vec![expiry("api", 1, "/etc/1.0"), expiry("api", 2, "/etc/1.0"), expiry("peer-ca", 1, "x")];
        let text = render_node_metrics(NodeFigures { version: "1.0.0", commit: "1.0", certificates });
        let found = families(&text);
        let build = [(r#"keyraft_build_info{version="1.0.0",commit="1.0"}"#.to_owned(), 1.0)];
        assert_eq!(found["keyraft_build_info"].samples, build.into());
        let expiries = &found["keyraft_certificate_expiry_seconds"];
        assert_eq!((expiries.kind.as_str(), expiries.samples.len()), ("gauge", 3));
        let first = r#"keyraft_certificate_expiry_seconds{certificate="api",number="1",subject="CN=\"a\", O=b",file="/etc/1.0"}"#;
        assert_eq!(expiries.samples[first], 1_700_000_000.0);
    }

    #[test]
    fn without_certificates_only_the_build_has_a_metric() {
        let text = render_node_metrics(NodeFigures { version: "1", commit: "unknown", certificates: Vec::new() });
        assert_eq!(families(&text).keys().collect::<Vec<_>>(), ["keyraft_build_info"]);
    }
}
