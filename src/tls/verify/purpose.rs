//! The purpose of a certificate, and whether its extended key usages allow it.

use webpki::{Error, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, KeyUsage};
use x509_parser::certificate::X509Certificate;

/// The side of the public API that shows a certificate.
///
/// A certificate without extended key usages is good for both, and so is one that names `anyExtendedKeyUsage`. Go, and
/// so KES, accept both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificatePurpose {
    /// A client shows it to a server.
    Client,
    /// A server shows it to a client.
    Server,
}

/// `anyExtendedKeyUsage`, 2.5.29.37.0.
const ANY: KeyPurposeId<'static> = KeyPurposeId::new(&[0x55, 0x1d, 0x25, 0x00]);
const SERVER: KeyPurposeId<'static> = KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 1]);
const CLIENT: KeyPurposeId<'static> = KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 2]);

impl CertificatePurpose {
    /// Whether the certificate allows this purpose. This also works for a certificate that webpki does not parse.
    pub fn allowed_by(self, certificate: &X509Certificate<'_>) -> bool {
        match certificate.extended_key_usage() {
            Ok(None) => true,
            Ok(Some(usages)) => {
                let named = match self {
                    Self::Client => usages.value.client_auth,
                    Self::Server => usages.value.server_auth,
                };
                named || usages.value.any
            }
            Err(_) => false,
        }
    }

    fn id(self) -> KeyPurposeId<'static> {
        match self {
            Self::Client => CLIENT,
            Self::Server => SERVER,
        }
    }

    /// Returns the usage that webpki's own check asks for.
    fn strict(self) -> KeyUsage {
        match self {
            Self::Client => KeyUsage::client_auth(),
            Self::Server => KeyUsage::server_auth(),
        }
    }
}

impl ExtendedKeyUsageValidator for CertificatePurpose {
    fn validate(&self, usages: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        let mut present = Vec::new();
        for usage in usages {
            let usage = usage?;
            if usage == self.id() || usage == ANY {
                return Ok(());
            }
            present.push(usage.to_decoded_oid());
        }
        if present.is_empty() {
            return Ok(());
        }
        let required = self.strict();
        Err(Error::RequiredEkuNotFoundContext(webpki::RequiredEkuNotFoundContext { required, present }))
    }
}
