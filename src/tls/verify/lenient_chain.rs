//! Verifies chains whose first certificate webpki refuses: of X.509 before version 3, or of a CA (CA:TRUE).
//!
//! Go, and so KES, accepts such a certificate from a client or a server. Only the first certificate may have that form.
//! Its issuer must be a root, or an intermediate that meets every rule for CAs. This file refuses everything that it
//! does not understand, such as name constraints, and every critical extension that it does not check.

use std::time::Duration;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DistinguishedName, Error, RootCertStore};
use webpki::{RawPublicKeyEntity, spki_for_anchor};
use x509_parser::asn1_rs::{FromDer, Sequence};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use super::purpose::CertificatePurpose;
use crate::tls::certificate::MalformedCertificate;

/// How many intermediates may stand between the first certificate and a root, as in webpki.
const MAX_INTERMEDIATES: usize = 6;
/// How many signatures it verifies before it gives a chain up. The sender chooses how many there are to try.
const MAX_SIGNATURES: usize = 100;

/// What a chain must meet.
#[derive(Clone, Copy)]
pub struct ChainRules<'a> {
    /// The roots, in one of which the chain must end.
    pub roots: &'a RootCertStore,
    /// The signature algorithms that count.
    pub algorithms: &'a WebPkiSupportedAlgorithms,
    /// What the first certificate must be usable for.
    pub purpose: CertificatePurpose,
    /// The wall time.
    pub now: UnixTime,
}

/// Verifies the dates of `first`, its purpose, and its chain up to a root.
pub fn verify(
    rules: ChainRules<'_>,
    first: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<(), Error> {
    let first = read(first)?;
    check_first(&first, rules.purpose, rules.now)?;
    // An intermediate that cannot be read cannot have issued anything.
    let intermediates: Vec<_> = intermediates.iter().filter_map(|der| read(der).ok()).collect();
    let mut search = Search { rules, intermediates: &intermediates, signatures_left: MAX_SIGNATURES };
    if search.is_issued(&first, 0) { Ok(()) } else { Err(CertificateError::UnknownIssuer.into()) }
}

/// Verifies the dates and the purpose of a certificate that is itself trusted, so that its issuer does not matter.
pub fn verify_trusted(first: &CertificateDer<'_>, purpose: CertificatePurpose, now: UnixTime) -> Result<(), Error> {
    check_first(&read(first)?, purpose, now)
}

/// The search for a path from the first certificate to a root.
struct Search<'a> {
    rules: ChainRules<'a>,
    intermediates: &'a [X509Certificate<'a>],
    signatures_left: usize,
}

impl Search<'_> {
    /// Whether a root, or an intermediate below one, issued this certificate. `below` counts the intermediates below
    /// it.
    fn is_issued(&mut self, subject: &X509Certificate<'_>, below: usize) -> bool {
        self.is_issued_by_root(subject) || (below < MAX_INTERMEDIATES && self.is_issued_by_intermediate(subject, below))
    }

    fn is_issued_by_root(&mut self, subject: &X509Certificate<'_>) -> bool {
        let roots = self.rules.roots;
        roots.roots.iter().any(|root| {
            root.name_constraints.is_none()
                && DistinguishedName::in_sequence(&root.subject).as_ref() == subject.issuer().as_raw()
                && self.is_signed(subject, &spki_for_anchor(root))
        })
    }

    fn is_issued_by_intermediate(&mut self, subject: &X509Certificate<'_>, below: usize) -> bool {
        let intermediates = self.intermediates;
        intermediates.iter().any(|issuer| {
            issuer.subject().as_raw() == subject.issuer().as_raw()
                && may_issue(issuer, below, self.rules.purpose, self.rules.now)
                && self.is_signed(subject, &SubjectPublicKeyInfoDer::from(issuer.public_key().raw))
                && self.is_issued(issuer, below + 1)
        })
    }

    /// Whether this key signed the certificate.
    fn is_signed(&mut self, subject: &X509Certificate<'_>, key: &SubjectPublicKeyInfoDer<'_>) -> bool {
        let Some(left) = self.signatures_left.checked_sub(1) else { return false };
        self.signatures_left = left;
        let (Ok(key), Some(algorithm)) = (RawPublicKeyEntity::try_from(key), signature_algorithm(subject)) else {
            return false;
        };
        let (message, signature) = (subject.tbs_certificate.as_ref(), &subject.signature_value);
        let known = self.rules.algorithms.all.iter().filter(|known| *known.signature_alg_id() == *algorithm);
        signature.unused_bits == 0
            && known.into_iter().any(|known| key.verify_signature(*known, message, &signature.data).is_ok())
    }
}

fn read<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, MalformedCertificate> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(MalformedCertificate),
    }
}

/// Checks what even the first certificate must meet.
fn check_first(first: &X509Certificate<'_>, purpose: CertificatePurpose, now: UnixTime) -> Result<(), Error> {
    check_dates(first, now)?;
    if !understood(first) {
        return Err(CertificateError::UnhandledCriticalExtension.into());
    }
    if !purpose.allowed_by(first) {
        return Err(CertificateError::InvalidPurpose.into());
    }
    Ok(())
}

fn check_dates(certificate: &X509Certificate<'_>, time: UnixTime) -> Result<(), CertificateError> {
    let (not_before, not_after) = (certificate.validity().not_before, certificate.validity().not_after);
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    if seconds < not_before.timestamp() {
        Err(CertificateError::NotValidYetContext { time, not_before: unix_time(not_before) })
    } else if seconds > not_after.timestamp() {
        Err(CertificateError::ExpiredContext { time, not_after: unix_time(not_after) })
    } else {
        Ok(())
    }
}

/// Converts the time; one before 1970 becomes 1970.
fn unix_time(time: ASN1Time) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or_default()))
}

/// Whether this file understands every critical extension of the certificate, and can read all others.
fn understood(certificate: &X509Certificate<'_>) -> bool {
    // Only version 3 has extensions.
    let may_have = certificate.version() == X509Version::V3;
    let read = |extension: &ParsedExtension<'_>| {
        matches!(
            extension,
            ParsedExtension::BasicConstraints(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::SubjectAlternativeName(_)
        )
    };
    // The map refuses a certificate with the same extension twice.
    certificate.extensions_map().is_ok()
        && certificate.iter_extensions().all(|extension| {
            let parsed = extension.parsed_extension();
            may_have && parsed.error().is_none() && (read(parsed) || !extension.critical)
        })
}

/// Whether an intermediate may issue certificates. `below` counts the intermediates below it.
fn may_issue(issuer: &X509Certificate<'_>, below: usize, purpose: CertificatePurpose, now: UnixTime) -> bool {
    let is_ca = issuer.basic_constraints().ok().flatten().is_some_and(|constraints| {
        let room = constraints
            .value
            .path_len_constraint
            .is_none_or(|most| usize::try_from(most).is_ok_and(|most| below <= most));
        constraints.value.ca && room
    });
    let signs = match issuer.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    issuer.version() == X509Version::V3
        && is_ca
        && signs
        && matches!(issuer.name_constraints(), Ok(None))
        && check_first(issuer, purpose, now).is_ok()
}

/// Returns the content of a certificate's signature algorithm, if its signed part names the same one.
fn signature_algorithm(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    if certificate.signature_algorithm != certificate.tbs_certificate.signature {
        return None;
    }
    // The certificate is a sequence of the signed part, the algorithm and the signature.
    let (_, whole) = Sequence::from_der(certificate.as_raw()).ok()?;
    let after = whole.content.get(certificate.tbs_certificate.as_ref().len()..)?;
    let (_, algorithm) = Sequence::from_der(after).ok()?;
    Some(algorithm.content.into_owned())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa};
    use rcgen::{ExtendedKeyUsagePurpose as Usage, GeneralSubtree, KeyUsagePurpose, NameConstraints, date_time_ymd};

    use super::*;
    use crate::tls::common::provider;
    use crate::tls::testing::{Leaf, LeafOptions, TestAuthority, elements};
    use crate::tls::verify::now;

    use CertificateError as Bad;

    type Params<'a> = &'a dyn Fn(&mut CertificateParams);

    fn outcome(
        root: &TestAuthority,
        first: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(root.der()).unwrap();
        let algorithms = &provider().signature_verification_algorithms;
        let now = now();
        verify(ChainRules { roots: &roots, algorithms, purpose: CertificatePurpose::Client, now }, first, intermediates)
    }

    fn unknown() -> Result<(), Error> {
        Err(CertificateError::UnknownIssuer.into())
    }

    #[test]
    fn an_old_certificate_must_be_signed_by_the_root() {
        let (root, namesake) = (TestAuthority::new(), TestAuthority::new());
        let leaf = root.client();
        let old = root.old(&leaf.der());
        assert_eq!(outcome(&root, &old, &[]), Ok(()));
        assert_eq!(outcome(&root, &old, &[root.der(), leaf.der()]), Ok(()));
        // The other root has the same name, and another key.
        assert_eq!(outcome(&namesake, &old, &[]), unknown());
        assert_eq!(outcome(&namesake, &old, &[root.der()]), unknown());
        assert_eq!(outcome(&root, &namesake.old(&leaf.der()), &[]), unknown());
        assert_eq!(outcome(&root, &namesake.old(&leaf.der()), &[namesake.der()]), unknown());
    }

    #[test]
    fn a_changed_byte_ends_the_trust() {
        let root = TestAuthority::new();
        let old = root.old(&root.client().der());
        for at in 0..old.len() {
            let mut forged = old.to_vec();
            forged[at] ^= 1;
            assert!(outcome(&root, &forged.into(), &[]).is_err(), "byte {at}");
        }
    }

    #[test]
    fn an_old_certificate_has_dates_too() {
        let root = TestAuthority::new();
        let expired = root.old(&root.issue(LeafOptions { expired: true, ..LeafOptions::default() }).der());
        assert!(matches!(outcome(&root, &expired, &[]), Err(Error::InvalidCertificate(Bad::ExpiredContext { .. }))));
        let old = root.old(&root.client().der());
        let check = |now: u64| {
            verify_trusted(&old, CertificatePurpose::Client, UnixTime::since_unix_epoch(Duration::from_secs(now)))
        };
        assert!(matches!(check(1), Err(Error::InvalidCertificate(Bad::NotValidYetContext { .. }))));
        assert!(matches!(check(u64::MAX), Err(Error::InvalidCertificate(Bad::ExpiredContext { .. }))));
    }

    #[test]
    fn an_old_certificate_has_no_extensions() {
        let root = TestAuthority::new();
        let forged = root.resign(&root.client().der(), |fields| drop(fields.remove(0)));
        assert!(outcome(&root, &forged, &[]).is_err());
    }

    #[test]
    fn an_old_certificate_cannot_issue_others() {
        let root = TestAuthority::new();
        let between = root.intermediate(|_| {});
        let first = between.old(&between.client().der());
        assert_eq!(outcome(&root, &first, &[between.der()]), Ok(()));
        assert_eq!(outcome(&root, &first, &[root.old(&between.der())]), unknown());
    }

    #[test]
    fn an_intermediate_meets_every_rule_for_authorities() {
        let root = TestAuthority::new();
        let odd: [(&str, Params<'_>); 9] = [
            ("no CA", &|params| params.is_ca = IsCa::ExplicitNoCa),
            ("no basic constraints", &|params| params.is_ca = IsCa::NoCa),
            ("no right to sign", &|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
            ("for servers", &|params| params.extended_key_usages = vec![Usage::ServerAuth]),
            ("expired", &|params| params.not_after = date_time_ymd(2001, 1, 1)),
            ("not valid yet", &|params| params.not_before = date_time_ymd(3001, 1, 1)),
            ("an unknown critical extension", &|params| {
                let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 1], vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions.push(extension);
            }),
            ("constraints on names", &|params| {
                let permitted_subtrees = vec![GeneralSubtree::DnsName("example.org".to_owned())];
                params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
            }),
            ("two basic constraints", &|params| {
                let extension = CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 3, 1, 1, 0xff]);
                params.custom_extensions.push(extension);
            }),
        ];
        for (what, odd) in odd {
            let between = root.intermediate(odd);
            let first = between.old(&between.client().der());
            assert_eq!(outcome(&root, &first, &[between.der()]), unknown(), "{what}");
        }
        let good: [(&str, Params<'_>); 3] = [
            ("a right to sign", &|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]),
            ("for clients", &|params| params.extended_key_usages = vec![Usage::ServerAuth, Usage::ClientAuth]),
            ("for anything", &|params| params.extended_key_usages = vec![Usage::Any]),
        ];
        for (what, good) in good {
            let between = root.intermediate(good);
            let first = between.old(&between.client().der());
            assert_eq!(outcome(&root, &first, &[between.der()]), Ok(()), "{what}");
        }
    }

    #[test]
    fn a_chain_keeps_to_the_path_length_of_its_cas() {
        let root = TestAuthority::new();
        let upper = root.intermediate(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
        let direct = upper.old(&upper.client().der());
        assert_eq!(outcome(&root, &direct, &[upper.der()]), Ok(()));
        let lower = upper.intermediate(|_| {});
        let below = lower.old(&lower.client().der());
        assert_eq!(outcome(&root, &below, &[lower.der(), upper.der()]), unknown());

        let mut chain = vec![root.intermediate(|_| {})];
        for length in 1..=MAX_INTERMEDIATES + 1 {
            let last = chain.last().unwrap();
            let first = last.old(&last.client().der());
            let intermediates: Vec<_> = chain.iter().map(TestAuthority::der).collect();
            assert_eq!(outcome(&root, &first, &intermediates).is_ok(), length <= MAX_INTERMEDIATES, "{length}");
            chain.push(last.intermediate(|_| {}));
        }
    }

    #[test]
    fn a_root_with_name_constraints_is_refused() {
        let root = TestAuthority::new();
        let constrained = root.intermediate(|params| {
            let excluded_subtrees = vec![GeneralSubtree::DnsName("example.org".to_owned())];
            params.name_constraints = Some(NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees });
        });
        let first = constrained.old(&constrained.client().der());
        assert_eq!(outcome(&constrained, &first, &[]), unknown());
    }

    #[test]
    fn the_signed_part_must_name_the_same_algorithm() {
        let root = TestAuthority::new();
        let old = root.old(&root.client().der());
        // The signed part names ECDSA with SHA-384, and the certificate names it with SHA-256.
        let forged = root.resign(&old, |fields| *fields[1].last_mut().unwrap() = 3);
        assert_eq!(outcome(&root, &forged, &[]), unknown());
        assert_eq!(elements(&forged)[1], elements(&old)[1]);
    }

    #[test]
    fn a_chain_that_leads_in_circles_ends() {
        let (root, other) = (TestAuthority::new(), TestAuthority::new());
        let circle = other.intermediate(|_| {});
        // All certificates have one name and sign themselves, so each may be the issuer of all. None is a root.
        let like: Vec<_> = (0..50).map(|_| circle.resign(&circle.intermediate(|_| {}).der(), |_| ())).collect();
        let first = circle.old(&circle.client().der());
        let itself = circle.resign(&circle.der(), |fields| fields[3] = fields[5].clone());
        let all: Vec<_> = std::iter::repeat_n(itself, 50).chain(like).collect();
        assert_eq!(outcome(&root, &first, &all), unknown());
    }

    #[test]
    fn a_directly_trusted_certificate_must_fit_its_purpose() {
        let now = now();
        let leaf = |usages: &[Usage]| {
            let odd = LeafOptions { usages: Some(usages.to_vec()), ..LeafOptions::default() };
            Leaf::of(&rcgen::PKCS_ED25519, odd).der()
        };
        for good in [leaf(&[]), leaf(&[Usage::ServerAuth]), leaf(&[Usage::Any])] {
            assert_eq!(verify_trusted(&good, CertificatePurpose::Server, now), Ok(()));
        }
        let bad = Err(CertificateError::InvalidPurpose.into());
        assert_eq!(verify_trusted(&leaf(&[Usage::ClientAuth]), CertificatePurpose::Server, now), bad);
        let critical =
            Leaf::of(&rcgen::PKCS_ED25519, LeafOptions { critical_extension: true, ..LeafOptions::default() });
        assert!(verify_trusted(&critical.der(), CertificatePurpose::Client, now).is_err());
    }
}
