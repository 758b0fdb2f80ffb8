//! Finds the identity of a client in its certificate chain (wire contract, "Identity and TLS").

use rustls::pki_types::CertificateDer;

use super::MalformedCertificate;
use crate::policy::Identity;

/// Why a chain does not identify a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateError {
    /// More than one certificate does not belong to a CA, so the server cannot know who asks.
    Several,
    /// The handshake proved the key of a CA's certificate, and that cannot identify a client.
    Authority,
    /// A certificate of the chain cannot be read.
    Malformed,
}

/// Returns the identity of the only certificate in the chain that does not belong to a CA.
///
/// That certificate must come first, because the handshake proves possession of the first certificate's key only. An
/// attacker can make a CA certificate and send it before the certificate of another client. That must not give it the
/// identity of the other client.
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
    use crate::tls::testing::{Leaf, TestAuthority};

    #[test]
    fn exactly_one_certificate_besides_those_of_cas_must_remain() {
        let authority = TestAuthority::new();
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
    fn a_certificate_after_that_of_a_ca_proves_nothing() {
        let (attacker, victim) = (TestAuthority::new(), Leaf::self_signed());
        assert_eq!(identity_of(&[attacker.der(), victim.der()]), Err(CertificateError::Authority));
    }
}
