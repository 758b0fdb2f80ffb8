//! Finds out before the first change which keys the old server has, and whether it permits the proof.

use std::collections::HashSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::proof::PROBE_CONTEXT;
use crate::cli::Error;
use crate::client::{self, ApiClient};
use crate::crypto::random;
use crate::error_code::ErrorCode;
use crate::tls::CertificateRefusal;

/// Keys at a time.
const AT_ONCE: usize = 8;

/// The names of which the old server has no key.
///
/// It sends for each name the same requests as the proof. Policies differ from name to name, and not every server shows
/// what its caller may do.
///
/// # Errors
/// The old server gave no answer, or refuses the caller.
pub async fn missing_keys(old: &ApiClient, names: Vec<String>) -> Result<HashSet<String>, Error> {
    old.version().await.map_err(with_advice)?;
    let answers = stream::iter(names).map(|name| async move { has_key(old, &name).await.map(|has| (name, has)) });
    let all: Vec<_> = answers.buffer_unordered(AT_ONCE).try_collect().await.map_err(with_advice)?;
    Ok(all.into_iter().filter(|(_, has)| !has).map(|(name, _)| name).collect())
}

async fn has_key(old: &ApiClient, name: &str) -> Result<bool, client::Error> {
    let probe = random::bytes::<32>();
    let sealed = match old.encrypt(name, &probe, PROBE_CONTEXT).await {
        Ok(sealed) => sealed,
        Err(error) if error.is_status(404) => return Ok(false),
        // The proof reports what is wrong with the key itself.
        Err(error) => return ignore_key_errors(error).map(|()| true),
    };
    old.decrypt(name, &sealed, PROBE_CONTEXT).await.map(drop).or_else(ignore_key_errors)?;
    old.hmac(name, &probe).await.map(drop).or_else(ignore_key_errors)?;
    Ok(true)
}

/// Passes on only an error that the next request would have, too.
fn ignore_key_errors(error: client::Error) -> Result<(), client::Error> {
    match error {
        client::Error::Status { status, .. } if ![401, 403, 503].contains(&status) && !wants_certificate(&error) => {
            Ok(())
        }
        error => Err(error),
    }
}

fn wants_certificate(error: &client::Error) -> bool {
    error.has_code(ErrorCode::CertificateRequired)
}

/// Adds advice for the old server, because the client's own hint is about the new one.
fn with_advice(error: client::Error) -> Error {
    let (advice, error) = (advice(&error), Error::OldServer(error));
    match advice {
        Some(advice) => Error::Denied { error: Box::new(error), advice },
        None => error,
    }
}

fn advice(error: &client::Error) -> Option<String> {
    const WHO: &str = "set your credentials for the old server with KEYRAFT_VERIFY_API_KEY or --verify-cert; without them, \
                       the command uses those for the new server";
    match error {
        client::Error::Status { status: 401 | 403, path, .. } => {
            Some(format!("nothing was changed; at the old server, your policy must allow {path}\n{WHO}"))
        }
        client::Error::Status { .. } if wants_certificate(error) => Some(WHO.to_owned()),
        client::Error::Transport { source, .. } => Some(match CertificateRefusal::of(source.as_ref())? {
            CertificateRefusal::Untrusted => {
                "--verify-ca must name a file with the CA that issued the old server's certificate, or \
                                   with that certificate itself"
                    .to_owned()
            }
            CertificateRefusal::ClientCertificate => WHO.to_owned(),
            CertificateRefusal::WrongName
            | CertificateRefusal::NoName
            | CertificateRefusal::Expired
            | CertificateRefusal::NotForServers => error.hint()?,
        }),
        client::Error::NoServer(failures) => failures.iter().find_map(|(_, error)| advice(error)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::{Request, Response};

    use super::*;
    use crate::client::test_server::TestServer;
    use crate::tls::Alpn;

    /// The result at a server that answers paths that contain `word` with `status`, and all others with 200.
    async fn found(word: &'static str, status: u16) -> Result<HashSet<String>, Error> {
        let old = TestServer::start(move |request: Request<Bytes>| {
            let is_one = request.uri().path().contains(word);
            let body = r#"{"version":"1","ciphertext":"AAAA","plaintext":"AAAA","hmac":"AAAA","message":"so"}"#;
            let code = if is_one { status } else { 200 };
            Response::builder().status(code).body(Full::new(Bytes::from(body))).unwrap()
        })
        .await;
        let client = old.client(vec![old.endpoint.clone()], Alpn::Either);
        missing_keys(&client, vec!["one".to_owned(), "other".to_owned()]).await
    }

    #[tokio::test]
    async fn each_request_of_the_proof_must_be_allowed_for_each_key() {
        for word in ["encrypt/other", "decrypt/other", "hmac/other"] {
            for status in [401, 403] {
                let Err(Error::Denied { advice, .. }) = found(word, status).await else { panic!("{word}: {status}") };
                assert!(advice.contains(word) && advice.contains("KEYRAFT_VERIFY_API_KEY"), "{advice}");
            }
            assert!(matches!(found(word, 503).await, Err(Error::OldServer(_))));
            assert!(found(word, 500).await.unwrap().is_empty(), "the proof reports what is wrong with a key");
        }
    }

    #[tokio::test]
    async fn keys_that_the_old_server_lacks_are_found() {
        assert_eq!(found("encrypt/other", 404).await.unwrap(), HashSet::from(["other".to_owned()]));
        assert!(found("hmac/", 404).await.unwrap().is_empty(), "an older KES makes no HMACs");
    }
}
