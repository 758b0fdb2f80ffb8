//! A certificate chain with its private key, in the form that handshakes take.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys};

use super::certificate;
use super::common::provider;

/// Joins a chain and a key that belong together. rustls's own check refuses certificates before X.509 version 3.
///
/// # Errors
/// The key cannot sign, or belongs to another certificate.
pub(super) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<SingleCertAndKey>, Error> {
    let key = provider().key_provider.load_private_key(key)?;
    let first = chain.first().ok_or(Error::NoCertificatesPresented)?;
    match key.public_key() {
        Some(public) if public != certificate::public_key(first)? => Err(InconsistentKeys::KeyMismatch.into()),
        _ => Ok(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Leaf, TestAuthority};

    #[test]
    fn a_key_fits_its_certificate_in_every_version_of_x509() {
        let (leaf, other) = (TestAuthority::new().client(), Leaf::self_signed());
        for certificate in [leaf.der(), TestAuthority::new().old(&leaf.der())] {
            assert!(certified(vec![certificate.clone()], leaf.key()).is_ok());
            let mismatch = certified(vec![certificate], other.key()).unwrap_err();
            assert_eq!(mismatch, InconsistentKeys::KeyMismatch.into());
        }
        assert!(certified(Vec::new(), leaf.key()).is_err());
    }
}
