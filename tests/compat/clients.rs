//! The clients that cases name, and what they show in the handshake.

use std::collections::BTreeMap;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};
use time::Duration;

use crate::support::api_key::{ApiKey, Validity};
use crate::support::certificates::{self, Authority, Credential};
use crate::support::connection::Client;

/// Every name that a case may give.
pub const NAMES: [&str; 17] = [
    "admin",
    "app",
    "ops",
    "stranger",
    "nobody",
    "p256",
    "p384",
    "rsa",
    "app, expired",
    "app, not yet valid",
    "app with a CA",
    "app and ops",
    "a CA",
    "a CA before app",
    "issued",
    "issued, expired",
    "issued, with its CA",
];

const ADMIN_KEY: &str = "kes:v1:AKumZyEvGnc8As/TqWtzLlZwfKuq72CuQAD+hcuBz0yY";
const APP_KEY: &str = "kes:v1:ALcqgN9Qr39WREHhmBZ1Gk7Dztv8Lez9eKoV7c7Jqy6F";
const OPS_KEY: &str = "kes:v1:AFHpEzuL5IlNHjnLH0LAJJhf43qHJ28sfrvEva/q7Y9j";
const STRANGER_KEY: &str = "kes:v1:AOZkys7A5DXvC6SrshbNTBSkksK1MSohM/1QeUqIUaBQ";

/// The clients of the cases.
pub struct Clients(BTreeMap<&'static str, Credential>);

impl Clients {
    /// Makes all clients. `authority` issues the certificates whose chain must verify.
    pub fn new(authority: &Authority) -> Self {
        let mut clients = BTreeMap::from([
            ("admin", admin().credential()),
            ("app", ApiKey::parse(APP_KEY).credential()),
            ("ops", ApiKey::parse(OPS_KEY).credential()),
            ("stranger", ApiKey::parse(STRANGER_KEY).credential()),
            ("p256", with_new_key(&PKCS_ECDSA_P256_SHA256)),
            ("p384", with_new_key(&PKCS_ECDSA_P384_SHA384)),
            ("rsa", with_new_key(&PKCS_RSA_SHA256)),
            ("app, expired", ApiKey::parse(APP_KEY).credential_valid(last_year())),
            ("app, not yet valid", ApiKey::parse(APP_KEY).credential_valid(next_year())),
            ("issued", authority.issue(&for_client())),
            ("issued, expired", authority.issue(&expired(for_client()))),
        ]);
        for (name, first, second) in chains(&clients, authority) {
            let chain = [first.chain, second.chain].concat();
            clients.insert(name, Credential { chain, key: first.key });
        }
        clients.insert("a CA", Authority::new("a client").credential());
        Self(clients)
    }

    /// The client of this name.
    pub fn client(&self, name: &str) -> Client {
        Client::new(self.0.get(name).cloned())
    }

    /// `NAME.identity` and `NAME.certificate`, the latter as URL-escaped PEM.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let identities = self.0.iter().map(|(name, shown)| (format!("{name}.identity"), shown.identity()));
        let certificates = self.0.iter().map(|(name, shown)| (format!("{name}.certificate"), escaped(&shown.pem())));
        identities.chain(certificates).collect()
    }
}

/// The key of the configuration's admin.
pub fn admin() -> ApiKey {
    ApiKey::parse(ADMIN_KEY)
}

type Chain = (&'static str, Credential, Credential);

fn chains(clients: &BTreeMap<&'static str, Credential>, authority: &Authority) -> [Chain; 4] {
    let client = |name: &str| clients[name].clone();
    let someone = || Authority::new("someone").credential();
    [
        ("app with a CA", client("app"), someone()),
        ("app and ops", client("app"), client("ops")),
        ("a CA before app", someone(), client("app")),
        ("issued, with its CA", client("issued"), authority.credential()),
    ]
}

fn with_new_key(algorithm: &'static rcgen::SignatureAlgorithm) -> Credential {
    let key = KeyPair::generate_for(algorithm).expect("keys can be made");
    certificates::self_signed(&for_client(), &key)
}

fn for_client() -> CertificateParams {
    certificates::for_client(CertificateParams::default())
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    (params.not_before, params.not_after) = last_year();
    params
}

fn last_year() -> Validity {
    let now = certificates::now();
    (now - Duration::days(365), now - Duration::days(1))
}

fn next_year() -> Validity {
    let now = certificates::now();
    (now + Duration::days(1), now + Duration::days(365))
}

/// Escapes everything but letters and digits.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::settings::{ADMIN, APP, OPS};

    #[test]
    fn the_clients_have_the_identities_of_the_configuration() {
        let variables = Clients::new(&Authority::new("test")).variables();
        for (name, identity) in [("admin", ADMIN), ("app", APP), ("ops", OPS), ("app, expired", APP)] {
            assert_eq!(variables[&format!("{name}.identity")], identity, "{name}");
        }
        assert!(variables["app.certificate"].starts_with("%2D%2D%2D%2D%2DBEGIN%20CERTIFICATE"));
    }

    #[test]
    fn every_name_has_a_client() {
        let clients = Clients::new(&Authority::new("test"));
        let known: Vec<_> = NAMES.into_iter().filter(|name| clients.0.contains_key(name)).collect();
        assert_eq!(known.len() + 1, NAMES.len(), "all but nobody");
        assert_eq!(known.len(), clients.0.len());
    }
}
