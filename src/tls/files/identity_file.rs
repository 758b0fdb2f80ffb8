//! Finds the identity of a client in a certificate file, or says what is wrong with the file.

use rustls::pki_types::CertificateDer;
use thiserror::Error;

use super::content::{Content, without_mark};
use crate::policy::Identity;
use crate::tls::certificate;

/// The identity of the client whose certificates a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateIdentity {
    /// The identity.
    pub identity: Identity,
    /// Whether the client's certificate comes first. Servers accept the file only then.
    pub is_first: bool,
}

/// Why a file gives no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoIdentity {
    /// The file holds CA certificates only.
    #[error(
        "it holds a CA certificate only, and servers skip those: make the client's certificate with CA:FALSE (openssl \
         req -x509 … -addext basicConstraints=critical,CA:FALSE)"
    )]
    AuthoritiesOnly,
    /// The file holds this many certificates of clients.
    #[error(
        "it holds {0} certificates that are not CA certificates, and a server refuses more than one: keep the client's own \
         certificate, and the CA certificates above it"
    )]
    Several(usize),
    /// A certificate in the file is damaged.
    #[error("a certificate in it is cut off or damaged: copy the file again")]
    Broken,
    /// The file holds this in place of a certificate.
    #[error("{}", in_place_of_client(.0))]
    Other(Content),
}

/// Returns the identity that a server would give to a client with this file, in PEM or DER.
///
/// # Errors
/// The file must hold exactly one certificate besides those of CAs, and does not.
pub fn certificate_identity(file: &[u8]) -> Result<CertificateIdentity, NoIdentity> {
    let file = without_mark(file);
    let der = CertificateDer::from(file);
    if certificate::read(&der).is_ok() {
        return identity_of(&[der]);
    }
    match certificate::in_pem(file) {
        Ok(chain) if chain.is_empty() => Err(NoIdentity::Other(Content::of(file))),
        Ok(chain) => identity_of(&chain),
        Err(_) => Err(NoIdentity::Broken),
    }
}

fn identity_of(chain: &[CertificateDer<'_>]) -> Result<CertificateIdentity, NoIdentity> {
    let mut clients = Vec::new();
    for (place, der) in chain.iter().enumerate() {
        let facts = certificate::read(der).map_err(|certificate::MalformedCertificate| NoIdentity::Broken)?;
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

fn in_place_of_client(content: &Content) -> String {
    match content {
        Content::Nothing => "it is empty".to_owned(),
        Content::Other => "it holds no certificate in PEM or DER, and no API key".to_owned(),
        Content::Request => "it holds a certificate request: name the certificate that the CA issued for it".to_owned(),
        content => format!("it holds {content}: name the file with the certificate"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Leaf, TestAuthority};

    #[test]
    fn one_certificate_gives_its_identity_in_pem_and_der() {
        let authority = TestAuthority::new();
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
    fn each_reason_for_a_missing_identity_is_distinct() {
        let authority = TestAuthority::new();
        let (one, two) = (Leaf::self_signed(), authority.client());
        let says = |file: &[u8]| certificate_identity(file).unwrap_err();
        assert_eq!(says(b""), NoIdentity::Other(Content::Nothing));
        assert_eq!(says(b" \n"), NoIdentity::Other(Content::Nothing));
        assert_eq!(says(authority.pem().as_bytes()), NoIdentity::AuthoritiesOnly);
        assert_eq!(says(&authority.der()), NoIdentity::AuthoritiesOnly);
        assert_eq!(says((one.pem() + &two.pem()).as_bytes()), NoIdentity::Several(2));
        assert_eq!(says(&one.pem().as_bytes()[..100]), NoIdentity::Broken);
        assert_eq!(says(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), NoIdentity::Broken);
        assert_eq!(says(one.key_pem().as_bytes()), NoIdentity::Other(Content::PrivateKey));
        for name in ["ec", "ec-aes256", "rsa", "rsa-aes256", "pkcs8", "pkcs8-aes256"] {
            let file = std::fs::read(format!("tests/vectors/encrypted_keys/{name}.key")).unwrap();
            assert_eq!(says(&file), NoIdentity::Other(Content::PrivateKey), "{name}");
        }
        let request = b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        assert_eq!(says(request), NoIdentity::Other(Content::Request));
        assert_eq!(says(b"hello"), NoIdentity::Other(Content::Other));
        assert_eq!(says(&[0x30, 0x80, 0, 0xff]), NoIdentity::Other(Content::Other));
    }
}
