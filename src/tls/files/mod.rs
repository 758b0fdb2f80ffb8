//! Reads certificates, private keys and roots from PEM files.

pub mod content;
mod encrypted_key;
pub mod error;
pub mod identity_file;
pub mod material;

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use self::content::{Content, without_mark};
use self::encrypted_key::{EncryptedKey, EncryptedKeyError};
use self::error::TlsError;
use super::certificate;
use crate::config::Password;
use crate::file::{self, Named, UnreadableFile};

/// SHA-256 over the content of some files.
pub type Fingerprint = [u8; 32];

/// Reads the certificates of a PEM file, in its order; at least one.
pub fn certificates(path: &Path, named: Named) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = content(path, named)?;
    let pem = without_mark(&file);
    let holds = match certificate::in_pem(pem) {
        Ok(chain) if chain.is_empty() => Content::of(pem),
        Ok(chain) if chain.iter().all(|der| certificate::read(der).is_ok()) => return Ok(chain),
        // A part of the certificates is cut off or damaged.
        _ => Content::Certificate,
    };
    Err(TlsError::NoCertificate { path: path.to_owned(), holds })
}

/// Reads the first private key of a PEM file, and decrypts it with the password if it is encrypted.
pub fn private_key(path: &Path, password: Option<&Password>, named: Named) -> Result<PrivateKeyDer<'static>, TlsError> {
    let file = content(path, named)?;
    let pem = without_mark(&file);
    if let Some(encrypted) = EncryptedKey::first_of(pem) {
        let password = password.ok_or_else(|| TlsError::PasswordNeeded(path.to_owned()))?;
        return encrypted.open(&password.0).map_err(|error| unopened(path, error));
    }
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| TlsError::NoPrivateKey { path: path.to_owned(), holds: Content::of(pem) })
}

/// Certificates that are trusted.
pub struct Trusted {
    /// The roots, which may have issued other certificates.
    pub roots: RootCertStore,
    /// The certificates, for a server that shows one of them itself.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// Trusts the certificates of a PEM file, or of every file in a folder.
pub fn trusted(path: &Path) -> Result<Trusted, TlsError> {
    let authorities = authorities(path, Named::ByArgument)?;
    let roots = store(&authorities)?;
    Ok(Trusted { roots, certificates: authorities.into_iter().map(|(_, certificate)| certificate).collect() })
}

/// Trusts what the operating system trusts.
pub fn trusted_by_system() -> Result<Trusted, TlsError> {
    let mut roots = RootCertStore::empty();
    let certificates = rustls_native_certs::load_native_certs().certs;
    roots.add_parsable_certificates(certificates.iter().cloned());
    if roots.is_empty() { Err(TlsError::NoSystemRoots) } else { Ok(Trusted { roots, certificates }) }
}

/// Trusts what the operating system trusts, and the certificates in the files of this folder. Like MinIO, it skips
/// files without certificates.
pub fn trusted_beside_system(folder: &Path) -> Result<Trusted, TlsError> {
    let found: Vec<_> =
        expand(folder)?.iter().filter_map(|file| certificates(file, Named::ByArgument).ok()).flatten().collect();
    let mut trusted = match trusted_by_system() {
        Err(TlsError::NoSystemRoots) if !found.is_empty() => {
            Trusted { roots: RootCertStore::empty(), certificates: Vec::new() }
        }
        trusted => trusted?,
    };
    trusted.roots.add_parsable_certificates(found.iter().cloned());
    trusted.certificates.extend(found);
    Ok(trusted)
}

/// Reads the certificates of a PEM file, or of every file in a folder, each with its file; at least one.
pub fn authorities(path: &Path, named: Named) -> Result<Vec<(PathBuf, CertificateDer<'static>)>, TlsError> {
    let mut found = Vec::new();
    for file in expand(path)? {
        let read = certificates(&file, named).map_err(|error| match error {
            TlsError::NoCertificate { path: file, .. } | TlsError::Empty(file) if path.is_dir() => {
                TlsError::NotOnlyCertificates { folder: path.to_owned(), file }
            }
            other => other,
        })?;
        found.extend(read.into_iter().map(|certificate| (file.clone(), certificate)));
    }
    if found.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(found) }
}

/// Makes roots of these certificates.
pub fn store(authorities: &[(PathBuf, CertificateDer<'static>)]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (file, certificate) in authorities {
        roots
            .add(certificate.clone())
            .map_err(|_| TlsError::NoCertificate { path: file.clone(), holds: Content::Certificate })?;
    }
    Ok(roots)
}

/// Returns the roots that the operating system trusts.
pub fn system_roots() -> Result<RootCertStore, TlsError> {
    trusted_by_system().map(|trusted| trusted.roots)
}

/// Returns the fingerprint of these files. A folder stands for all files in it.
pub fn fingerprint<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Fingerprint {
    let mut hash = Sha256::new();
    for file in paths.into_iter().flat_map(|path| expand(path).unwrap_or_default()) {
        let content = file::read(&file, Named::BySetting).unwrap_or_default();
        hash.update(Sha256::digest(&*content));
    }
    hash.finalize().into()
}

/// Reads a file that must not be empty.
fn content(path: &Path, named: Named) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let content = file::read(path, named).map_err(TlsError::Read)?;
    let empty = without_mark(&content).iter().all(u8::is_ascii_whitespace);
    if empty { Err(TlsError::Empty(path.to_owned())) } else { Ok(content) }
}

/// Returns the path itself or, if it is a folder, the files in it, sorted by name.
fn expand(path: &Path) -> Result<Vec<PathBuf>, TlsError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| TlsError::Read(UnreadableFile::of_io(path, error)))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn unopened(path: &Path, error: EncryptedKeyError) -> TlsError {
    let path = path.to_owned();
    match error {
        EncryptedKeyError::Malformed => TlsError::NoPrivateKey { path, holds: Content::PrivateKey },
        EncryptedKeyError::UnknownAlgorithm => TlsError::UnknownEncryption(path),
        EncryptedKeyError::WrongPassword => TlsError::WrongPassword(path),
    }
}
