//! Bringing keys over, a few at a time, until one of the servers is of no use any more.

use std::collections::HashSet;

use futures::{StreamExt as _, stream};

use super::old_server::{Verdict, verify};
use super::proof;
use super::report::{Entry, Outcome, Report};
use super::source::{Source, SourceKey};
use crate::cli::Error;
use crate::cli::output::progress_bar;
use crate::client::{self, Client, Import};

/// Keys at a time.
const AT_ONCE: usize = 8;

/// Where keys go, and how.
pub struct Plan {
    /// The new server.
    pub client: Client,
    /// The old one, to compare with.
    pub old: Option<Client>,
    /// Change nothing.
    pub dry_run: bool,
    /// Bring dates and makers along.
    pub keeps_origin: bool,
}

/// Brings all over; what came of each, and why it ended before the last, if it did.
///
/// # Errors
/// It could not even begin.
pub async fn all(plan: &Plan, source: Source) -> Result<(Report, Result<(), Error>), Error> {
    let there: HashSet<String> = plan.client.list_keys("").await?.into_iter().collect();
    let (total, there) = (source.keys.len(), &there);
    let bar = progress_bar(if plan.dry_run { "Comparing" } else { "Migrating" }, total);
    let each = stream::iter(source.keys).map(|key| async move {
        let outcome = one(plan, &key, there.contains(&key.name)).await;
        (key.name.clone(), outcome)
    });
    let mut each = std::pin::pin!(each.buffer_unordered(AT_ONCE));
    let mut report = Report::new(plan.dry_run, source.unusable);
    let mut ended = Ok(());
    while let Some((name, outcome)) = each.next().await {
        match outcome {
            Ok(outcome) => report.add(Entry { name, outcome }),
            Err(error) => {
                ended = Err(Error::Incomplete { done: report.settled(), total, error: Box::new(error) });
                break;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    report.sort();
    Ok((report, ended))
}

/// What becomes of one key.
///
/// # Errors
/// The next one would not fare better.
async fn one(plan: &Plan, key: &SourceKey, is_there: bool) -> Result<Outcome, Error> {
    let outcome = match (is_there, plan.dry_run) {
        (true, _) => Outcome::There,
        (false, true) => return Ok(Outcome::WouldImport),
        (false, false) => match plan.client.import_key(&key.name, &import(plan, key)).await {
            Ok(()) => Outcome::Imported,
            // Made meanwhile, or by an attempt whose answer was lost.
            Err(error) if error.says(400, "key already exists") => Outcome::There,
            Err(error) => return failed(error),
        },
    };
    match proof::difference(&plan.client, key).await {
        Ok(None) => {}
        Ok(Some(difference)) => return Ok(Outcome::Different(difference.to_string())),
        Err(error) => return failed(error),
    }
    let Some(old) = &plan.old else { return Ok(outcome) };
    match verify(old, &plan.client, &key.name).await? {
        Verdict::Agree => Ok(outcome.verified()),
        Verdict::Disagree(reason) => Ok(Outcome::Different(reason)),
    }
}

fn import<'a>(plan: &Plan, key: &'a SourceKey) -> Import<'a> {
    Import {
        material: key.material.encryption.expose(),
        cipher: Some(key.material.cipher.name()),
        // What had no HMAC key must not get one: MinIO derives credentials once there is one.
        hmac: Some(key.material.hmac.as_ref().map_or(&[], |hmac| &hmac.expose()[..])),
        created_at: key.created_at.as_deref().filter(|_| plan.keeps_origin),
        created_by: key.created_by.filter(|_| plan.keeps_origin),
    }
}

/// A refusal of this key is told and the next one tried; anything else ends it all.
fn failed(error: client::Error) -> Result<Outcome, Error> {
    match error {
        client::Error::Status { code, .. } if ![401, 403, 501, 503].contains(&code) => {
            Ok(Outcome::Failed(error.to_string()))
        }
        error => Err(error.into()),
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
    use crate::tls::Alpn;

    fn key(name: &str) -> SourceKey {
        SourceKey {
            name: name.to_owned(),
            material: KeyMaterial::random(Cipher::Aes256),
            created_at: None,
            created_by: None,
        }
    }

    /// What becomes of keys on a server that answers each import with a status of its own.
    async fn migrate(statuses: &'static [(&'static str, u16)]) -> (Report, Result<(), Error>) {
        let server = TestServer::start(|request: Request<Bytes>| {
            let (code, body) = match request.uri().path().rsplit_once('/').unwrap() {
                ("/v1/key/list", _) => (200, r#"{"names":[],"continue_at":""}"#),
                (_, name) => (statuses.iter().find(|(one, _)| *one == name).unwrap().1, r#"{"message":"so"}"#),
            };
            Response::builder().status(code).body(Full::new(Bytes::from(body))).unwrap()
        })
        .await;
        let client = server.client(vec![server.endpoint.clone()], Alpn::Either);
        let source = Source { keys: statuses.iter().map(|(name, _)| key(name)).collect(), unusable: Vec::new() };
        all(&Plan { client, old: None, dry_run: false, keeps_origin: true }, source).await.unwrap()
    }

    #[tokio::test]
    async fn a_key_that_is_refused_is_told_and_the_next_one_tried() {
        let (report, ended) = migrate(&[("a", 409), ("b", 406)]).await;
        assert!(ended.is_ok());
        assert!(matches!(report.verdict(), Err(Error::NotMigrated(2))));
    }

    #[tokio::test]
    async fn a_server_that_is_of_no_use_ends_it_with_what_was_done() {
        for status in [403, 503] {
            let keys: &'static [_] = if status == 403 { &[("a", 403)] } else { &[("a", 503)] };
            let (report, ended) = migrate(keys).await;
            assert!(matches!(ended, Err(Error::Incomplete { done: 0, total: 1, .. })), "{status}: {ended:?}");
            assert_eq!(report.settled(), 0);
        }
    }
}
