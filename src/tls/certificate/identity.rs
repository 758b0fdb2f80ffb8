//! From a client's certificate chain to its identity (wire contract, "Identity and TLS").

use rustls::pki_types::CertificateDer;

use super::MalformedCertificate;
use crate::policy::Identity;

/// Why a chain is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateError {
    /// More than one certificate is no CA's, so that it is unclear who asks.
    Several,
    /// The certificate whose key the handshake proved is a CA's, which speaks for no client.
    Authority,
    /// A certificate of the chain cannot be read.
    Malformed,
}

/// The identity of the only certificate in the chain that is no CA's.
///
/// It must come first: the handshake proves possession of the first certificate's key only, and a CA certificate
/// that anyone can make, followed by someone else's certificate, must not become that someone.
pub fn identity_of(chain: &[CertificateDer<'_>]) -> Result<Identity, CertificateError> {
    let mut clients = 0;
    let mut first = None;
    for (place, der) in chain.iter().enumerate() {
        let facts = super::read(der)?;
        if facts.is_ca {
            continue;
        }
        clients += 1;
        if place == 0 {
            first = Some(Identity::of_public_key(facts.spki));
        }
    }
    if clients > 1 {
        return Err(CertificateError::Several);
    }
    first.ok_or(CertificateError::Authority)
}

impl From<MalformedCertificate> for CertificateError {
    fn from(MalformedCertificate: MalformedCertificate) -> Self {
        Self::Malformed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Authority, Leaf};

    #[test]
    fn authorities_are_skipped_and_one_certificate_must_remain() {
        let authority = Authority::new();
        let (one, two) = (authority.client(), authority.client());
        let identity = Ok(one.identity());
        assert_eq!(identity_of(&[one.der()]), identity);
        assert_eq!(identity_of(&[one.der(), authority.der()]), identity);
        assert_eq!(identity_of(&[one.der(), two.der()]), Err(CertificateError::Several));
        assert_eq!(identity_of(&[one.der(), authority.der(), two.der()]), Err(CertificateError::Several));
        assert_eq!(identity_of(&[authority.der()]), Err(CertificateError::Authority));
        assert_eq!(identity_of(&[]), Err(CertificateError::Authority));
        assert_eq!(identity_of(&[CertificateDer::from(vec![0x30, 0])]), Err(CertificateError::Malformed));
    }

    #[test]
    fn a_certificate_behind_an_authority_proves_nothing() {
        let (attacker, victim) = (Authority::new(), Leaf::self_signed());
        assert_eq!(identity_of(&[attacker.der(), victim.der()]), Err(CertificateError::Authority));
    }
}
