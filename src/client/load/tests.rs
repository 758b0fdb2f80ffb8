//! Load tests against a server that keeps keys, and against servers that fail on purpose.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};

use super::*;
use crate::client::Endpoint;
use crate::client::test_server::TestServer;
use crate::tls::{Credentials, Trust};

type Keys = Arc<Mutex<BTreeSet<String>>>;

/// Answers like a KES server whose data keys are all zeros and whose ciphertexts are their plaintexts.
fn answer_like_kes(keys: &Keys, request: &Request<Bytes>) -> (u16, &'static str) {
    const ZEROS: &str = r#"{"plaintext":"AAAA","ciphertext":"AAAA"}"#;
    let mut parts = request.uri().path().trim_start_matches("/v1/key/").split('/');
    let (operation, name) = (parts.next().unwrap(), parts.next().unwrap_or_default().to_owned());
    let mut keys = keys.lock().unwrap();
    match operation {
        "create" => (if keys.insert(name) { 200 } else { 400 }, ""),
        "delete" => (if keys.remove(&name) { 200 } else { 404 }, ""),
        "generate" | "decrypt" if keys.contains(&name) => (200, ZEROS),
        "hmac" => (503, r#"{"message":"no"}"#),
        _ => (404, ""),
    }
}

async fn server(keys: &Keys) -> TestServer {
    let keys = keys.clone();
    TestServer::start(move |request| {
        let (code, body) = answer_like_kes(&keys, &request);
        Response::builder().status(code).body(Full::from(body)).unwrap()
    })
    .await
}

fn plan(server: &TestServer, http: Http, mix: &str) -> LoadPlan {
    LoadPlan {
        endpoints: vec![server.endpoint.clone()],
        credentials: Credentials::Nothing,
        trust: Trust::Ca(server.tls.ca.clone()),
        http,
        mix: mix.parse().unwrap(),
        clients: 4,
        connections: if http == Http::One { 4 } else { 2 },
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(600),
        rate: None,
        timeout: Duration::from_secs(10),
        keys: 3,
        keep: false,
        pids: Vec::new(),
    }
}

/// Runs until `enough` requests have succeeded or failed.
async fn run_until(plan: LoadPlan, enough: u64) -> LoadReport {
    let progress = Arc::new(LoadProgress::default());
    let running = tokio::spawn({
        let progress = progress.clone();
        async move { run(&plan, progress).await.unwrap() }
    });
    while progress.done() + progress.failed() < enough {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    progress.stop();
    running.await.unwrap()
}

#[tokio::test]
async fn operations_succeed_over_both_versions_of_http_and_no_key_is_left() {
    for http in [Http::One, Http::Two] {
        let keys = Keys::default();
        let server = server(&keys).await;
        let report = run_until(plan(&server, http, "create,generate,decrypt"), 200).await;
        assert!(report.requests >= 200, "{report:?}");
        assert_eq!(report.operations.len(), 3);
        assert!(report.operations.values().all(|one| one.requests > 0));
        assert!(report.errors.is_empty(), "{report:?}");
        assert_eq!(report.unanswered, 0);
        assert!(report.latency.p50_us <= report.latency.p99_us && report.latency.p99_us <= report.latency.max_us);
        assert!(keys.lock().unwrap().is_empty(), "keys are left");
    }
}

#[tokio::test]
async fn failures_are_counted_by_status_and_not_as_throughput() {
    let server = server(&Keys::default()).await;
    let report = run_until(plan(&server, Http::One, "hmac"), 20).await;
    assert_eq!(report.requests, 0);
    assert_eq!(report.errors.keys().collect::<Vec<_>>(), ["503"]);
}

#[tokio::test]
async fn the_operation_connect_opens_new_connections() {
    let server = TestServer::start(|_| Response::new(Full::default())).await;
    for http in [Http::One, Http::Two] {
        let report = run_until(plan(&server, http, "connect"), 10).await;
        assert!(report.requests >= 10 && report.errors.is_empty(), "{report:?}");
    }
}

#[tokio::test]
async fn a_server_that_decrypts_wrongly_is_not_measured() {
    let server = TestServer::start(|request| {
        let lie = if request.uri().path().contains("decrypt") { "BBBB" } else { "AAAA" };
        let body = format!(r#"{{"plaintext":"{lie}","ciphertext":"AAAA"}}"#);
        Response::new(Full::from(body))
    })
    .await;
    let outcome = run(&plan(&server, Http::One, "generate"), Arc::default()).await;
    assert!(matches!(outcome, Err(LoadError::WrongAnswer { .. })));
}

#[tokio::test]
async fn clients_pass_over_a_server_that_cannot_be_reached() {
    for http in [Http::One, Http::Two] {
        let server = server(&Keys::default()).await;
        let mut plan = plan(&server, http, "generate");
        plan.endpoints.insert(0, Endpoint { host: "127.0.0.1".to_owned(), port: 1 });
        let report = run_until(plan, 50).await;
        assert!(report.requests >= 50 && report.errors.is_empty(), "{report:?}");
    }
}

#[tokio::test]
async fn clients_leave_a_server_that_answers_503() {
    for http in [Http::One, Http::Two] {
        let keys = Keys::default();
        let good = server(&keys).await;
        let sick = TestServer::start_with(good.tls.clone(), |_| {
            Response::builder().status(503).body(Full::default()).unwrap()
        })
        .await;
        let mut plan = plan(&good, http, "generate");
        plan.endpoints.insert(0, sick.endpoint.clone());
        let report = run_until(plan, 200).await;
        let refused = report.errors.get("503").copied().unwrap_or_default();
        assert!((1..=4).contains(&refused) && report.requests > 100, "{report:?}");
        assert_eq!(report.errors.len(), 1, "{report:?}");
    }
}

#[tokio::test]
async fn clients_leave_a_silent_server_after_the_timeout() {
    for http in [Http::One, Http::Two] {
        let keys = Keys::default();
        let good = server(&keys).await;
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut plan = plan(&good, http, "generate");
        let port = silent.local_addr().unwrap().port();
        plan.endpoints.insert(1, Endpoint { host: "127.0.0.1".to_owned(), port });
        plan.timeout = Duration::from_millis(200);
        let report = run_until(plan, 50).await;
        assert!(report.requests >= 50, "{report:?}");
    }
}

#[tokio::test]
async fn a_test_that_no_server_answers_fails() {
    let server = TestServer::start(|_| Response::new(Full::default())).await;
    let mut plan = plan(&server, Http::Two, "status");
    plan.endpoints = vec![Endpoint { host: "127.0.0.1".to_owned(), port: 1 }];
    let outcome = run(&plan, Arc::default()).await;
    assert!(matches!(outcome, Err(LoadError::Client(client::Error::Transport { .. }))), "{outcome:?}");
}
