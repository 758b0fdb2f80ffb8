//! The client against servers that answer, refuse, fail, and send pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};

use super::test_server::{TestServer, TestServerTls, refuse};
use super::{ApiClient, Endpoint, Error, LogKind, LogQuery};
use crate::error_code::ErrorCode;
use crate::tls::Alpn;

fn answer(code: u16, content_type: &str, body: &str) -> Response<Full<Bytes>> {
    let body = Full::new(Bytes::from(body.to_owned()));
    Response::builder().status(code).header("content-type", content_type).body(body).unwrap()
}

fn json(code: u16, body: &str) -> Response<Full<Bytes>> {
    answer(code, "application/json", body)
}

/// An endpoint at which nothing listens.
fn closed() -> Endpoint {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Endpoint { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() }
}

fn echo(request: Request<Bytes>) -> Response<Full<Bytes>> {
    let value: serde_json::Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let text = value["plaintext"].as_str().unwrap_or_default();
    json(200, &format!(r#"{{"ciphertext":"{text}"}}"#))
}

#[tokio::test]
async fn both_versions_of_http_carry_a_request_and_its_body() {
    let server = TestServer::start(echo).await;
    for alpn in [Alpn::Http1, Alpn::Http2, Alpn::Either] {
        let client = server.client(vec![server.endpoint.clone()], alpn);
        for _ in 0..2 {
            assert_eq!(client.encrypt("k", b"hello", b"").await.unwrap(), b"hello", "{alpn:?}");
        }
    }
}

#[tokio::test]
async fn the_next_endpoint_gets_the_body_when_one_cannot_be_reached_or_answers_503() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let up = TestServer::start(echo).await;
    let away = TestServer::start_with(up.tls.clone(), move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        json(503, r#"{"message":"no leader"}"#)
    })
    .await;
    let client = up.client(vec![closed(), away.endpoint.clone(), up.endpoint.clone()], Alpn::Either);
    assert_eq!(client.encrypt("k", b"hello", b"").await.unwrap(), b"hello");
    assert_eq!(client.encrypt("k", b"again", b"").await.unwrap(), b"again");
    assert_eq!(asked.load(Ordering::Relaxed), 1, "the next request goes to the endpoint that answered");
}

#[tokio::test]
async fn a_refusal_is_final_and_keeps_the_servers_message() {
    let refuse = |_| json(400, r#"{"message":"key already exists"}"#);
    let server = TestServer::start(refuse).await;
    let never = TestServer::start_with(server.tls.clone(), |_| panic!("asked")).await;
    let client = server.client(vec![server.endpoint.clone(), never.endpoint.clone()], Alpn::Either);
    let error = client.create_key("k").await.unwrap_err();
    assert_eq!(error.to_string(), "key already exists (400)");
    assert!(!error.hint().unwrap().contains("earlier attempt"));

    let client = server.client(vec![closed(), server.endpoint.clone()], Alpn::Either);
    let error = client.create_key("k").await.unwrap_err();
    assert!(!error.hint().unwrap().contains("earlier attempt"), "a server that could not be reached has not done it");
}

/// A server that may have done what the request asks for, and a second one that finds it done.
async fn server_with_unknown_outcome(
    then: (u16, &'static str),
) -> (TestServer, TestServer, ApiClient, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let first = TestServer::start(|_| json(503, r#"{"message":"the outcome is unknown"}"#)).await;
    let second = TestServer::start_with(first.tls.clone(), move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        json(then.0, then.1)
    })
    .await;
    let client = first.client(vec![first.endpoint.clone(), second.endpoint.clone()], Alpn::Either);
    (first, second, client, asked)
}

#[tokio::test]
async fn the_hint_says_that_an_earlier_attempt_may_have_done_it() {
    let (_first, _second, client, _) = server_with_unknown_outcome((400, r#"{"message":"key already exists"}"#)).await;
    let error = client.create_key("k").await.unwrap_err();
    assert!(error.hint().unwrap().contains("earlier attempt"));
    let (_first, _second, client, _) = server_with_unknown_outcome((404, r#"{"message":"key does not exist"}"#)).await;
    let error = client.delete_key("k").await.unwrap_err();
    assert!(error.hint().unwrap().contains("earlier attempt"));
    let (_first, _second, client, _) = server_with_unknown_outcome((404, r#"{"message":"key does not exist"}"#)).await;
    let error = client.describe_key("k").await.unwrap_err();
    assert!(error.hint().unwrap().contains("key ls"));
}

#[tokio::test]
async fn a_rotation_goes_to_no_other_server_once_it_may_be_done() {
    let (_first, second, client, asked) = server_with_unknown_outcome((200, r#"{"version":"v2"}"#)).await;
    let error = client.rotate_key("k").await.unwrap_err();
    assert!(error.may_be_done() && asked.load(Ordering::Relaxed) == 0, "{error}");

    let stopping = |_| refuse(503, ErrorCode::NodeStopping);
    let stopping = TestServer::start_with(second.tls.clone(), stopping).await;
    let all = vec![closed(), stopping.endpoint.clone(), second.endpoint.clone()];
    assert_eq!(second.client(all, Alpn::Either).rotate_key("k").await.unwrap(), "v2");
}

#[tokio::test]
async fn the_code_decides_and_not_the_message() {
    for (code, may_be_done) in [
        (ErrorCode::NoLeader, false),
        (ErrorCode::NoRoom, false),
        (ErrorCode::AuditUnavailable, false),
        (ErrorCode::OutcomeUnknown, true),
        (ErrorCode::OutcomeNotRecorded, true),
        (ErrorCode::NotEverywhere, true),
    ] {
        let server = TestServer::start(move |_| refuse(503, code)).await;
        let error = server.client(vec![server.endpoint.clone()], Alpn::Either).create_key("k").await.unwrap_err();
        assert_eq!((error.code(), error.may_be_done()), (Some(code), may_be_done));
    }
    let without_code = |_| json(503, r#"{"message":"from a proxy: nothing was changed"}"#);
    let proxy = TestServer::start(without_code).await;
    let error = proxy.client(vec![proxy.endpoint.clone()], Alpn::Either).create_key("k").await.unwrap_err();
    assert!(error.may_be_done() && error.code().is_none(), "a message alone proves nothing");
    let kes = TestServer::start(|_| json(400, r#"{"message":"key already exists"}"#)).await;
    let error = kes.client(vec![kes.endpoint.clone()], Alpn::Either).create_key("k").await.unwrap_err();
    assert!(error.has_code(ErrorCode::KeyExists), "KES sends no code");
}

#[tokio::test]
async fn the_error_of_a_log_names_every_server() {
    let server = TestServer::start(|_| json(503, r#"{"message":"no"}"#)).await;
    let away = closed();
    let client = server.client(vec![away.clone(), server.endpoint.clone()], Alpn::Either);
    let error = client.log(LogKind::Audit, LogQuery::default()).await.err().unwrap().to_string();
    assert!(error.contains(&away.to_string()) && error.contains(&server.endpoint.to_string()), "{error}");
}

#[tokio::test]
async fn a_listing_is_complete_in_lines_and_in_pages() {
    let lines = TestServer::start(|request| {
        assert_eq!(request.headers()["accept"], "application/x-ndjson");
        answer(200, "application/x-ndjson", "{\"name\":\"a\"}\n{\"name\":\"b\"}\n")
    })
    .await;
    let client = lines.client(vec![lines.endpoint.clone()], Alpn::Either);
    assert_eq!(client.list_keys("").await.unwrap(), ["a", "b"]);

    let pages = TestServer::start(|request| match request.uri().path() {
        "/v1/key/list/x" => json(200, r#"{"names":["x1","x2"],"continue_at":"x3"}"#),
        "/v1/key/list/x3" => json(200, r#"{"names":["x3"],"continue_at":""}"#),
        other => panic!("{other}"),
    })
    .await;
    let client = pages.client(vec![pages.endpoint.clone()], Alpn::Either);
    assert_eq!(client.list_keys("x*").await.unwrap(), ["x1", "x2", "x3"]);
}

#[tokio::test]
async fn hints_differ_for_a_server_that_is_not_trusted_and_one_that_is_not_running() {
    let (server, other) = (TestServer::start(echo).await, TestServer::start(echo).await);
    let client = server.client(vec![other.endpoint.clone()], Alpn::Either);
    let error = client.version().await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }));
    assert!(error.hint().unwrap().contains("KEYRAFT_CA"), "{error}: {:?}", error.hint());

    let error = server.client(vec![closed()], Alpn::Either).version().await.unwrap_err();
    assert!(error.hint().unwrap().contains("is the server running"));
}

#[tokio::test]
async fn the_local_socket_shows_that_a_node_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::UnixListener::bind(dir.path().join("keyraft.sock")).unwrap();
    let serving = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await.unwrap();
        let body = r#"{"state":"sealed","reason":"no root key"}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    });
    let status = super::local_cluster_status(dir.path()).await.unwrap();
    assert_eq!((status.state(), status.reason.as_deref()), ("sealed", Some("no root key")));
    serving.await.unwrap();
    assert!(matches!(super::local_cluster_status(dir.path()).await.unwrap_err(), Error::Socket { .. }));
}

#[tokio::test]
async fn the_hint_names_the_api_key_when_the_server_requires_a_certificate() {
    let server = TestServer::start_with(Arc::new(TestServerTls::new(true)), echo).await;
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let error = server.client(vec![server.endpoint.clone()], alpn).version().await.unwrap_err();
        assert!(error.hint().unwrap().contains("MINIO_KES_API_KEY"), "{alpn:?}: {error:?}");
    }
}
