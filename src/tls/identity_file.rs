//! From a file that somebody calls a certificate to the identity behind it, or to what is in the file instead.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use zeroize::Zeroizing;

use super::certificates;
use super::encrypted_key::EncryptedKey;
use crate::policy::Identity;

/// The identity behind the certificates of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateIdentity {
    /// The identity.
    pub identity: Identity,
    /// Whether its certificate comes first, as it must for a client that shows the file.
    pub is_first: bool,
}

/// Why a file gives no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoIdentity {
    /// It is empty.
    Empty,
    /// It holds CA certificates only.
    AuthoritiesOnly,
    /// It holds so many certificates of clients.
    Several(usize),
    /// A certificate in it is broken.
    Broken,
    /// It holds a private key.
    PrivateKey,
    /// It holds a certificate request.
    Request,
    /// It holds none of these.
    Other,
}

/// The identity that a server sees behind the certificates of a file, in PEM or DER.
///
/// # Errors
/// The file does not hold exactly one certificate that is not a CA's.
pub fn certificate_identity(file: &[u8]) -> Result<CertificateIdentity, NoIdentity> {
    if file.trim_ascii().is_empty() {
        return Err(NoIdentity::Empty);
    }
    let der = CertificateDer::from(file);
    if certificates::read(&der).is_ok() {
        return identity_of(&[der]);
    }
    match certificates::in_pem(file) {
        Ok(chain) if chain.is_empty() => Err(other_content(file)),
        Ok(chain) => identity_of(&chain),
        Err(_) => Err(NoIdentity::Broken),
    }
}

fn identity_of(chain: &[CertificateDer<'_>]) -> Result<CertificateIdentity, NoIdentity> {
    let mut clients = Vec::new();
    for (place, der) in chain.iter().enumerate() {
        let facts = certificates::read(der).map_err(|certificates::Malformed| NoIdentity::Broken)?;
        if !facts.is_ca {
            clients.push(CertificateIdentity { identity: Identity::of_public_key(facts.spki), is_first: place == 0 });
        }
    }
    match clients[..] {
        [] => Err(NoIdentity::AuthoritiesOnly),
        [only] => Ok(only),
        _ => Err(NoIdentity::Several(clients.len())),
    }
}

/// What a file without certificates holds.
fn other_content(file: &[u8]) -> NoIdentity {
    use SectionKind as Kind;
    if EncryptedKey::first_of(file).is_some() {
        return NoIdentity::PrivateKey;
    }
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(file).map_while(Result::ok);
    let kind = sections.map(|(kind, content)| (kind, Zeroizing::new(content)).0).next();
    match kind {
        Some(Kind::PrivateKey | Kind::RsaPrivateKey | Kind::EcPrivateKey) => NoIdentity::PrivateKey,
        Some(Kind::Csr) => NoIdentity::Request,
        _ => NoIdentity::Other,
    }
}

impl fmt::Display for NoIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::AuthoritiesOnly => f.write_str(
                "it holds a CA certificate only, and servers skip those: make the client's certificate with CA:FALSE \
                 (openssl req -x509 … -addext basicConstraints=critical,CA:FALSE)",
            ),
            Self::Several(count) => write!(
                f,
                "it holds {count} certificates that are not CA certificates, and a server refuses more than one: keep \
                 the client's own certificate, and the CA certificates above it"
            ),
            Self::Broken => f.write_str("a certificate in it is cut off or damaged: copy the file again"),
            Self::PrivateKey => f.write_str("it holds a private key: name the file with the certificate"),
            Self::Request => {
                f.write_str("it holds a certificate request: name the certificate that the CA issued for it")
            }
            Self::Other => f.write_str("it holds no certificate in PEM or DER, and no API key"),
        }
    }
}

impl std::error::Error for NoIdentity {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Authority, Leaf};

    #[test]
    fn one_certificate_gives_its_identity_in_pem_and_der() {
        let authority = Authority::new();
        let client = authority.client();
        let first = Ok(CertificateIdentity { identity: client.identity(), is_first: true });
        let text = format!("Subject: CN=app\n{}", client.pem());
        let chain = client.pem() + &authority.pem();
        for file in [client.pem().as_bytes(), client.pem().replace('\n', "\r\n").as_bytes(), text.as_bytes()] {
            assert_eq!(certificate_identity(file), first);
        }
        assert_eq!(certificate_identity(&client.der()), first);
        assert_eq!(certificate_identity(&authority.old(&client.der())), first);
        assert_eq!(certificate_identity(chain.as_bytes()), first);
        assert_eq!(certificate_identity((client.key_pem() + &client.pem()).as_bytes()), first);
        for key in ["ec", "ec-aes256", "pkcs8-aes256"] {
            let key = std::fs::read_to_string(format!("tests/vectors/encrypted_keys/{key}.key")).unwrap();
            assert_eq!(certificate_identity((key + &client.pem()).as_bytes()), first);
        }
        let swapped = certificate_identity((authority.pem() + &client.pem()).as_bytes());
        assert_eq!(swapped, Ok(CertificateIdentity { identity: client.identity(), is_first: false }));
    }

    #[test]
    fn what_gives_no_identity_is_told_apart() {
        let authority = Authority::new();
        let (one, two) = (Leaf::self_signed(), authority.client());
        let says = |file: &[u8]| certificate_identity(file).unwrap_err();
        assert_eq!(says(b""), NoIdentity::Empty);
        assert_eq!(says(b" \n"), NoIdentity::Empty);
        assert_eq!(says(authority.pem().as_bytes()), NoIdentity::AuthoritiesOnly);
        assert_eq!(says(&authority.der()), NoIdentity::AuthoritiesOnly);
        assert_eq!(says((one.pem() + &two.pem()).as_bytes()), NoIdentity::Several(2));
        assert_eq!(says(&one.pem().as_bytes()[..100]), NoIdentity::Broken);
        assert_eq!(says(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), NoIdentity::Broken);
        assert_eq!(says(one.key_pem().as_bytes()), NoIdentity::PrivateKey);
        for name in ["ec", "ec-aes256", "rsa", "rsa-aes256", "pkcs8", "pkcs8-aes256"] {
            let file = std::fs::read(format!("tests/vectors/encrypted_keys/{name}.key")).unwrap();
            assert_eq!(says(&file), NoIdentity::PrivateKey, "{name}");
        }
        let request = b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        assert_eq!(says(request), NoIdentity::Request);
        assert_eq!(says(b"hello"), NoIdentity::Other);
        assert_eq!(says(&[0x30, 0x80, 0, 0xff]), NoIdentity::Other);
    }
}
