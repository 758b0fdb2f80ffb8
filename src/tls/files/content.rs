//! Recognises what a file holds in place of a certificate or a private key, and says what to do about it.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

use super::encrypted_key::EncryptedKey;
use crate::tls::certificate;

/// The byte order mark with which UTF-8 text from Windows may begin.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// The byte order marks with which UTF-16 text begins.
const MARKS_OF_UTF16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// What a file holds, judged by its first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    Nothing,
    /// A certificate in PEM, complete or damaged.
    Certificate,
    /// A certificate in PEM with the label that openssl gives to one with trust settings.
    TrustedCertificate,
    /// A certificate in DER.
    CertificateDer,
    /// A private key in PEM, encrypted or not.
    PrivateKey,
    /// A private key in DER, encrypted or not.
    PrivateKeyDer,
    /// A private key in the form of OpenSSH.
    SshKey,
    /// A public key in PEM, DER or the form of OpenSSH.
    PublicKey,
    /// A certificate request.
    Request,
    /// A list of revoked certificates.
    RevocationList,
    /// Certificates in PKCS#7, in PEM.
    Pkcs7,
    /// Certificates and perhaps a key in PKCS#12, which Windows and Java call PFX.
    Pkcs12,
    /// PEM or DER, encoded in base64 a second time.
    Base64,
    /// PEM whose lines begin with spaces.
    Indented,
    /// Text in UTF-16.
    Utf16,
    /// Something else.
    Other,
}

/// Returns the content of a text file without the byte order mark of UTF-8.
pub fn without_mark(file: &[u8]) -> &[u8] {
    file.strip_prefix(MARK).unwrap_or(file)
}

impl Content {
    /// Recognises the content of a file.
    pub fn of(file: &[u8]) -> Self {
        let file = without_mark(file);
        if file.trim_ascii().is_empty() {
            return Self::Nothing;
        }
        if MARKS_OF_UTF16.iter().any(|mark| file.starts_with(mark)) {
            return Self::Utf16;
        }
        if EncryptedKey::first_of(file).is_some() {
            return Self::PrivateKey;
        }
        Self::of_pem(file).or_else(|| Self::of_der(file)).or_else(|| Self::of_text(file)).unwrap_or(Self::Other)
    }

    fn of_pem(file: &[u8]) -> Option<Self> {
        use SectionKind as Kind;
        let first = <(SectionKind, Vec<u8>)>::pem_slice_iter(file).next().and_then(Result::ok);
        match first.map(|(kind, content)| (kind, Zeroizing::new(content)).0) {
            Some(Kind::Certificate) => Some(Self::Certificate),
            Some(Kind::PrivateKey | Kind::RsaPrivateKey | Kind::EcPrivateKey) => Some(Self::PrivateKey),
            Some(Kind::PublicKey) => Some(Self::PublicKey),
            Some(Kind::Csr) => Some(Self::Request),
            Some(Kind::Crl) => Some(Self::RevocationList),
            // The block is cut off, or rustls does not know its label.
            _ => lines(file).find_map(|line| of_label(label(line)?)),
        }
    }

    fn of_der(file: &[u8]) -> Option<Self> {
        if certificate::read(&CertificateDer::from(file)).is_ok() {
            Some(Self::CertificateDer)
        } else if is_pkcs12(file) {
            Some(Self::Pkcs12)
        } else if PrivateKeyDer::try_from(file).is_ok() || pkcs8::EncryptedPrivateKeyInfo::try_from(file).is_ok() {
            Some(Self::PrivateKeyDer)
        } else if X509CertificationRequest::from_der(file).is_ok() {
            Some(Self::Request)
        } else if CertificateRevocationList::from_der(file).is_ok() {
            Some(Self::RevocationList)
        } else if SubjectPublicKeyInfo::from_der(file).is_ok() {
            Some(Self::PublicKey)
        } else {
            None
        }
    }

    fn of_text(file: &[u8]) -> Option<Self> {
        if [b"ssh-".as_slice(), b"ecdsa-sha2-", b"sk-"].iter().any(|kind| file.starts_with(kind)) {
            return Some(Self::PublicKey);
        }
        if lines(file).any(|line| line.starts_with(b" ") && label(line.trim_ascii()).is_some()) {
            return Some(Self::Indented);
        }
        let digits: Zeroizing<Vec<u8>> =
            Zeroizing::new(file.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
        let decoded = Zeroizing::new(BASE64_STANDARD.decode(&*digits).ok()?);
        Self::of_pem(&decoded).or_else(|| Self::of_der(&decoded)).map(|_| Self::Base64)
    }

    /// Says what to do about a file that should hold a certificate.
    pub fn in_place_of_certificate(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Nothing => format!("{path} is empty"),
            Self::Certificate | Self::Other => format!(
                "{path} holds no readable PEM certificate: it must hold one whole block from `-----BEGIN \
                 CERTIFICATE-----` to `-----END CERTIFICATE-----`, or several"
            ),
            Self::TrustedCertificate => convert(self, &path, "openssl x509"),
            Self::CertificateDer => convert(self, &path, "openssl x509 -inform DER"),
            Self::Pkcs7 => convert(self, &path, "openssl pkcs7 -print_certs"),
            Self::Pkcs12 => convert(self, &path, "openssl pkcs12 -nokeys"),
            Self::Request => {
                format!("{path} holds {self}: name the file with the certificate that the CA issued for it")
            }
            Self::PrivateKey | Self::PrivateKeyDer | Self::SshKey | Self::PublicKey | Self::RevocationList => {
                format!("{path} holds {self} and no certificate: name the file with the certificate")
            }
            Self::Base64 | Self::Indented | Self::Utf16 => self.in_other_form(&path),
        }
    }

    /// Says what to do about a file that should hold a private key.
    pub fn in_place_of_key(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Nothing => format!("{path} is empty"),
            Self::PrivateKey | Self::Other => format!(
                "{path} holds no readable PEM private key: it must hold one whole block from `-----BEGIN PRIVATE \
                 KEY-----` to `-----END PRIVATE KEY-----`"
            ),
            Self::PrivateKeyDer => convert(self, &path, "openssl pkey -inform DER"),
            Self::Pkcs12 => convert(self, &path, "openssl pkcs12 -nocerts -nodes"),
            Self::SshKey => format!(
                "{path} holds {self}: make a key for TLS with `openssl genpkey -algorithm EC -pkeyopt \
                 ec_paramgen_curve:P-256 -out NEW-FILE`, and a certificate for it"
            ),
            Self::Certificate
            | Self::TrustedCertificate
            | Self::CertificateDer
            | Self::PublicKey
            | Self::Request
            | Self::RevocationList
            | Self::Pkcs7 => format!("{path} holds {self} and no private key: name the file with the private key"),
            Self::Base64 | Self::Indented | Self::Utf16 => self.in_other_form(&path),
        }
    }

    fn in_other_form(self, path: &std::path::Display<'_>) -> String {
        let change = match self {
            Self::Indented => "remove the spaces at the beginning of its lines".to_owned(),
            Self::Utf16 => "save it again as UTF-8".to_owned(),
            _ => format!("write what it stands for to a file with `base64 -d {path} > NEW-FILE`, and name that file"),
        };
        format!("{path} holds {self}: {change}")
    }
}

fn convert(content: Content, path: &std::path::Display<'_>, command: &str) -> String {
    format!("{path} holds {content}: write it as PEM with `{command} -in {path} -out NEW-FILE`, and name that file")
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end)
}

fn label(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----")
}

fn of_label(label: &[u8]) -> Option<Content> {
    match label {
        b"CERTIFICATE" => Some(Content::Certificate),
        b"TRUSTED CERTIFICATE" | b"X509 CERTIFICATE" => Some(Content::TrustedCertificate),
        b"NEW CERTIFICATE REQUEST" | b"CERTIFICATE REQUEST" => Some(Content::Request),
        b"PKCS7" | b"CMS" => Some(Content::Pkcs7),
        b"OPENSSH PRIVATE KEY" => Some(Content::SshKey),
        b"RSA PUBLIC KEY" | b"SSH2 PUBLIC KEY" => Some(Content::PublicKey),
        label if label.ends_with(b"PRIVATE KEY") => Some(Content::PrivateKey),
        _ => None,
    }
}

/// Whether the bytes begin as PKCS#12 (RFC 7292, section 4): a sequence of the integer 3 and another sequence.
fn is_pkcs12(file: &[u8]) -> bool {
    let inner = match file {
        [0x30, 0..=0x80, inner @ ..] | [0x30, 0x81, _, inner @ ..] => inner,
        [0x30, 0x82, _, _, inner @ ..] | [0x30, 0x83, _, _, _, inner @ ..] => inner,
        _ => return false,
    };
    inner.starts_with(&[0x02, 0x01, 0x03, 0x30])
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Certificate => "a certificate",
            Self::TrustedCertificate => "a certificate with the label of openssl's trust settings",
            Self::CertificateDer => "a certificate in DER",
            Self::PrivateKey => "a private key",
            Self::PrivateKeyDer => "a private key in DER",
            Self::SshKey => "a private key of OpenSSH",
            Self::PublicKey => "a public key",
            Self::Request => "a certificate request",
            Self::RevocationList => "a list of revoked certificates",
            Self::Pkcs7 => "certificates in PKCS#7",
            Self::Pkcs12 => "PKCS#12 (PFX)",
            Self::Base64 => "base64 of a file in PEM or DER",
            Self::Indented => "PEM whose lines begin with spaces",
            Self::Utf16 => "text in UTF-16",
            Self::Other => "something else",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Leaf, TestAuthority};

    fn base64(file: &[u8]) -> Vec<u8> {
        BASE64_STANDARD.encode(file).into_bytes()
    }

    fn cases() -> Vec<(Vec<u8>, Content)> {
        let leaf = Leaf::self_signed();
        let (pem, key) = (leaf.pem(), leaf.key_pem());
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n").into_bytes();
        let request = rcgen::CertificateParams::default();
        let request = request.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let utf16 = pem.encode_utf16().flat_map(u16::to_le_bytes);
        let indented = pem.lines().fold(String::new(), |text, line| text + "    " + line + "\n");
        vec![
            (Vec::new(), Content::Nothing),
            (b"\xef\xbb\xbf\r\n".to_vec(), Content::Nothing),
            (pem.clone().into_bytes(), Content::Certificate),
            (pem.replace('\n', "\r\n").into_bytes(), Content::Certificate),
            (pem.as_bytes()[..100].to_vec(), Content::Certificate),
            (leaf.der().to_vec(), Content::CertificateDer),
            (block("TRUSTED CERTIFICATE"), Content::TrustedCertificate),
            (key.clone().into_bytes(), Content::PrivateKey),
            (key.as_bytes()[..60].to_vec(), Content::PrivateKey),
            (block("ENCRYPTED PRIVATE KEY"), Content::PrivateKey),
            (block("DSA PRIVATE KEY"), Content::PrivateKey),
            (leaf.key().secret_der().to_vec(), Content::PrivateKeyDer),
            (block("OPENSSH PRIVATE KEY"), Content::SshKey),
            (block("PUBLIC KEY"), Content::PublicKey),
            (b"ssh-ed25519 AAAA host\n".to_vec(), Content::PublicKey),
            (certificate::read(&leaf.der()).unwrap().spki.to_vec(), Content::PublicKey),
            (request.pem().unwrap().into_bytes(), Content::Request),
            (block("NEW CERTIFICATE REQUEST"), Content::Request),
            (request.der().to_vec(), Content::Request),
            (block("X509 CRL"), Content::RevocationList),
            (block("PKCS7"), Content::Pkcs7),
            (b"\x30\x82\x0a\x00\x02\x01\x03\x30\x82\x09\x00".to_vec(), Content::Pkcs12),
            (base64(pem.as_bytes()), Content::Base64),
            (base64(&leaf.der()), Content::Base64),
            (indented.into_bytes(), Content::Indented),
            ([0xff, 0xfe].into_iter().chain(utf16).collect(), Content::Utf16),
            (b"hello\n".to_vec(), Content::Other),
            (vec![0x30, 0x80, 0, 0xff], Content::Other),
        ]
    }

    #[test]
    fn every_kind_of_file_is_named() {
        for (file, content) in cases() {
            assert_eq!(Content::of(&file), content, "{}", String::from_utf8_lossy(&file));
        }
        let leaf = TestAuthority::new().client();
        assert_eq!(Content::of((leaf.key_pem() + &leaf.pem()).as_bytes()), Content::PrivateKey);
    }

    #[test]
    fn every_advice_names_the_file_and_what_to_do() {
        let path = Path::new("/etc/node.pem");
        for (_, content) in cases() {
            for advice in [content.in_place_of_certificate(path), content.in_place_of_key(path)] {
                assert!(advice.starts_with("/etc/node.pem "), "{advice}");
                assert!(advice.contains(": ") || content == Content::Nothing, "{advice}");
                assert!(!advice.contains("`openssl") || advice.contains("-out NEW-FILE"), "{advice}");
            }
        }
    }
}
