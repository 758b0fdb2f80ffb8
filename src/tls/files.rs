//! Certificates, private keys and roots out of PEM files.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::TlsError;
use crate::config::Password;

/// SHA-256 over what some files hold; it changes when they do.
pub(super) type Fingerprint = [u8; 32];

/// The certificates of a PEM file, in its order; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| TlsError::NoCertificate(path.to_owned()))
}

/// The first private key of a PEM file, opened with the password when it is encrypted.
pub(super) fn private_key(path: &Path, password: Option<&Password>) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read(path)?;
    if let Some(block) = encrypted_block(&pem) {
        return decrypt(path, block, password);
    }
    if contains(&pem, "Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::OutdatedEncryption(path.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::NoPrivateKey(path.to_owned()))
}

/// The roots of a PEM file, or of every file in a folder.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for file in expand(path)? {
        for certificate in certificates(&file)? {
            roots.add(certificate).map_err(|_| TlsError::NoCertificate(file.clone()))?;
        }
    }
    if roots.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(roots) }
}

/// The roots that the operating system trusts.
pub(super) fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoSystemRoots) } else { Ok(roots) }
}

/// The fingerprint of these files; of a folder, of all files in it.
pub(super) fn fingerprint<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Fingerprint {
    let mut hash = Sha256::new();
    for file in paths.into_iter().flat_map(|path| expand(path).unwrap_or_default()) {
        let content = read(&file).unwrap_or_default();
        hash.update(Sha256::digest(&*content));
    }
    hash.finalize().into()
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    std::fs::read(path).map(Zeroizing::new).map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

/// The path itself, or the files of the folder it is, by name.
fn expand(path: &Path) -> Result<Vec<PathBuf>, TlsError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| TlsError::Read { path: path.to_owned(), error })?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

/// The encrypted PKCS#8 block (RFC 5958) of a PEM file, if there is one.
fn encrypted_block(pem: &[u8]) -> Option<&str> {
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let text = std::str::from_utf8(pem).ok()?;
    let start = text.find("-----BEGIN ENCRYPTED PRIVATE KEY-----")?;
    let end = text[start..].find(END)? + start + END.len();
    Some(&text[start..end])
}

fn decrypt(path: &Path, block: &str, password: Option<&Password>) -> Result<PrivateKeyDer<'static>, TlsError> {
    let password = password.ok_or_else(|| TlsError::PasswordNeeded(path.to_owned()))?;
    let (_, sealed) = pkcs8::SecretDocument::from_pem(block).map_err(|_| TlsError::NoPrivateKey(path.to_owned()))?;
    let sealed = pkcs8::EncryptedPrivateKeyInfo::try_from(sealed.as_bytes())
        .map_err(|_| TlsError::NoPrivateKey(path.to_owned()))?;
    let opened = sealed.decrypt(&password.0).map_err(|_| TlsError::WrongPassword(path.to_owned()))?;
    Ok(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into())
}

fn contains(pem: &[u8], needle: &str) -> bool {
    pem.windows(needle.len()).any(|window| window == needle.as_bytes())
}
