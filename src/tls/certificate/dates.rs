//! The dates between which a node's certificates are valid, for the warnings in the log and for the metrics.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::clock;

/// The node warns about a certificate that expires within this time.
const SOON_S: i64 = 30 * DAY_S;
const DAY_S: i64 = 24 * 3600;
/// The time between two warnings about the same certificate.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// A certificate that a node uses, with its dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatedCertificate {
    /// What the node uses it for.
    pub usage: CertificateUsage,
    /// The file that holds it.
    pub file: PathBuf,
    /// Its place among the certificates of this usage, from 1.
    pub number: usize,
    /// Its subject, as RFC 4514 writes names.
    pub subject: String,
    /// The first second at which it is valid, in Unix time.
    pub not_before_s: i64,
    /// The last second at which it is valid, in Unix time.
    pub not_after_s: i64,
}

/// What a node uses a certificate for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateUsage {
    /// The node shows it to clients of the API: its own certificate, or an intermediate one.
    Api,
    /// A CA of clients.
    ApiCa,
    /// The node shows it to the other nodes: its own certificate, or an intermediate one.
    Peer,
    /// A CA of the nodes.
    PeerCa,
}

/// A certificate that needs attention. Its display says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateWarning {
    /// The certificate.
    pub certificate: DatedCertificate,
    /// What is wrong with its dates.
    pub problem: DateProblem,
}

/// What is wrong with the dates of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateProblem {
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate expires within 30 days: after this many whole days.
    ExpiresIn(i64),
}

impl CertificateUsage {
    /// Returns its name in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::ApiCa => "api-ca",
            Self::Peer => "peer",
            Self::PeerCa => "peer-ca",
        }
    }

    /// Returns the setting that names the file.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Api => "tls.cert",
            Self::ApiCa => "tls.ca",
            Self::Peer => "cluster.tls.cert",
            Self::PeerCa => "cluster.tls.ca",
        }
    }

    /// Returns what happens when the certificate is out of date.
    fn consequence(self) -> &'static str {
        match self {
            Self::Api => "clients refuse it",
            Self::ApiCa => "clients whose certificates it signed should get new ones",
            Self::Peer => "nodes with a cluster.tls.ca refuse it",
            Self::PeerCa => "the nodes whose certificates it signed should get new ones",
        }
    }
}

/// Returns a warning for each certificate that needs attention at this Unix time in seconds.
pub fn date_warnings(certificates: &[DatedCertificate], now_s: i64) -> Vec<DateWarning> {
    let warning = |certificate: &DatedCertificate| {
        let problem = problem(certificate, now_s)?;
        Some(DateWarning { certificate: certificate.clone(), problem })
    };
    certificates.iter().filter_map(warning).collect()
}

/// Logs a warning for each certificate that needs attention now.
pub fn log_date_warnings(certificates: &[DatedCertificate]) {
    for warning in date_warnings(certificates, clock::unix_ns() / 1_000_000_000) {
        tracing::warn!("{warning}");
    }
}

/// Returns the certificates with their dates, without those that it cannot read.
pub fn dated<'a>(
    usage: CertificateUsage,
    certificates: impl IntoIterator<Item = (&'a Path, &'a CertificateDer<'static>)>,
) -> Vec<DatedCertificate> {
    let numbered = (1..).zip(certificates);
    let read = numbered.filter_map(|(number, (file, der))| {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let validity = parsed.validity();
        Some(DatedCertificate {
            usage,
            file: file.to_owned(),
            number,
            subject: parsed.subject().to_string(),
            not_before_s: validity.not_before.timestamp(),
            not_after_s: validity.not_after.timestamp(),
        })
    });
    read.collect()
}

/// Formats a Unix time in seconds as RFC 3339 in UTC.
pub fn date(unix_s: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(unix_s).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{unix_s} s after 1970"))
}

/// Converts a time of rustls to seconds.
pub fn unix_s(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn problem(certificate: &DatedCertificate, now_s: i64) -> Option<DateProblem> {
    let left_s = certificate.not_after_s.saturating_sub(now_s);
    if left_s < 0 {
        Some(DateProblem::Expired)
    } else if now_s < certificate.not_before_s {
        Some(DateProblem::NotYetValid)
    } else if left_s < SOON_S {
        Some(DateProblem::ExpiresIn(left_s / DAY_S))
    } else {
        None
    }
}

impl fmt::Display for DateWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DatedCertificate { usage, file, subject, not_before_s, not_after_s, .. } = &self.certificate;
        let (setting, consequence, file) = (usage.setting(), usage.consequence(), file.display());
        write!(f, "{setting}: the certificate '{subject}' in {file} ")?;
        let expires = date(*not_after_s);
        match self.problem {
            DateProblem::Expired => write!(f, "expired on {expires}: {consequence}; renew it"),
            DateProblem::NotYetValid => write!(
                f,
                "is not valid before {}: {consequence} until then; check this machine's clock",
                date(*not_before_s)
            ),
            DateProblem::ExpiresIn(0) => write!(f, "expires on {expires}, within a day: renew it"),
            DateProblem::ExpiresIn(1) => write!(f, "expires on {expires}, in 1 day: renew it"),
            DateProblem::ExpiresIn(days) => write!(f, "expires on {expires}, in {days} days: renew it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Leaf, LeafOptions, TestAuthority};

    const NOT_BEFORE: i64 = 1_000_000_000;
    const NOT_AFTER: i64 = 1_100_000_000;

    fn certificate(usage: CertificateUsage) -> DatedCertificate {
        DatedCertificate {
            usage,
            file: "/etc/keyraft/a.crt".into(),
            number: 1,
            subject: "CN=node".to_owned(),
            not_before_s: NOT_BEFORE,
            not_after_s: NOT_AFTER,
        }
    }

    fn shown(usage: CertificateUsage, now_s: i64) -> Option<String> {
        date_warnings(&[certificate(usage)], now_s).first().map(ToString::to_string)
    }

    #[test]
    fn a_warning_begins_30_days_before_the_end() {
        use CertificateUsage::{Api, Peer};
        let cases = [
            (NOT_BEFORE - 1, Some("is not valid before 2001-09-09T01:46:40Z: clients refuse it until then; check")),
            (NOT_BEFORE, None),
            (NOT_AFTER - SOON_S, None),
            (NOT_AFTER - SOON_S + 1, Some("expires on 2004-11-09T11:33:20Z, in 29 days: renew it")),
            (NOT_AFTER - DAY_S, Some("in 1 day: renew it")),
            (NOT_AFTER, Some("within a day: renew it")),
            (NOT_AFTER + 1, Some("expired on 2004-11-09T11:33:20Z: clients refuse it; renew it")),
        ];
        for (now_s, words) in cases {
            let found = shown(Api, now_s);
            assert_eq!(found.is_some(), words.is_some(), "at {now_s}: {found:?}");
            if let (Some(found), Some(words)) = (found, words) {
                assert!(found.starts_with("tls.cert: the certificate 'CN=node' in /etc/keyraft/a.crt "), "{found}");
                assert!(found.contains(words), "{found}");
            }
        }
        assert!(shown(Peer, NOT_AFTER + 1).is_some_and(|text| text.contains("nodes with a cluster.tls.ca refuse it")));
    }

    #[test]
    fn every_certificate_is_read_with_its_dates() {
        let (authority, expired) = (
            TestAuthority::new(),
            Leaf::of(&rcgen::PKCS_ED25519, LeafOptions { expired: true, ..LeafOptions::default() }),
        );
        let path = Path::new("a.crt");
        let (first, second) = (expired.der(), authority.der());
        let found = dated(CertificateUsage::Api, [(path, &first), (path, &second)]);
        assert_eq!(found.iter().map(|certificate| certificate.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(
            (date(found[0].not_before_s), date(found[0].not_after_s)),
            ("2001-01-01T00:00:00Z".into(), "2001-04-01T00:00:00Z".into())
        );
        let warnings = date_warnings(&found, clock::unix_ns() / 1_000_000_000);
        assert_eq!(warnings.iter().map(|warning| warning.problem).collect::<Vec<_>>(), [DateProblem::Expired]);
    }
}
