//! Reads the files that a node's TLS settings name: certificate chain, key and CAs. Finds everything wrong with them.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::error::{SettingError, TlsError};
use crate::config::{ClusterConfig, Password, PeerTlsConfig, TlsConfig};
use crate::file::Named;
use crate::tls::certificate::dates::{CertificateUsage, DatedCertificate, dated};
use crate::tls::certificate::identity::identity_of;
use crate::tls::common::provider;
use crate::tls::verify::now;
use crate::tls::verify::peers::PeerVerifier;
use crate::tls::{certificate, files};

/// Everything wrong with the files that TLS settings name, and the dates of their certificates.
#[derive(Debug, Default)]
pub struct Inspection {
    /// The faults, in the order of certificate, key and CA. A node does not start with any of them.
    pub faults: Vec<SettingError>,
    /// The certificates that it could read.
    pub certificates: Vec<DatedCertificate>,
}

/// Certificate chain, private key and roots, as read from the files.
pub struct Material {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// Only if the settings ask the node to verify who issued certificates.
    pub roots: Option<RootCertStore>,
    pub certificates: Vec<DatedCertificate>,
}

/// The files that one section of the configuration names.
pub struct TlsFiles<'a> {
    pub section: TlsSection,
    pub cert: &'a Path,
    pub key: &'a Path,
    pub password: Option<&'a Password>,
    pub ca: CaSource<'a>,
}

/// Where a node finds the CAs that it trusts.
#[derive(Clone, Copy)]
pub enum CaSource<'a> {
    /// The node does not verify who issued the certificates of the other side.
    Unused,
    /// From the operating system.
    System,
    /// From this file or folder.
    At(&'a Path),
}

/// The section of the configuration that names the files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TlsSection {
    /// `tls`, for the API.
    Api,
    /// `cluster.tls`, for the other nodes.
    Peers,
}

/// Reads every file that the `tls` section names, and changes nothing.
pub fn inspect_api(config: &TlsConfig) -> Inspection {
    TlsFiles::of_api(config).read().1
}

/// Reads every file that the `cluster.tls` section names, and changes nothing.
pub fn inspect_peer(config: &ClusterConfig) -> Inspection {
    config.tls.as_ref().map(|tls| TlsFiles::of_peers(tls).read().1).unwrap_or_default()
}

/// Whether the first certificate of a PEM file names this host. Returns `None` if the file holds no certificate, or if
/// the host is not a valid name.
pub fn is_for_host(cert: &Path, host: &str) -> Option<bool> {
    let chain = files::certificates(cert, Named::BySetting).ok()?;
    let name = ServerName::try_from(host).ok()?;
    Some(
        webpki::EndEntityCert::try_from(chain.first()?)
            .is_ok_and(|own| own.verify_is_valid_for_subject_name(&name).is_ok()),
    )
}

impl<'a> TlsFiles<'a> {
    /// Takes the files from the section `tls`.
    pub fn of_api(config: &'a TlsConfig) -> Self {
        let ca = match (config.verify_clients, &config.ca) {
            (false, _) => CaSource::Unused,
            (true, None) => CaSource::System,
            (true, Some(path)) => CaSource::At(path),
        };
        let (cert, key, password) = (&config.cert, &config.key, config.password.as_ref());
        Self { section: TlsSection::Api, cert, key, password, ca }
    }

    /// Takes the files from the section `cluster.tls`.
    pub fn of_peers(config: &'a PeerTlsConfig) -> Self {
        let ca = config.ca.as_deref().map_or(CaSource::Unused, CaSource::At);
        Self { section: TlsSection::Peers, cert: &config.cert, key: &config.key, password: None, ca }
    }

    /// Reads the files. Fails with the first fault.
    pub fn load(&self) -> Result<Material, SettingError> {
        let (material, inspection) = self.read();
        match inspection.faults.into_iter().next() {
            Some(fault) => Err(fault),
            None => Ok(material.expect("files without a fault hold everything")),
        }
    }

    fn read(&self) -> (Option<Material>, Inspection) {
        let mut faults = Vec::new();
        let [cert_setting, key_setting, ca_setting] = self.section.settings();
        let chain = collect_fault(&mut faults, cert_setting, files::certificates(self.cert, Named::BySetting));
        let key = collect_fault(&mut faults, key_setting, self.private_key());
        if let Some(key) = &key {
            collect_fault(&mut faults, key_setting, self.check_key(chain.as_deref(), key));
        }
        let authorities = collect_fault(&mut faults, ca_setting, self.authorities()).unwrap_or_default();
        let roots = collect_fault(&mut faults, ca_setting, self.roots(&authorities)).flatten();
        if let (Some(chain), Some(roots)) = (&chain, &roots) {
            collect_fault(&mut faults, cert_setting, self.check_peers_accept(chain, roots));
        }
        let [own, ca] = self.section.usages();
        let mut found = dated(own, chain.iter().flatten().map(|der| (self.cert, der)));
        found.extend(dated(ca, authorities.iter().map(|(file, der)| (file.as_path(), der))));
        let material = chain.zip(key).map(|(chain, key)| Material { chain, key, roots, certificates: found.clone() });
        (material, Inspection { faults, certificates: found })
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        files::private_key(self.key, self.password, Named::BySetting).map_err(|error| match error {
            TlsError::PasswordNeeded(path) if self.section == TlsSection::Peers => TlsError::EncryptedPeerKey(path),
            error => error,
        })
    }

    /// Checks that the key can sign and belongs to the first certificate of the chain.
    fn check_key(
        &self,
        chain: Option<&[CertificateDer<'static>]>,
        key: &PrivateKeyDer<'static>,
    ) -> Result<(), TlsError> {
        let key = provider().key_provider.load_private_key(key.clone_key());
        let key = key.map_err(|_| TlsError::UnusableKey(self.key.to_owned()))?;
        let shown = chain.and_then(|chain| chain.first()).and_then(|leaf| certificate::read(leaf).ok());
        match (shown, key.public_key()) {
            (Some(shown), Some(public)) if shown.spki != &*public => Err(self.other_key(chain, &public)),
            _ => Ok(()),
        }
    }

    /// Finds out whether the key belongs to a later certificate of the chain, or to none of them.
    fn other_key(&self, chain: Option<&[CertificateDer<'static>]>, public: &[u8]) -> TlsError {
        let is_its = |der: &CertificateDer<'_>| certificate::read(der).is_ok_and(|facts| facts.spki == public);
        match chain.into_iter().flatten().position(is_its) {
            Some(place) => {
                TlsError::WrongOrder { path: self.cert.to_owned(), key: self.key.to_owned(), place: place + 1 }
            }
            None => TlsError::OtherKey { cert: self.cert.to_owned(), key: self.key.to_owned() },
        }
    }

    fn authorities(&self) -> Result<Vec<(std::path::PathBuf, CertificateDer<'static>)>, TlsError> {
        match self.ca {
            CaSource::Unused | CaSource::System => Ok(Vec::new()),
            CaSource::At(path) => files::authorities(path, Named::BySetting),
        }
    }

    /// Returns the roots that certificates must chain to. `None` if they need not, or if the files have faults.
    fn roots(
        &self,
        authorities: &[(std::path::PathBuf, CertificateDer<'static>)],
    ) -> Result<Option<RootCertStore>, TlsError> {
        match self.ca {
            CaSource::Unused => Ok(None),
            CaSource::System => files::system_roots().map(Some),
            // The faults already say why.
            CaSource::At(_) if authorities.is_empty() => Ok(None),
            CaSource::At(_) => files::store(authorities).map(Some),
        }
    }

    /// Checks that the other nodes would accept the certificate.
    fn check_peers_accept(&self, chain: &[CertificateDer<'static>], roots: &RootCertStore) -> Result<(), TlsError> {
        if self.section == TlsSection::Api {
            return Ok(());
        }
        let path = || self.cert.to_owned();
        PeerVerifier::of_authority(roots.clone())
            .check(&chain[0], &chain[1..], now())
            .map_err(|error| TlsError::NotForPeers { path: path(), error })?;
        identity_of(chain).map(drop).map_err(|_| TlsError::NotOneNode(path()))
    }
}

impl TlsSection {
    /// Returns the names of the settings for certificate, key and CA.
    pub fn settings(self) -> [&'static str; 3] {
        match self {
            Self::Api => ["tls.cert", "tls.key", "tls.ca"],
            Self::Peers => ["cluster.tls.cert", "cluster.tls.key", "cluster.tls.ca"],
        }
    }

    /// Returns what the node uses the certificates of the chain, and those of the CAs, for.
    fn usages(self) -> [CertificateUsage; 2] {
        match self {
            Self::Api => [CertificateUsage::Api, CertificateUsage::ApiCa],
            Self::Peers => [CertificateUsage::Peer, CertificateUsage::PeerCa],
        }
    }
}

/// Takes the value out of a result, and adds its error to the faults, so that one reading reports every fault.
fn collect_fault<T>(faults: &mut Vec<SettingError>, setting: &'static str, result: Result<T, TlsError>) -> Option<T> {
    result.map_err(|error| faults.push(SettingError { setting, error })).ok()
}
