//! Compares with the server that keys come from: each server must open what the other sealed.

use std::path::PathBuf;

use super::proof::PROBE_CONTEXT;
use super::source::SourceKey;
use crate::cli::Error;
use crate::cli::connect::{ConnectSettings, Variables};
use crate::client::{self, ApiClient, Endpoint};
use crate::crypto::{Ciphertext, OpenedKey, random};
use crate::tls::{Alpn, ApiKey, ApiKeyError, Credentials, Trust};

const VARIABLE: &str = "KEYRAFT_VERIFY_API_KEY";

/// The options for the old server. Without them, the credentials and CA for the new server apply.
#[derive(Default, clap::Args)]
pub struct OldServer {
    /// Prove each key against the old server, too: each server must decrypt what the other encrypts, and HMACs must agree
    #[arg(long, value_name = "URL")]
    verify: Option<String>,
    /// API key for the old server [env: KEYRAFT_VERIFY_API_KEY] [default: the one for the new server]
    #[arg(long, value_name = "KEY", requires = "verify")]
    verify_api_key: Option<String>,
    /// PEM file of a client certificate for the old server
    #[arg(long, value_name = "FILE", requires = "verify_key", conflicts_with = "verify_api_key")]
    verify_cert: Option<PathBuf>,
    /// PEM file of its private key
    #[arg(long, value_name = "FILE", requires = "verify_cert")]
    verify_key: Option<PathBuf>,
    /// PEM file of the CA of the old server [default: the one of the new server]
    #[arg(long, value_name = "FILE", requires = "verify")]
    verify_ca: Option<PathBuf>,
}

/// Whether the two servers open each other's ciphertexts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// Each opens what the other sealed, and their HMACs agree.
    Agree,
    /// The key was rotated on the new server. They agree on the file's version, and the old server cannot have the other.
    Rotated,
    /// The old server has no key of this name.
    Absent,
    /// One does not open what the other sealed, or their HMACs differ. The text says which.
    Disagree(String),
}

impl OldServer {
    /// A client of the old server, if `--verify` names it.
    pub fn client(&self, new: &ConnectSettings) -> Result<Option<ApiClient>, Error> {
        let Some(url) = &self.verify else { return Ok(None) };
        let endpoints = Endpoint::parse_list(url).map_err(|error| wrong("--verify", error.to_string()))?;
        let own = self.credentials(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
        let credentials = own.unwrap_or_else(|| new.credentials.clone());
        let trust = self.verify_ca.clone().map_or_else(|| new.trust.clone(), Trust::Ca);
        let tls = ConnectSettings { endpoints: endpoints.clone(), credentials, trust }.tls(Alpn::Either)?;
        Ok(Some(ApiClient::new(endpoints, tls)))
    }

    /// The credentials for the old server, if any are given. clap does not read the variable, because it would then want
    /// `--verify`, too.
    fn credentials(&self, env: Variables<'_>) -> Result<Option<Credentials>, Error> {
        if let (Some(certificate), Some(key)) = (&self.verify_cert, &self.verify_key) {
            return Ok(Some(Credentials::Files { certificate: certificate.clone(), key: key.clone() }));
        }
        let option = self.verify_api_key.clone().map(|text| ("--verify-api-key", text));
        let Some((name, text)) = option.or_else(|| env(VARIABLE).map(|text| (VARIABLE, text))) else { return Ok(None) };
        let key: ApiKey = text.parse().map_err(|error: ApiKeyError| wrong(name, error.to_string()))?;
        Ok(Some(Credentials::ApiKey(key)))
    }
}

fn wrong(name: &str, reason: String) -> Error {
    Error::Setting { name: name.to_owned(), reason }
}

/// One of the two servers.
#[derive(Clone, Copy)]
enum Side<'a> {
    Old(&'a ApiClient),
    New(&'a ApiClient),
}

/// Has each server open what the other seals, and compares their HMACs.
///
/// # Errors
/// A server gave no answer, or refuses the caller. Any other refusal is [`Agreement::Disagree`].
pub async fn verify(old: &ApiClient, new: &ApiClient, key: &SourceKey) -> Result<Agreement, Error> {
    let (old, new, name) = (Side::Old(old), Side::New(new), key.name.as_str());
    match exchange(old, new, key).await? {
        ProbeResult::Failed(reason) => {
            return Ok(Agreement::Disagree(reason));
        }
        ProbeResult::NoKey => return Ok(Agreement::Absent),
        ProbeResult::Opened | ProbeResult::OtherVersion => {}
    }
    let agreed = match exchange(new, old, key).await? {
        ProbeResult::Opened => Agreement::Agree,
        ProbeResult::OtherVersion => Agreement::Rotated,
        ProbeResult::NoKey => {
            return Ok(Agreement::Disagree("the new server does not have the key any more".to_owned()));
        }
        ProbeResult::Failed(reason) => return Ok(Agreement::Disagree(reason)),
    };
    let message = random::bytes::<32>();
    match (hmac(old, name, &message).await?, hmac(new, name, &message).await?) {
        (Some(old), Some(new)) if old != new => {
            Ok(Agreement::Disagree("the HMACs of the two servers differ".to_owned()))
        }
        (Some(_), None) => {
            Ok(Agreement::Disagree("the old server makes HMACs with this key, the new one does not".to_owned()))
        }
        _ => Ok(agreed),
    }
}

/// What happened to a ciphertext at the other server.
enum ProbeResult {
    Opened,
    /// It does not open there, and the file's key does not open it either.
    OtherVersion,
    /// The server that should seal does not have the key.
    NoKey,
    Failed(String),
}

/// Has `sealer` seal a probe, and `opener` open it.
async fn exchange(sealer: Side<'_>, opener: Side<'_>, key: &SourceKey) -> Result<ProbeResult, Error> {
    let probe = random::bytes::<32>();
    let sealed = match sealer.client().encrypt(&key.name, &probe, PROBE_CONTEXT).await {
        Ok(sealed) => sealed,
        Err(error) if error.is_status(404) => return Ok(ProbeResult::NoKey),
        Err(error) => {
            let what = format!("{} cannot encrypt with this key", sealer.name());
            return sealer.refused(&what, error).map(ProbeResult::Failed);
        }
    };
    let what = |clause: &str| format!("{} {clause} what {} encrypts", opener.name(), sealer.name());
    match opener.client().decrypt(&key.name, &sealed, PROBE_CONTEXT).await {
        Ok(opened) if opened[..] == probe => Ok(ProbeResult::Opened),
        Ok(_) => Ok(ProbeResult::Failed(what("decrypts to other bytes"))),
        Err(error) => {
            let reason = opener.refused(&what("cannot decrypt"), error)?;
            // This server has the file's key, as was proven before, so only a rotation explains another key. Reading the
            // key's versions would show it, too, but needs one more permission.
            let is_rotated = matches!(sealer, Side::New(_)) && !is_sealed_by(key, &sealed);
            Ok(if is_rotated { ProbeResult::OtherVersion } else { ProbeResult::Failed(reason) })
        }
    }
}

/// Whether the file's key sealed the ciphertext.
fn is_sealed_by(key: &SourceKey, sealed: &[u8]) -> bool {
    OpenedKey::new(&key.material, 1).open(&Ciphertext::parse(sealed), PROBE_CONTEXT).is_ok()
}

/// The HMAC, if the server can make one with this key.
async fn hmac(server: Side<'_>, name: &str, message: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    match server.client().hmac(name, message).await {
        Ok(hmac) => Ok(Some(hmac)),
        // An older KES lacks the route. A newer one refuses a key that was stored without an HMAC key.
        Err(client::Error::Status { status: 404 | 405 | 409 | 501, .. }) => Ok(None),
        Err(error) => Err(server.failed(error)),
    }
}

impl<'a> Side<'a> {
    fn name(self) -> &'static str {
        match self {
            Self::Old(_) => "the old server",
            Self::New(_) => "the new server",
        }
    }

    fn client(self) -> &'a ApiClient {
        match self {
            Self::Old(client) | Self::New(client) => client,
        }
    }

    /// The reason, if the refusal is about the key; else the error.
    fn refused(self, what: &str, error: client::Error) -> Result<String, Error> {
        match error {
            client::Error::Status { status, .. } if ![401, 403, 503].contains(&status) => {
                Ok(format!("{what}: {error}"))
            }
            error => Err(self.failed(error)),
        }
    }

    fn failed(self, error: client::Error) -> Error {
        match self {
            Self::Old(_) => Error::OldServer(error),
            Self::New(_) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::{Request, Response};

    use super::*;
    use crate::client::test_server::TestServer;
    use crate::crypto::{Cipher, KeyMaterial};

    /// A server whose ciphertexts are the plaintexts, and whose HMACs are its name, if it has one.
    async fn server(name: &'static str, opens: bool) -> TestServer {
        TestServer::start(move |request: Request<Bytes>| {
            let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
            let (code, answer) = match request.uri().path().split('/').nth(3).unwrap() {
                "encrypt" => (200, serde_json::json!({ "ciphertext": body["plaintext"] })),
                "decrypt" if opens => (200, serde_json::json!({ "plaintext": body["ciphertext"] })),
                "hmac" if !name.is_empty() => (200, serde_json::json!({ "hmac": name })),
                _ => (409, serde_json::json!({ "message": "no" })),
            };
            Response::builder().status(code).body(Full::new(Bytes::from(answer.to_string()))).unwrap()
        })
        .await
    }

    async fn verdict(old: &TestServer, new: &TestServer) -> Agreement {
        let client = |server: &TestServer| server.client(vec![server.endpoint.clone()], Alpn::Either);
        verify(&client(old), &client(new), &key()).await.unwrap()
    }

    fn key() -> SourceKey {
        let material = KeyMaterial::random(Cipher::Aes256);
        SourceKey { name: "k".to_owned(), material, created_at: None, created_by: None, remark: None }
    }

    #[test]
    fn a_ciphertext_of_another_version_is_recognised() {
        let (file, other) = (key(), key());
        assert!(is_sealed_by(&file, &OpenedKey::new(&file.material, 2).seal(b"x", PROBE_CONTEXT)));
        assert!(!is_sealed_by(&file, &OpenedKey::new(&other.material, 2).seal(b"x", PROBE_CONTEXT)));
    }

    #[test]
    fn options_win_over_the_variable() {
        let key = "kes:v1:AGaV6VXHasF0FnaB60WdCOeTZ8eTIDikL4zlN16c8NAs";
        let env = |name: &str| (name == VARIABLE).then(|| key.to_owned());
        let files = OldServer { verify_cert: Some("c".into()), verify_key: Some("k".into()), ..OldServer::default() };
        assert!(matches!(files.credentials(&env).unwrap(), Some(Credentials::Files { .. })));
        assert!(matches!(OldServer::default().credentials(&env).unwrap(), Some(Credentials::ApiKey(_))));
        assert!(OldServer::default().credentials(&|_| None).unwrap().is_none());
        let wrong = OldServer::default().credentials(&|_| Some("kes:v1:secret".to_owned())).unwrap_err().to_string();
        assert!(wrong.starts_with(VARIABLE) && !wrong.contains("secret"), "{wrong}");
    }

    #[tokio::test]
    async fn servers_agree_if_each_opens_what_the_other_seals_and_hmacs_match() {
        let (one, other) = (server("AAAA", true).await, server("BBBB", true).await);
        let (plain, blind) = (server("", true).await, server("AAAA", false).await);
        let says = |verdict: Agreement, words: &str| match verdict {
            Agreement::Disagree(reason) => assert!(reason.contains(words), "{reason}"),
            agreed => panic!("{agreed:?}"),
        };
        assert_eq!(verdict(&one, &one).await, Agreement::Agree);
        assert_eq!(verdict(&plain, &one).await, Agreement::Agree, "HMACs are compared where both have them");
        says(verdict(&one, &other).await, "HMACs of the two servers differ");
        says(verdict(&one, &plain).await, "the new one does not");
        says(verdict(&one, &blind).await, "the new server cannot decrypt what the old server encrypts");
        assert_eq!(verdict(&blind, &one).await, Agreement::Rotated, "the file's key did not seal it");
    }
}
