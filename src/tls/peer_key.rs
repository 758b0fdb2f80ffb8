//! The private key that a node makes for its connections to other nodes, where its configuration gives it none.

use std::fmt;

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ED25519,
    PublicKeyData as _,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use thiserror::Error;
use zeroize::Zeroizing;

use super::ed25519;

/// The subject of each certificate that a node makes for itself. No node looks at it.
const SUBJECT: &str = "keyraft peer";

/// A private Ed25519 key that a node made for itself. The cluster knows the node by this key.
pub struct PeerKey(KeyPair);

/// Why a key cannot be made or read.
#[derive(Debug, Error)]
pub enum PeerKeyError {
    /// The cryptographic library could not make or use a key.
    #[error("the cryptographic library cannot make the key for peers: {0}")]
    Library(#[from] rcgen::Error),
    /// TLS cannot use the key.
    #[error("TLS cannot use the key for peers: {0}")]
    Tls(#[from] rustls::Error),
    /// The text is not a key as [`PeerKey::pem`] writes it.
    #[error("not an Ed25519 key in PEM with its public key")]
    Malformed,
}

impl PeerKey {
    /// Makes a random key.
    ///
    /// # Errors
    /// [`PeerKeyError::Library`] if the system returns no random bytes.
    pub fn generate() -> Result<Self, PeerKeyError> {
        Ok(Self(ed25519::key_pair(&*ed25519::random_seed()?)?))
    }

    /// Reads a key that [`PeerKey::pem`] wrote.
    ///
    /// # Errors
    /// [`PeerKeyError::Malformed`] if the text is something else, or damaged.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PeerKeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| PeerKeyError::Malformed)?;
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).map_err(|_| PeerKeyError::Malformed)?;
        let public = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| PeerKeyError::Malformed)?;
        // Without the public key to compare with, a changed bit would make another private key.
        if *public != *pair.subject_public_key_info() {
            return Err(PeerKeyError::Malformed);
        }
        Ok(Self(pair))
    }

    /// Returns the private key as PKCS#8 in PEM, and after it the public key. Only the file of the key may hold it.
    pub fn pem(&self) -> Zeroizing<String> {
        let private = Zeroizing::new(self.0.serialize_pem());
        Zeroizing::new(format!("{}{}", &*private, self.0.public_key_pem()))
    }

    /// Returns the key as handshakes take it.
    pub(super) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }

    /// Makes the certificate that the node shows its peers. It only carries the key: the peers verify no date and no
    /// issuer.
    pub(super) fn certificate(&self) -> Result<CertificateDer<'static>, PeerKeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, SUBJECT);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params.self_signed(&self.0)?.der().clone())
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Identity;
    use crate::tls::certificate;
    use crate::tls::testing::Leaf;

    fn identity(key: &PeerKey) -> Identity {
        Identity::of_public_key(certificate::read(&key.certificate().unwrap()).unwrap().spki)
    }

    #[test]
    fn a_key_that_is_written_and_read_is_the_same() {
        let [key, other] = [(); 2].map(|()| PeerKey::generate().unwrap());
        let read = PeerKey::from_pem(key.pem().as_bytes()).unwrap();
        assert_eq!((identity(&read), read.pem()), (identity(&key), key.pem()));
        assert_ne!(identity(&key), identity(&other));
        assert_eq!(format!("{key:?}"), "PeerKey(…)");
    }

    #[test]
    fn a_changed_byte_never_makes_another_key() {
        let key = PeerKey::generate().unwrap();
        let pem = key.pem();
        let end = pem.rfind("\n-----END").unwrap();
        for place in 0..end {
            let mut changed = pem.as_bytes().to_vec();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            if let Ok(read) = PeerKey::from_pem(&changed) {
                assert_eq!(identity(&read), identity(&key), "the byte {place} of {}", pem.len());
            }
        }
        for cut in 0..=end {
            assert!(PeerKey::from_pem(&pem.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_key_of_another_kind_and_other_files_are_refused() {
        let leaf = Leaf::self_signed();
        for other in [leaf.key_pem(), leaf.pem(), String::new(), "text".to_owned()] {
            assert!(matches!(PeerKey::from_pem(other.as_bytes()), Err(PeerKeyError::Malformed)));
        }
    }
}
