//! Why certificates and keys cannot be used, each naming the file to look at.

use std::fmt;
use std::path::{Path, PathBuf};

use super::content::Content;
use crate::file::Unread;
use crate::tls::certificate::dates;

/// A setting that names a file which TLS cannot use.
#[derive(Debug)]
pub struct SettingError {
    /// The setting, by its name in the configuration file.
    pub setting: &'static str,
    /// What is wrong with the file.
    pub error: TlsError,
}

/// Why TLS cannot be set up.
#[derive(Debug)]
pub enum TlsError {
    /// The file or folder cannot be read.
    Read(Unread),
    /// The file or folder holds nothing.
    Empty(PathBuf),
    /// A folder of CA certificates holds another file, too.
    NotOnlyCertificates {
        /// The folder.
        folder: PathBuf,
        /// The other file.
        file: PathBuf,
    },
    /// The file holds no certificate in PEM, or a broken one.
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        holds: Content,
    },
    /// The file holds no private key in PEM that can be read.
    NoPrivateKey {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        holds: Content,
    },
    /// The private key is encrypted and no password is configured.
    PasswordNeeded(PathBuf),
    /// The password does not open the private key.
    WrongPassword(PathBuf),
    /// The private key is encrypted with an algorithm that Keyraft does not read.
    UnknownEncryption(PathBuf),
    /// A peer's private key is encrypted, and peers' keys have no password.
    EncryptedPeerKey(PathBuf),
    /// The private key is of a kind, or a length, that TLS does not use.
    UnusableKey(PathBuf),
    /// The private key belongs to another certificate.
    OtherKey {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The private key belongs to a certificate that is not the first of its file.
    WrongOrder {
        /// The certificates' file.
        path: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The certificate's place, from 1.
        place: usize,
    },
    /// The operating system has no trusted roots.
    NoSystemRoots,
    /// A peer certificate that other nodes would refuse.
    NotForPeers {
        /// Its file.
        path: PathBuf,
        /// Why they would.
        error: rustls::Error,
    },
    /// The peer certificate file does not begin with this node's certificate, or holds that of another node, too.
    NotOneNode(PathBuf),
    /// A peer certificate with another key than the one the membership records.
    OtherPeerKey(PathBuf),
    /// Certificate and key do not fit together, or cannot be used for TLS.
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why not.
        error: rustls::Error,
    },
}

impl TlsError {
    /// rustls cannot use the certificate in this file with its key.
    pub fn unusable(path: &Path, error: rustls::Error) -> Self {
        Self::Unusable { path: path.to_owned(), error }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Empty(path) => write!(f, "{} is empty", path.display()),
            Self::NotOnlyCertificates { folder, file } => write!(
                f,
                "{} holds no readable PEM certificate: the folder {} must hold CA certificates and nothing else, so \
                 move the file to another place",
                file.display(),
                folder.display()
            ),
            Self::NoCertificate { path, holds } => f.write_str(&holds.in_place_of_certificate(path)),
            Self::NoPrivateKey { path, holds } => f.write_str(&holds.in_place_of_key(path)),
            Self::UnusableKey(path) => write!(
                f,
                "{} holds a private key that TLS cannot use: make an ECDSA (P-256 or P-384), Ed25519 or RSA key (2048 \
                 bits or more) and a certificate for it",
                path.display()
            ),
            Self::OtherKey { cert, key } => write!(
                f,
                "{} holds the private key of another certificate than {}: name the two files that belong together",
                key.display(),
                cert.display()
            ),
            Self::WrongOrder { path, key, place } => write!(
                f,
                "{} begins with another certificate than that of {}, which is the one at place {place}: put that one \
                 first, and the CA certificates after it",
                path.display(),
                key.display()
            ),
            Self::PasswordNeeded(path) => write!(f, "{} is encrypted: set tls.password", path.display()),
            Self::WrongPassword(path) => write!(f, "tls.password does not open {}", path.display()),
            Self::UnknownEncryption(path) => write!(
                f,
                "{0} is encrypted with an algorithm that Keyraft does not read: convert it with `openssl pkcs8 -topk8 \
                 -v2 aes-256-cbc -in {0} -out NEW-FILE`",
                path.display()
            ),
            Self::EncryptedPeerKey(path) => write!(
                f,
                "{0} is encrypted, and cluster.tls has no password: write an unencrypted copy with `openssl pkey -in \
                 {0} -out NEW-FILE`",
                path.display()
            ),
            Self::OtherPeerKey(path) => write!(
                f,
                "{} has another key than before: the other nodes know this node by its key, so renew the certificate \
                 with the same key",
                path.display()
            ),
            Self::NoSystemRoots => f.write_str("the system has no trusted root certificates: set tls.ca"),
            Self::NotOneNode(path) => write!(
                f,
                "{} must begin with the certificate of this node; only CA certificates may follow",
                path.display()
            ),
            Self::NotForPeers { path, error } => {
                write!(f, "the other nodes would refuse {}: {}", path.display(), Refusal(error))
            }
            Self::Unusable { path, error } => write!(f, "cannot use {} with its key: {error}", path.display()),
        }
    }
}

/// Why the other nodes would refuse a certificate, and what to do.
struct Refusal<'a>(&'a rustls::Error);

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use rustls::CertificateError as E;
        let rustls::Error::InvalidCertificate(why) = self.0 else { return self.0.fmt(f) };
        match why {
            E::ExpiredContext { not_after, .. } => {
                write!(f, "it expired on {}; renew it with the same key", dates::date(dates::unix_s(*not_after)))
            }
            E::NotValidYetContext { not_before, .. } => write!(
                f,
                "it is not valid before {}; check this machine's clock, or issue it again with the same key",
                dates::date(dates::unix_s(*not_before))
            ),
            E::UnknownIssuer | E::BadSignature => f.write_str(
                "no CA in cluster.tls.ca signed it; name the CA that signed the certificates of all nodes, and add the \
                 certificates between that CA and this one to the file",
            ),
            E::InvalidPurpose => f.write_str(
                "it lacks an extended key usage; issue it again with the same key and with both serverAuth and \
                 clientAuth",
            ),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.error)
    }
}

impl std::error::Error for SettingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::NotForPeers { error, .. } | Self::Unusable { error, .. } => Some(error),
            _ => None,
        }
    }
}
