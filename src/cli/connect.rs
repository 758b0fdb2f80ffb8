//! How commands find a server and credentials: options first, then `MINIO_KES_*`, then `KES_*` (wire contract, "Configuration and
//! environment"), and last what MinIO itself reads, `MINIO_KMS_KES_*`.

use std::path::PathBuf;

use clap::ArgAction;

use super::Error;
use crate::client::{ApiClient, Endpoint};
use crate::tls::{Alpn, ApiKey, ClientTls, Credentials, Trust};

const DEFAULT_SERVER: &str = "127.0.0.1:7373";

/// The options for servers, credentials and trust.
#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connect {
    #[command(flatten)]
    by_key: ConnectByKey,
    /// PEM file of a client certificate, in place of an API key [env: MINIO_KES_CERT_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// PEM file of its private key [env: MINIO_KES_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// The same options for a command that uses `--cert` and `--key` for something else.
#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectByKey {
    /// Servers of one cluster, tried in turn; kms{1...3} stands for three [env: MINIO_KES_SERVER] [default: 127.0.0.1:7373]
    #[arg(short, long, global = true, value_name = "HOST[:PORT],…")]
    server: Option<String>,
    /// API key; better in the environment, where no process list shows it [env: MINIO_KES_API_KEY]
    #[arg(short, long, global = true, value_name = "KEY")]
    api_key: Option<String>,
    /// PEM file of the CA to trust [env: KEYRAFT_CA]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust any server; only for trying things out
    #[arg(short = 'k', long, global = true, action = ArgAction::SetTrue)]
    insecure: bool,
}

/// The servers, credentials and trust that options and environment variables select.
#[derive(Debug)]
pub struct ConnectSettings {
    /// Servers of one cluster.
    pub endpoints: Vec<Endpoint>,
    /// The caller's API key or certificate.
    pub credentials: Credentials,
    /// Which server certificates to trust.
    pub trust: Trust,
}

/// Reads an environment variable; `None` if it is unset or empty.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Connect {
    /// A client of the selected servers.
    pub fn client(&self) -> Result<ApiClient, Error> {
        let settings = self.settings()?;
        Ok(ApiClient::new(settings.endpoints.clone(), settings.tls(Alpn::Either)?))
    }

    /// A client of one other server of the same cluster.
    pub fn client_of(&self, endpoint: Endpoint) -> Result<ApiClient, Error> {
        Ok(ApiClient::new(vec![endpoint], self.settings()?.tls(Alpn::Either)?))
    }

    /// The settings from the options and this process's environment.
    pub fn settings(&self) -> Result<ConnectSettings, Error> {
        self.resolve(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn resolve(&self, env: Variables<'_>) -> Result<ConnectSettings, Error> {
        Ok(ConnectSettings {
            endpoints: self.endpoints(env)?,
            credentials: self.credentials(env)?,
            trust: self.trust(env),
        })
    }

    fn endpoints(&self, env: Variables<'_>) -> Result<Vec<Endpoint>, Error> {
        const NAMES: [&str; 3] = ["MINIO_KES_SERVER", "KES_SERVER", "MINIO_KMS_KES_ENDPOINT"];
        let option = self.by_key.server.clone().map(|value| ("--server", value));
        let named = option.or_else(|| NAMES.into_iter().find_map(|name| env(name).map(|value| (name, value))));
        let (name, value) = named.unwrap_or(("--server", DEFAULT_SERVER.to_owned()));
        Endpoint::parse_list(&value)
            .map_err(|error| Error::Setting { name: name.to_owned(), reason: error.to_string() })
    }

    /// The credentials from the first source that has any.
    fn credentials(&self, env: Variables<'_>) -> Result<Credentials, Error> {
        let path = |name| env(name).map(PathBuf::from);
        let sources = [
            CredentialSource {
                names: ["--api-key", "--cert", "--key"],
                api_key: self.by_key.api_key.clone(),
                certificate: self.cert.clone(),
                key: self.key.clone(),
            },
            CredentialSource {
                names: ["MINIO_KES_API_KEY", "MINIO_KES_CERT_FILE", "MINIO_KES_KEY_FILE"],
                api_key: env("MINIO_KES_API_KEY"),
                certificate: path("MINIO_KES_CERT_FILE"),
                key: path("MINIO_KES_KEY_FILE"),
            },
            CredentialSource {
                names: ["KES_API_KEY", "KES_CLIENT_CERT", "KES_CLIENT_KEY"],
                api_key: env("KES_API_KEY"),
                certificate: path("KES_CLIENT_CERT"),
                key: path("KES_CLIENT_KEY"),
            },
            CredentialSource {
                names: ["MINIO_KMS_KES_API_KEY", "MINIO_KMS_KES_CERT_FILE", "MINIO_KMS_KES_KEY_FILE"],
                api_key: env("MINIO_KMS_KES_API_KEY"),
                certificate: path("MINIO_KMS_KES_CERT_FILE"),
                key: path("MINIO_KMS_KES_KEY_FILE"),
            },
        ];
        sources.into_iter().find_map(|source| source.credentials().transpose()).unwrap_or(Ok(Credentials::Nothing))
    }

    fn trust(&self, env: Variables<'_>) -> Trust {
        let own = self.by_key.ca.clone().or_else(|| env("KEYRAFT_CA").map(PathBuf::from));
        let of_minio = env("MINIO_KMS_KES_CAPATH").map(PathBuf::from);
        match (own, of_minio) {
            _ if self.by_key.insecure => Trust::Anyone,
            (Some(ca), _) => Trust::Ca(ca),
            // MinIO trusts the certificates of this folder in addition to the system's roots.
            (None, Some(folder)) if folder.is_dir() => Trust::SystemAndFolder(folder),
            (None, Some(ca)) => Trust::Ca(ca),
            (None, None) => Trust::System,
        }
    }
}

impl From<ConnectByKey> for Connect {
    fn from(by_key: ConnectByKey) -> Self {
        Self { by_key, cert: None, key: None }
    }
}

impl ConnectSettings {
    /// A TLS client with these settings.
    pub fn tls(&self, alpn: Alpn) -> Result<ClientTls, Error> {
        ClientTls::new(&self.credentials, &self.trust, alpn).map_err(Error::Tls)
    }
}

/// One source of credentials: the options, or one family of variables.
struct CredentialSource {
    names: [&'static str; 3],
    api_key: Option<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl CredentialSource {
    fn credentials(self) -> Result<Option<Credentials>, Error> {
        let [api_key, certificate, key] = self.names;
        let wrong = |name: &str, reason: String| Err(Error::Setting { name: name.to_owned(), reason });
        match (self.api_key, self.certificate, self.key) {
            (None, None, None) => Ok(None),
            (Some(text), None, None) => match text.parse::<ApiKey>() {
                Ok(parsed) => Ok(Some(Credentials::ApiKey(parsed))),
                Err(error) => wrong(api_key, error.to_string()),
            },
            (None, Some(certificate), Some(key)) => Ok(Some(Credentials::Files { certificate, key })),
            (None, Some(_), None) => wrong(certificate, format!("it needs {key}, too")),
            (None, None, Some(_)) => wrong(key, format!("it needs {certificate}, too")),
            (Some(_), _, _) => wrong(api_key, format!("give either this or {certificate} and {key}, not both")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "kes:v1:AGaV6VXHasF0FnaB60WdCOeTZ8eTIDikL4zlN16c8NAs";

    fn resolve(options: &Connect, variables: &[(&str, &str)]) -> Result<ConnectSettings, Error> {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        options.resolve(&move |name| variables.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()))
    }

    fn port(settings: &ConnectSettings) -> u16 {
        settings.endpoints[0].port
    }

    #[test]
    fn options_come_before_new_names_before_old_ones() {
        let all = [("KES_SERVER", "a:2"), ("MINIO_KES_SERVER", "a:1"), ("MINIO_KMS_KES_ENDPOINT", "https://a:3")];
        let options = Connect::from(ConnectByKey { server: Some("a:9,b".into()), ..ConnectByKey::default() });
        assert_eq!(port(&resolve(&options, &all).unwrap()), 9);
        assert_eq!(port(&resolve(&Connect::default(), &all).unwrap()), 1);
        assert_eq!(port(&resolve(&Connect::default(), &[all[0], all[2]]).unwrap()), 2);
        assert_eq!(port(&resolve(&Connect::default(), &all[2..]).unwrap()), 3);
        assert_eq!(port(&resolve(&Connect::default(), &[]).unwrap()), 7373);
    }

    #[test]
    fn every_variable_takes_ranges_and_the_port_of_its_scheme() {
        let ranges = "https://127.0.0.1:2701{0...2}";
        for name in ["MINIO_KES_SERVER", "KES_SERVER", "MINIO_KMS_KES_ENDPOINT"] {
            assert_eq!(resolve(&Connect::default(), &[(name, ranges)]).unwrap().endpoints.len(), 3, "{name}");
            assert_eq!(port(&resolve(&Connect::default(), &[(name, "https://kms.example/")]).unwrap()), 443, "{name}");
            assert_eq!(port(&resolve(&Connect::default(), &[(name, "kms.example")]).unwrap()), 7373, "{name}");
            let plain = resolve(&Connect::default(), &[(name, "http://kms.example")]).unwrap_err().to_string();
            assert!(plain.starts_with(&format!("{name}: 'http://kms.example' asks for HTTP without TLS")), "{plain}");
        }
        let option = Connect::from(ConnectByKey { server: Some(ranges.into()), ..ConnectByKey::default() });
        assert_eq!(resolve(&option, &[]).unwrap().endpoints.len(), 3);
    }

    #[test]
    fn credentials_come_from_one_source() {
        let none = Connect::default();
        let files = [("KES_CLIENT_CERT", "c"), ("KES_CLIENT_KEY", "k")];
        assert!(matches!(resolve(&none, &files).unwrap().credentials, Credentials::Files { .. }));
        let both = [files[0], files[1], ("MINIO_KES_API_KEY", KEY)];
        assert!(matches!(resolve(&none, &both).unwrap().credentials, Credentials::ApiKey(_)));
        assert!(matches!(resolve(&none, &[]).unwrap().credentials, Credentials::Nothing));
    }

    #[test]
    fn the_variables_of_minio_come_last() {
        let none = Connect::default();
        let of_minio = [("MINIO_KMS_KES_API_KEY", KEY), ("MINIO_KMS_KES_CAPATH", "/minio.crt")];
        let settings = resolve(&none, &of_minio).unwrap();
        assert!(matches!(settings.credentials, Credentials::ApiKey(_)));
        assert_eq!(settings.trust, Trust::Ca("/minio.crt".into()));
        let files =
            [of_minio[0], of_minio[1], ("KES_CLIENT_CERT", "c"), ("KES_CLIENT_KEY", "k"), ("KEYRAFT_CA", "/ca")];
        let settings = resolve(&none, &files).unwrap();
        assert!(matches!(settings.credentials, Credentials::Files { .. }));
        assert_eq!(settings.trust, Trust::Ca("/ca".into()));
        let folder = resolve(&none, &[("MINIO_KMS_KES_CAPATH", "/")]).unwrap().trust;
        assert_eq!(folder, Trust::SystemAndFolder("/".into()));
    }

    #[test]
    fn a_wrong_setting_is_named_and_no_secret_is_shown() {
        let none = Connect::default();
        let half = resolve(&none, &[("MINIO_KES_CERT_FILE", "c")]).unwrap_err().to_string();
        assert_eq!(half, "MINIO_KES_CERT_FILE: it needs MINIO_KES_KEY_FILE, too");
        let bad = resolve(&none, &[("KES_API_KEY", "kes:v1:secret")]).unwrap_err().to_string();
        assert!(bad.starts_with("KES_API_KEY: ") && !bad.contains("secret"), "{bad}");
        let by_key = ConnectByKey { api_key: Some(KEY.into()), ..ConnectByKey::default() };
        let both = Connect { by_key, cert: Some("c".into()), key: None };
        assert!(
            resolve(&both, &[]).unwrap_err().to_string().starts_with("--api-key: give either this or --cert and --key")
        );
    }

    #[test]
    fn the_system_roots_are_trusted_by_default() {
        let ca = [("KEYRAFT_CA", "/ca.crt")];
        assert_eq!(resolve(&Connect::default(), &[]).unwrap().trust, Trust::System);
        assert_eq!(resolve(&Connect::default(), &ca).unwrap().trust, Trust::Ca("/ca.crt".into()));
        let insecure = Connect::from(ConnectByKey { insecure: true, ..ConnectByKey::default() });
        assert_eq!(resolve(&insecure, &ca).unwrap().trust, Trust::Anyone);
    }
}
