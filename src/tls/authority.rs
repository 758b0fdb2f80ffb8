//! A certificate authority for `keyraft dev`. Its key stays in memory, and is gone once the cluster is made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::clock;
use crate::crypto::random;

/// Ten years, so that nobody has to renew the certificates of a development cluster.
const VALIDITY: Duration = Duration::days(3652);

/// A certificate authority that signs the certificates of one cluster.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The authority's own certificate in PEM.
    pub certificate_pem: String,
}

/// A certificate and its key in PEM.
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key.
    pub key_pem: Zeroizing<String>,
}

/// The cryptographic library could not make a key or a certificate.
#[derive(Debug, Error)]
#[error("cannot make a certificate: {0}")]
pub struct AuthorityError(#[from] rcgen::Error);

impl Authority {
    /// Makes an authority of this name.
    ///
    /// # Errors
    /// The cryptographic library cannot make a key or a certificate.
    pub fn new(name: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = parameters(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem })
    }

    /// Issues a certificate for the API on this machine.
    ///
    /// # Errors
    /// As for [`Authority::new`].
    pub fn issue_api(&self, node: &str) -> Result<Issued, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = parameters(node);
        params.subject_alt_names = local_names()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: Zeroizing::new(key.serialize_pem()) })
    }
}

fn parameters(name: &str) -> CertificateParams {
    let now = OffsetDateTime::from_unix_timestamp_nanos(clock::unix_ns().into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&random::bytes::<16>()));
    params.not_before = now - Duration::hours(1);
    params.not_after = now + VALIDITY;
    params
}

fn local_names() -> Result<Vec<SanType>, AuthorityError> {
    Ok(vec![
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ])
}
