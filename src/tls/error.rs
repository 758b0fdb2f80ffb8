//! Why certificates and keys cannot be used, each naming the file to look at.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why TLS cannot be set up.
#[derive(Debug)]
pub enum TlsError {
    /// The file or folder cannot be read.
    Read {
        /// Which one.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The PEM file holds no certificate, or a broken one.
    NoCertificate(PathBuf),
    /// The PEM file holds no private key that can be read.
    NoPrivateKey(PathBuf),
    /// The private key is encrypted and no password is configured.
    PasswordNeeded(PathBuf),
    /// The password does not open the private key.
    WrongPassword(PathBuf),
    /// The private key is encrypted with an algorithm that Keyraft does not read.
    UnknownEncryption(PathBuf),
    /// A peer's private key is encrypted, and peers' keys have no password.
    EncryptedPeerKey(PathBuf),
    /// The operating system has no trusted roots.
    NoSystemRoots,
    /// A peer certificate that other nodes would refuse.
    NotForPeers {
        /// Its file.
        path: PathBuf,
        /// Why they would.
        error: rustls::Error,
    },
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

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            Self::NoCertificate(path) => write!(f, "{} holds no readable PEM certificate", path.display()),
            Self::NoPrivateKey(path) => write!(f, "{} holds no readable PEM private key", path.display()),
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
            Self::NotForPeers { path, error } => write!(
                f,
                "peers would refuse {}: {error} (it must chain to cluster.tls.ca, be in date, and name both \
                 serverAuth and clientAuth as extended key usages)",
                path.display()
            ),
            Self::Unusable { path, error } => write!(f, "cannot use {} with its key: {error}", path.display()),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } => Some(error),
            Self::NotForPeers { error, .. } | Self::Unusable { error, .. } => Some(error),
            _ => None,
        }
    }
}
