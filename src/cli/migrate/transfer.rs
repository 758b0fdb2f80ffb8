//! Imports and proves keys, a few at a time, until one of the servers stops working.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt as _, stream};

use super::old_server::{Agreement, verify};
use super::preflight;
use super::proof;
use super::report::{KeyOutcome, KeyProof, MigrationEntry, MigrationReport};
use super::source::{KeySource, SourceKey};
use crate::cli::Error;
use crate::cli::output::progress_bar;
use crate::client::{self, ApiClient, Import};
use crate::clock;
use crate::error_code::ErrorCode;

/// Keys at a time.
const AT_ONCE: usize = 8;
/// Why a key is not verified that the old server does not have.
const NOT_AT_OLD: &str = "not verified: the old server does not have it";

/// The servers, and how to import.
pub struct TransferPlan {
    /// The new server.
    pub client: ApiClient,
    /// The old one, to compare with.
    pub old: Option<ApiClient>,
    /// Change nothing.
    pub dry_run: bool,
    /// Keep the dates and creators of keys.
    pub keeps_origin: bool,
}

/// Imports and proves all keys. Returns the report and, if it ended early, why.
///
/// # Errors
/// It could not begin, because one of the servers does not work.
pub async fn run(plan: &TransferPlan, source: KeySource) -> Result<(MigrationReport, Result<(), Error>), Error> {
    let found = &Inventory::of(plan, &source.keys).await?;
    let (total, stopped) = (source.keys.len(), &AtomicBool::new(false));
    let bar = progress_bar(if plan.dry_run { "Comparing" } else { "Migrating" }, total);
    let each = stream::iter(source.keys).map(|key| async move {
        if stopped.load(Ordering::Relaxed) {
            return (entry(&key, KeyOutcome::NotReached, KeyProof::Own), None);
        }
        let (entry, error) = migrate_key(plan, &key, found).await;
        stopped.fetch_or(error.is_some(), Ordering::Relaxed);
        (entry, error)
    });
    let mut each = std::pin::pin!(each.buffer_unordered(AT_ONCE));
    let (mut report, mut ended) = (MigrationReport::new(plan.dry_run, source.unusable), None);
    while let Some((entry, error)) = each.next().await {
        report.add(entry);
        ended = ended.or(error);
        bar.inc(1);
    }
    bar.finish_and_clear();
    report.sort();
    let incomplete = |error| Error::Incomplete { done: report.settled(), total, error: Box::new(error) };
    let ended = ended.map_or(Ok(()), |error| Err(incomplete(error)));
    Ok((report, ended))
}

/// What the servers have before the first change.
struct Inventory {
    /// Names of keys that the new server has.
    existing: HashSet<String>,
    /// Names of keys that the old server does not have.
    absent: HashSet<String>,
}

impl Inventory {
    async fn of(plan: &TransferPlan, keys: &[SourceKey]) -> Result<Self, Error> {
        let names = keys.iter().map(|key| key.name.clone()).collect();
        let absent = match &plan.old {
            Some(old) => preflight::missing_keys(old, names).await?,
            None => HashSet::new(),
        };
        Ok(Self { existing: plan.client.list_keys("").await?.into_iter().collect(), absent })
    }

    /// The proof of a key that a dry run does not import.
    fn proof_of_dry_run(&self, key: &SourceKey) -> KeyProof {
        if self.absent.contains(&key.name) { KeyProof::Missing(NOT_AT_OLD.to_owned()) } else { KeyProof::Own }
    }
}

/// Imports and proves one key. Returns an error only if the next key would have it, too.
async fn migrate_key(plan: &TransferPlan, key: &SourceKey, found: &Inventory) -> (MigrationEntry, Option<Error>) {
    let with = |outcome, proof| entry(key, outcome, proof);
    let outcome = match import_if_missing(plan, key, found.existing.contains(&key.name)).await {
        Ok(outcome @ (KeyOutcome::Imported | KeyOutcome::Present)) => outcome,
        Ok(other @ KeyOutcome::WouldImport) => return (with(other, found.proof_of_dry_run(key)), None),
        Ok(other) => return (with(other, KeyProof::Own), None),
        Err(error) => return (with(KeyOutcome::Failed(error.to_string()), KeyProof::Own), Some(error.into())),
    };
    match prove(plan, key).await {
        Ok(Ok(proof)) => (with(outcome, proof), None),
        Ok(Err(difference)) => (with(KeyOutcome::Different(difference), KeyProof::Own), None),
        // The server has the key, even if the proof failed.
        Err((what, error)) => {
            let ends = !is_about_the_key(&error);
            (with(outcome, KeyProof::Missing(format!("{what}: {error}"))), ends.then_some(error))
        }
    }
}

fn entry(key: &SourceKey, outcome: KeyOutcome, proof: KeyProof) -> MigrationEntry {
    MigrationEntry { name: key.name.clone(), outcome, proof, remark: key.remark }
}

/// Imports the key, unless the server has one of its name.
async fn import_if_missing(plan: &TransferPlan, key: &SourceKey, exists: bool) -> Result<KeyOutcome, client::Error> {
    match (exists, plan.dry_run) {
        (true, _) => Ok(KeyOutcome::Present),
        (false, true) => Ok(KeyOutcome::WouldImport),
        (false, false) => match plan.client.import_key(&key.name, &import(plan, key)).await {
            Ok(()) => Ok(KeyOutcome::Imported),
            // Somebody made it meanwhile, or an attempt whose answer was lost.
            Err(error) if error.has_code(ErrorCode::KeyExists) => Ok(KeyOutcome::Present),
            Err(error) if is_refusal(&error) => Ok(KeyOutcome::Failed(error.to_string())),
            Err(error) => Err(error),
        },
    }
}

/// Proves that the server has the file's key. The inner error says how the server's key differs.
///
/// # Errors
/// Which part of the proof failed, and why.
async fn prove(plan: &TransferPlan, key: &SourceKey) -> Result<Result<KeyProof, String>, (&'static str, Error)> {
    let difference = proof::difference(&plan.client, key).await.map_err(|error| ("not proven", error.into()))?;
    if let Some(difference) = difference {
        return Ok(Err(difference.to_string()));
    }
    let Some(old) = &plan.old else { return Ok(Ok(KeyProof::Own)) };
    match verify(old, &plan.client, key).await.map_err(|error| ("not verified", error))? {
        Agreement::Agree => Ok(Ok(KeyProof::Verified)),
        Agreement::Rotated => Ok(Ok(KeyProof::Rotated)),
        Agreement::Absent => Ok(Ok(KeyProof::Missing(NOT_AT_OLD.to_owned()))),
        Agreement::Disagree(reason) => Ok(Err(reason)),
    }
}

fn import<'a>(plan: &TransferPlan, key: &'a SourceKey) -> Import<'a> {
    Import {
        material: key.material.encryption.expose(),
        cipher: Some(key.material.cipher.name()),
        // A key without an HMAC key must not get one, because MinIO would derive credentials from it.
        hmac: Some(key.material.hmac.as_ref().map_or(&[], |hmac| &hmac.expose()[..])),
        // A key without a date gets KES's date for "unknown", and not today's.
        created_at: plan.keeps_origin.then(|| key.created_at.as_deref().unwrap_or(clock::UNKNOWN_DATE)),
        created_by: key.created_by.filter(|_| plan.keeps_origin),
    }
}

/// Whether the refusal is about this key, so that the server may accept the next one.
fn is_refusal(error: &client::Error) -> bool {
    matches!(error, client::Error::Status { status, .. } if ![401, 403, 501, 503].contains(status))
}

fn is_about_the_key(error: &Error) -> bool {
    matches!(error, Error::Client(error) | Error::OldServer(error) if is_refusal(error))
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
            remark: None,
        }
    }

    fn answer(code: u16, body: &str) -> Response<Full<Bytes>> {
        Response::builder().status(code).body(Full::new(Bytes::from(body.to_owned()))).unwrap()
    }

    /// Migrates keys to a server that answers the requests about each key with a fixed status.
    async fn migrate(statuses: &'static [(&'static str, u16)]) -> (MigrationReport, Result<(), Error>) {
        let server =
            TestServer::start(|request: Request<Bytes>| match request.uri().path().rsplit_once('/').unwrap() {
                ("/v1/key/list", _) => answer(200, r#"{"names":[],"continue_at":""}"#),
                (_, name) => answer(statuses.iter().find(|(one, _)| *one == name).unwrap().1, r#"{"message":"so"}"#),
            })
            .await;
        let names: Vec<_> = statuses.iter().map(|(name, _)| (*name).to_owned()).collect();
        carry(&server, None, &names).await.unwrap()
    }

    async fn carry(
        server: &TestServer,
        old: Option<&TestServer>,
        names: &[String],
    ) -> Result<(MigrationReport, Result<(), Error>), Error> {
        let client = |of: &TestServer| of.client(vec![of.endpoint.clone()], Alpn::Either);
        let source = KeySource { keys: names.iter().map(|name| key(name)).collect(), unusable: Vec::new() };
        let plan = TransferPlan { client: client(server), old: old.map(client), dry_run: false, keeps_origin: true };
        run(&plan, source).await
    }

    fn outcomes(report: &MigrationReport) -> Vec<(String, String)> {
        let json = report.json();
        let text = |entry: &serde_json::Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let both = |entry: &serde_json::Value| (text(entry, "outcome"), text(entry, "reason"));
        json["keys"].as_array().unwrap().iter().map(both).collect()
    }

    #[tokio::test]
    async fn a_refused_key_is_reported_and_the_next_one_tried() {
        let (report, ended) = migrate(&[("a", 409), ("b", 406)]).await;
        assert!(ended.is_ok());
        assert!(matches!(report.verdict(), Err(Error::NotMigrated(2))));
    }

    #[tokio::test]
    async fn a_server_that_stops_working_ends_the_migration_with_a_report() {
        for status in [403, 503] {
            let keys: &'static [_] = if status == 403 { &[("a", 403)] } else { &[("a", 503)] };
            let (report, ended) = migrate(keys).await;
            assert!(matches!(ended, Err(Error::Incomplete { done: 0, total: 1, .. })), "{status}: {ended:?}");
            assert_eq!(report.settled(), 0);
        }
    }

    #[tokio::test]
    async fn keys_that_are_not_proven_or_not_reached_are_reported() {
        let lists = r#"{"names":[],"continue_at":""}"#;
        let server = TestServer::start(move |request: Request<Bytes>| match request.uri().path() {
            "/v1/key/list/" => answer(200, lists),
            path if path.starts_with("/v1/key/import/") => answer(200, ""),
            _ => answer(503, r#"{"message":"gone"}"#),
        })
        .await;
        let names: Vec<_> = (0..3 * AT_ONCE).map(|number| format!("key-{number:02}")).collect();
        let (report, ended) = carry(&server, None, &names).await.unwrap();
        assert!(matches!(ended, Err(Error::Incomplete { total, .. }) if total == names.len()), "{ended:?}");
        let listed = outcomes(&report);
        assert_eq!(listed.len(), names.len(), "each key is reported");
        let imported = listed.iter().filter(|(outcome, _)| outcome == "imported");
        assert_eq!(report.settled(), imported.clone().count(), "the server has them");
        assert!(imported.clone().count() >= AT_ONCE && imported.clone().all(|(_, why)| why.starts_with("not proven")));
        let unreached = listed.iter().filter(|(outcome, _)| outcome == "not reached").count();
        assert_eq!((imported.count() + unreached, unreached > 0), (names.len(), true), "{listed:?}");
    }

    #[tokio::test]
    async fn a_dry_run_reports_a_key_that_the_old_server_lacks() {
        let server = TestServer::start(|_| answer(200, r#"{"names":[],"continue_at":""}"#)).await;
        let old = TestServer::start_with(server.tls.clone(), |request: Request<Bytes>| match request.uri().path() {
            "/version" => answer(200, r#"{"version":"1"}"#),
            _ => answer(404, r#"{"message":"key does not exist"}"#),
        })
        .await;
        let client = |of: &TestServer| of.client(vec![of.endpoint.clone()], Alpn::Either);
        let plan = TransferPlan { client: client(&server), old: Some(client(&old)), dry_run: true, keeps_origin: true };
        let (report, ended) = run(&plan, KeySource { keys: vec![key("k")], unusable: Vec::new() }).await.unwrap();
        assert!(ended.is_ok());
        assert_eq!(outcomes(&report), [("to import".to_owned(), NOT_AT_OLD.to_owned())]);
        assert!(matches!(report.verdict(), Err(Error::NotMigrated(1))));
    }

    #[tokio::test]
    async fn an_old_server_that_does_not_work_is_found_before_any_import() {
        let server = TestServer::start(|_| panic!("asked")).await;
        let old = TestServer::start_with(server.tls.clone(), |_| answer(503, r#"{"message":"gone"}"#)).await;
        let refused = carry(&server, Some(&old), &["k".to_owned()]).await;
        assert!(matches!(refused, Err(Error::OldServer(_))));
    }
}
