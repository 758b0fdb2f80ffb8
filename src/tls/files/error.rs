//! Why certificates and keys cannot be used, each naming the file to look at.

use std::path::{Path, PathBuf};

use rustls::CertificateError;
use thiserror::Error;

use super::content::Content;
use crate::file::UnreadableFile;
use crate::tls::certificate::dates;

/// A setting that names a file which TLS cannot use.
#[derive(Debug, Error)]
#[error("{setting}: {error}")]
pub struct SettingError {
    /// The setting, by its name in the configuration file.
    pub setting: &'static str,
    /// What is wrong with the file.
    #[source]
    pub error: TlsError,
}

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file or folder cannot be read.
    #[error(transparent)]
    Read(UnreadableFile),
    /// The file or folder holds nothing.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// A folder of CA certificates holds another file, too.
    #[error(
        "{} holds no readable PEM certificate: the folder {} must hold CA certificates and nothing else, so move the \
         file to another place",
        file.display(),
        folder.display()
    )]
    NotOnlyCertificates {
        /// The folder.
        folder: PathBuf,
        /// The other file.
        file: PathBuf,
    },
    /// The file does not hold a certificate in PEM, or holds a damaged one.
    #[error("{}", holds.in_place_of_certificate(path))]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        holds: Content,
    },
    /// The file does not hold a readable private key in PEM.
    #[error("{}", holds.in_place_of_key(path))]
    NoPrivateKey {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        holds: Content,
    },
    /// The private key is encrypted, and the configuration has no password.
    #[error("{} is encrypted: set tls.password", .0.display())]
    PasswordNeeded(PathBuf),
    /// The password does not decrypt the private key.
    #[error("tls.password does not decrypt {}: correct the password, or name the file that it is for", .0.display())]
    WrongPassword(PathBuf),
    /// The private key is encrypted with an algorithm that Keyraft does not read.
    #[error(
        "{path} is encrypted with an algorithm that Keyraft does not read: convert it with `openssl pkcs8 -topk8 -v2 \
         aes-256-cbc -in {path} -out NEW-FILE`",
        path = .0.display()
    )]
    UnknownEncryption(PathBuf),
    /// The private key for peers is encrypted, and `cluster.tls` has no setting for a password.
    #[error(
        "{path} is encrypted, and cluster.tls has no password: write an unencrypted copy with `openssl pkey -in {path} \
         -out NEW-FILE`",
        path = .0.display()
    )]
    EncryptedPeerKey(PathBuf),
    /// TLS does not use private keys of this kind or length.
    #[error(
        "{} holds a private key that TLS cannot use: make an ECDSA (P-256 or P-384), Ed25519 or RSA key (2048 bits or \
         more) and a certificate for it",
        .0.display()
    )]
    UnusableKey(PathBuf),
    /// The private key belongs to another certificate.
    #[error(
        "{} holds the private key of another certificate than {}: name the two files that belong together",
        key.display(),
        cert.display()
    )]
    OtherKey {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The private key belongs to a certificate that is not the first of its file.
    #[error(
        "{} must begin with the certificate of {}, which is the one at place {place}: put that one first, and the CA \
         certificates after it",
        path.display(),
        key.display()
    )]
    WrongOrder {
        /// The certificates' file.
        path: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The certificate's place, from 1.
        place: usize,
    },
    /// The operating system has no trusted roots.
    #[error("the system has no trusted root certificates: set tls.ca")]
    NoSystemRoots,
    /// The other nodes would refuse the peer certificate.
    #[error("the other nodes would refuse {}: {}", path.display(), why_nodes_refuse(error))]
    NotForPeers {
        /// The certificate's file.
        path: PathBuf,
        /// Why they would refuse it.
        #[source]
        error: rustls::Error,
    },
    /// The peer certificate file does not begin with this node's certificate, or also holds that of another node.
    #[error("{} must begin with the certificate of this node; only CA certificates may follow", .0.display())]
    NotOneNode(PathBuf),
    /// The peer certificate has another key than the membership records.
    #[error(
        "{} has another key than before: the other nodes know this node by its key, so renew the certificate with the \
         same key",
        .0.display()
    )]
    OtherPeerKey(PathBuf),
    /// The file of the key that the node made for its peers cannot be read.
    #[error("{0}. Never delete this file: the cluster knows this node by the key in it")]
    UnreadablePeerKey(UnreadableFile),
    /// The file of the key that the node made for its peers holds something else.
    #[error(
        "{} does not hold the key that this node made for its peers: put the file back as it was. Never delete it: the \
         cluster knows this node by that key",
        .0.display()
    )]
    DamagedPeerKey(PathBuf),
    /// The file of the key that the node made for its peers is missing, but the node belongs to a cluster.
    #[error(
        "{} is missing, and the cluster knows this node by the key in it: put the file back. If this node showed its \
         peers a certificate from cluster.tls so far, put that section back instead. If the key is lost, leave this node \
         stopped; this version cannot replace a node",
        .0.display()
    )]
    LostPeerKey(PathBuf),
    /// Certificate and key do not fit together, or TLS cannot use them.
    #[error("cannot use {} with its key: {error}", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: rustls::Error,
    },
}

impl TlsError {
    /// rustls cannot use the certificate in this file with its key.
    pub fn unusable(path: &Path, error: rustls::Error) -> Self {
        Self::Unusable { path: path.to_owned(), error }
    }
}

/// Says why the other nodes would refuse a certificate, and what to do.
fn why_nodes_refuse(error: &rustls::Error) -> String {
    use CertificateError as Why;
    let rustls::Error::InvalidCertificate(why) = error else { return error.to_string() };
    match why {
        Why::ExpiredContext { not_after, .. } => {
            format!("it expired on {}; renew it with the same key", dates::date(dates::unix_s(*not_after)))
        }
        Why::NotValidYetContext { not_before, .. } => format!(
            "it is not valid before {}; check this machine's clock, or issue it again with the same key",
            dates::date(dates::unix_s(*not_before))
        ),
        Why::UnknownIssuer | Why::BadSignature => {
            "no CA in cluster.tls.ca signed it; name the CA that signed the certificates of all nodes, and add the \
             certificates between that CA and this one to the file"
                .to_owned()
        }
        Why::InvalidPurpose => {
            "it lacks an extended key usage; issue it again with the same key and with both serverAuth and clientAuth"
                .to_owned()
        }
        other => other.to_string(),
    }
}
