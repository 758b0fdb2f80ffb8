//! The audit trail has one record for each request, even a hostile one, in a file that proves itself. A node that
//! cannot write records answers no requests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use keyraft::config::{AuditFileConfig, RouteConfig};
use keyraft::telemetry::{AuditReport, AuditVerifier, ExpectedTrail, in_order};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::cluster;
use crate::support::api_key::ApiKey;
use crate::support::cluster::TestCluster;
use crate::support::connection::Client;
use crate::support::http::Http;
use crate::support::settings::{ADMIN, APP_KEY, OPS_KEY};

fn file(path: impl Into<PathBuf>) -> AuditFileConfig {
    AuditFileConfig { path: path.into(), max_size: 64 << 10, max_age: Duration::from_secs(3_600), keep: 1_000 }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
    // As `*` in a shell: without the file that keeps room.
    let files = files.filter(|file| file.extension().is_none_or(|end| end != "reserve"));
    in_order(&files.collect::<Vec<_>>()).expect("files that can be read").ordered
}

fn verify(folder: &Path, key: &str) -> AuditReport {
    let keys = vec![key.parse().expect("a key")];
    let mut verifier = AuditVerifier::new(ExpectedTrail { keys, whole: true, ..ExpectedTrail::default() });
    for file in files(folder) {
        verifier.file(&file, &mut |_| {}).expect("a file that can be read");
    }
    verifier.finish()
}

/// Requests that a client library would not send, each on a connection of its own. A server must take each of them for
/// a whole request.
fn hostile(number: usize) -> Vec<u8> {
    const INJECTED: &str = "{\"time\":\"2026-01-01T00:00:00Z\",\"request\":{\"path\":\"/injected\"}}";
    let encoded: String = INJECTED.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let long = "a".repeat(9_000 + number);
    let head = |line: &str, headers: &str| {
        format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").into_bytes()
    };
    let get = |path: &str| head(&format!("GET {path}"), "");
    match number % 25 {
        0 => get(&format!("/v1/key/describe/a%0a{encoded}%0a")),
        1 => get(&format!("/v1/key/describe/%0d%0a%00%1b%5b2J%7f{number}")),
        2 => get("/%E2%80%A8%C2%85%E2%80%AE"),
        3 => get("/%ff%fe"),
        4 => get("/a%zz"),
        5 => get("/%"),
        6 => get(&format!("/{long}")),
        7 => get("//v1/../v1/./key//create%2Fx"),
        8 => get("/v1/key/create/%22%2c%22x%22%3a%22"),
        9 => get("/v1/key/describe/%5c%5c%22%5c"),
        10 => head("G@RBAGE /v1/ready", ""),
        11 => head("get /v1/status", ""),
        12 => head(&format!("{} /", "X".repeat(200)), ""),
        13 => head("G\u{7f}T /v1/status", ""),
        14 => format!("GET /v1/\n{INJECTED} HTTP/1.1\r\n\r\n").into_bytes(),
        15 => format!("GET /v1/\r\n{INJECTED}\r\n\r\n").into_bytes(),
        16 => head("GET /v1/status", &format!("X: a\n{INJECTED}\r\n")),
        17 => head("GET /v1/status", &format!("X: a\r\n {INJECTED}\r\n")),
        18 => head("GET /v1/status", &format!("X: {}\r\n", "y".repeat(200_000))),
        19 => [&head("PUT /v1/key/create/x", "Content-Length: 100\r\n")[..], b"too short"].concat(),
        20 => [&head("PUT /v1/key/encrypt/x", "Transfer-Encoding: chunked\r\n")[..], b"5\r\nab"].concat(),
        21 => [&head("PUT /v1/key/encrypt/x", "Transfer-Encoding: chunked\r\n")[..], b"zz\r\n\r\n"].concat(),
        22 => [&head("PUT /v1/key/import/x", "Content-Length: 3\r\n")[..], b"{\"\n"].concat(),
        23 => head("GET http://[::1/v1/status", ""),
        _ => b"\x00\x01\x02 \xff\xfe HTTP/1.1\r\n\r\n".to_vec(),
    }
}

/// Sends bytes and reads the answer to the end. Returns the request id in the answer. A client that has left may get no
/// answer.
async fn send(cluster: &TestCluster, client: &Client, bytes: &[u8]) -> Option<String> {
    let mut stream = client.connect(&cluster.endpoint(0), Http::One).await.expect("the node lets it in");
    // A node that has answered need not read the rest.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    if answer.is_empty() {
        return None;
    }
    if answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5") {
        assert!(answer.contains("\r\nkeyraft-error: "), "no code: {answer}");
    }
    let (_, rest) = answer.split_once("\r\nkeyraft-request-id: ").unwrap_or_else(|| panic!("no id: {answer}"));
    Some(rest.get(..16)?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_hostile_requests_leave_one_record_each_and_no_other_line() {
    const REQUESTS: usize = 1_000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let mut cluster = cluster(1, |config| {
        config.audit.file = Some(file(&path));
        config.audit.required = true;
        // With it clients without a certificate get through the handshake.
        config.api.insert("/v1/ready".into(), RouteConfig { skip_auth: true, timeout: None });
    })
    .await;
    let holder = |key| Some(ApiKey::parse(key).credential());
    let clients = [Client::new(None), Client::new(holder(APP_KEY)), Client::new(holder(OPS_KEY))];
    let (cluster_ref, clients) = (&cluster, &clients);
    let answered: BTreeSet<String> = futures::stream::iter(0..REQUESTS)
        .map(|number| async move { send(cluster_ref, &clients[number % 3], &hostile(number)).await })
        .buffer_unordered(16)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let key = cluster.local_status(0).await.expect("a status")["node"]["audit_key"].as_str().expect("a key").to_owned();
    let live = verify(folder.path(), &key);
    assert_eq!((live.faults, live.first), (vec![], Some(1)), "while the node writes, too");
    cluster.stop(0).await;
    let text: String = files(folder.path()).iter().map(|file| std::fs::read_to_string(file).expect("text")).collect();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let is_probe = |line: &Value| line["request"]["identity"] == ADMIN && line["request"]["path"] == "/v1/ready";
    let records: Vec<_> = lines.iter().filter(|line| line["request"].is_object() && !is_probe(line)).collect();
    let mut kinds = std::collections::BTreeMap::<_, usize>::new();
    for record in &records {
        let path: String = record["request"]["path"].as_str().expect("a path").chars().take(24).collect();
        *kinds.entry((path, record["response"]["code"].to_string())).or_default() += 1;
    }
    assert_eq!(records.len(), REQUESTS, "{kinds:#?}");
    for record in &records {
        assert!(record["response"]["code"].as_u64().is_some_and(|code| (400..500).contains(&code)), "{record}");
        assert_ne!(record["request"]["path"], "/injected");
    }
    let id = |record: &&Value| record["keyraft"]["request_id"].as_str().expect("an id").to_owned();
    let recorded: BTreeSet<String> = records.iter().map(id).collect();
    assert_eq!(recorded.len(), REQUESTS, "each has an id of its own");
    assert!(answered.is_subset(&recorded), "{:?}", answered.difference(&recorded).collect::<Vec<_>>());
    assert!(answered.len() > REQUESTS / 4, "only {} answers arrived", answered.len());
    for line in lines.iter().filter(|line| !line["request"].is_object()) {
        assert!(line["opened"].is_object() || line["checkpoint"].is_object(), "{line}");
    }
    let in_their_order = files(folder.path());
    assert!(in_their_order.len() > 1, "it was rotated meanwhile");
    let other_way: Vec<_> = in_their_order.iter().rev().cloned().collect();
    assert_eq!(in_order(&other_way).expect("files that can be read").ordered, in_their_order);
    let report = verify(folder.path(), &key);
    assert_eq!((report.faults, report.notes, report.lines), (vec![], vec![], lines.len() as u64));
    assert_eq!(report.signed, report.last, "the end is signed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_goes_on_over_restarts_and_crashes_under_one_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let mut cluster = cluster(1, |config| config.audit.file = Some(file(&path))).await;
    let key = cluster.local_status(0).await.expect("a status")["node"]["audit_key"].as_str().expect("a key").to_owned();
    for round in 0..3 {
        cluster.admin().create(0, &format!("key-{round}")).await.expect("a new key");
        if round == 1 {
            cluster.kill(0).await;
        } else {
            cluster.stop(0).await;
        }
        cluster.start_all().await;
    }
    cluster.stop(0).await;
    let report = verify(folder.path(), &key);
    assert_eq!((report.faults, report.keys.len()), (vec![], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_must_audit_and_cannot_does_not_answer_until_it_can() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gone, path) = (folder.path().join("gone"), folder.path().join("gone/audit.log"));
    std::fs::create_dir(&gone).expect("a folder");
    let cluster = cluster(3, |config| {
        if config.cluster.name == "node-1" {
            config.audit.file = Some(file(&path));
            config.audit.required = true;
        }
    })
    .await;
    let admin = cluster.admin();
    admin.create(0, "before").await.expect("a new key");
    std::fs::remove_dir_all(&gone).expect("it is there");
    // The node may still answer the request whose record it cannot write: it keeps the record and writes it later.
    let answered = admin.create(0, "found-out").await.is_ok();
    cluster.wait_for_state(0, "unaudited").await;
    let refusal = admin.create(0, "refused").await.expect_err("the listener is closed");
    assert!(refusal.moves_on(), "{refusal:?}");
    admin.create_somewhere(0, "elsewhere").await;
    std::fs::create_dir(&gone).expect("it is gone");
    cluster.wait_until_serving(0).await;
    admin.create(0, "after").await.expect("a new key");
    cluster
        .wait_for("the record that was kept", async || {
            let text = std::fs::read_to_string(&path).ok()?;
            let kept = !answered || text.contains("/v1/key/create/found-out");
            (kept && text.contains("/v1/key/create/after")).then_some(())
        })
        .await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_node_shows_the_reason_that_holds_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gone, path) = (folder.path().join("gone"), folder.path().join("gone/audit.log"));
    std::fs::create_dir(&gone).expect("a folder");
    let mut cluster = cluster(3, |config| {
        config.consistency.offline = Duration::ZERO;
        if config.cluster.name == "node-1" {
            config.audit.file = Some(file(&path));
            config.audit.required = true;
        }
    })
    .await;
    std::fs::remove_dir_all(&gone).expect("it is there");
    // The node may still answer this request.
    let _ = cluster.admin().create(0, "found-out").await;
    cluster.wait_for_state(0, "unaudited").await;
    for other in [1, 2] {
        cluster.kill(other).await;
    }
    let status = cluster.wait_for_state(0, "offline").await;
    assert!(status["node"]["reason"].as_str().is_some_and(|why| why.starts_with("no leader has answered")), "{status}");
}
