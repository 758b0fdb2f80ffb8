//! What MinIO does with the settings that the page gives it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::support::certificates::Credential;
use super::support::connection::{Client, Endpoint};
use super::support::user::User;
use super::world::World;

/// The variables that MinIO reads and the page sets. MinIO ignores a misspelt one without a word.
const VARIABLES: [&str; 6] = [
    "MINIO_KMS_KES_ENDPOINT",
    "MINIO_KMS_KES_KEY_NAME",
    "MINIO_KMS_KES_CERT_FILE",
    "MINIO_KMS_KES_KEY_FILE",
    "MINIO_KMS_KES_CAPATH",
    "MINIO_KMS_AUTO_ENCRYPTION",
];

/// Makes a data key through each node and opens it through the next one, with MinIO's files and no others.
pub async fn check(world: &World) {
    let settings = settings(world);
    let file = |name: &str| world.file("minio-1", &settings[name]);
    let user = User::new(Client::new(Some(credential(&settings, world))), endpoints(&settings, world));
    let key = &settings["MINIO_KMS_KES_KEY_NAME"];
    for node in 0..3 {
        let data_key = user.generate(node, key).await.expect("MinIO may generate");
        user.assert_decrypts((node + 1) % 3, &[data_key]).await;
    }
    // MinIO makes a key of its own if the site wants one, and must not reach those of others.
    user.create(0, "minio-another").await.expect("MinIO may create keys with its prefix");
    let refused = user.create(0, "of-somebody-else").await.expect_err("the policy does not allow it");
    assert!(refused.is(403, "not authorized: insufficient permissions"), "{refused:?}");
    assert!(file("MINIO_KMS_KES_CAPATH").is_file());
}

/// The variables, as systemd reads them from the file for MinIO's unit.
fn settings(world: &World) -> BTreeMap<String, String> {
    let text = fs::read_to_string(world.file("minio-1", "/etc/default/minio")).expect("the page writes it");
    let pair = |line: &str| {
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("systemd would ignore: {line}"));
        assert!(!value.contains(['"', '\'', '$', ' ']), "systemd and a shell must read the same value: {line}");
        (name.to_owned(), value.to_owned())
    };
    let settings: BTreeMap<_, _> = text.lines().map(pair).collect();
    assert!(settings.keys().all(|name| VARIABLES.contains(&name.as_str())), "MinIO does not know one of {settings:?}");
    settings
}

fn credential(settings: &BTreeMap<String, String>, world: &World) -> Credential {
    let [certificate, key] =
        ["MINIO_KMS_KES_CERT_FILE", "MINIO_KMS_KES_KEY_FILE"].map(|name| world.file("minio-1", &settings[name]));
    Credential {
        chain: vec![CertificateDer::from_pem_file(certificate).expect("it is a certificate")],
        key: PrivateKeyDer::from_pem_file(key).expect("it is a private key"),
    }
}

fn endpoints(settings: &BTreeMap<String, String>, world: &World) -> Vec<Endpoint> {
    let mut roots = RootCertStore::empty();
    let ca = world.file("minio-1", &settings["MINIO_KMS_KES_CAPATH"]);
    roots.add(CertificateDer::from_pem_file(ca).expect("it is a certificate")).expect("it is an authority");
    let roots = Arc::new(roots);
    let endpoint = |url: &str| {
        let address = url.strip_prefix("https://").expect("MinIO wants https");
        let (host, port) = address.rsplit_once(':').expect("it has a port");
        let address: SocketAddr = format!("{}:{port}", world.address_of(host)).parse().expect("an address");
        Endpoint { address, roots: Arc::clone(&roots) }
    };
    let endpoints: Vec<_> = settings["MINIO_KMS_KES_ENDPOINT"].split(',').map(endpoint).collect();
    assert_eq!(endpoints.len(), 3, "MinIO knows every node");
    endpoints
}
