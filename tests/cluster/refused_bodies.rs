//! A node that refuses a request before it has read the body still lets the client send all of it and read why. If it
//! reset the connection instead, clients would take the node for dead.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::cluster;
use crate::support::api_key::ApiKey;
use crate::support::connection::Client;
use crate::support::http::{self, Http, Request};
use crate::support::settings::APP_KEY;

/// A little more than a body may have.
const LENGTH: usize = 1_000_001;

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_client_that_sends_its_whole_body_first_can_read_why() {
    let cluster = cluster(1, |_| {}).await;
    let app = cluster.user(Client::new(Some(ApiKey::parse(APP_KEY).credential())));
    let admin = cluster.admin();
    for (user, target, status) in [
        (&app, "/v1/key/encrypt/other", "403"),
        (&admin, "/v1/key/encrypt/-bad", "400"),
        (&admin, "/v1/key/encrypt/other", "413"),
        (&admin, "/v1/nowhere", "404"),
    ] {
        let mut stream = user.connect(0).await;
        let head = format!("PUT {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {LENGTH}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("the node reads");
        for piece in vec![b'x'; LENGTH].chunks(10_000) {
            stream.write_all(piece).await.expect("the node reads on, although it has refused the request");
        }
        let mut answer = String::new();
        // It does not matter how the stream ends. A reset would have lost the answer.
        let _ = stream.read_to_string(&mut answer).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_client_goes_on_over_its_connection() {
    let cluster = cluster(1, |_| {}).await;
    let mut stream = cluster.admin().connect(0).await;
    for _ in 0..3 {
        stream.write_all(b"PUT /v1/key/encrypt/-bad HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
        // The body comes in a packet of its own.
        tokio::task::yield_now().await;
        stream.write_all(b"{}").await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.expect("it is answered");
        assert_eq!(answer, b"HTTP/1.1 400");
        let mut rest = Vec::new();
        while !rest.ends_with(b"}") {
            rest.push(stream.read_u8().await.expect("the answer has a message"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_answer_a_long_head_alike() {
    let cluster = cluster(1, |_| {}).await;
    let target = format!("/v1/key/describe/{}", "a".repeat(40_000));
    let client = Client::new(Some(ApiKey::parse(super::ADMIN_KEY).credential()));
    for version in [Http::One, Http::Two] {
        let answer = http::send(&cluster.endpoint(0), &client, version, &Request::new("GET", &target, None)).await;
        let answer = answer.expect("it is answered");
        assert_eq!(answer.status, 400, "{version:?}");
        assert!(answer.text().contains("is empty, too long or contains invalid characters"), "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_too_long_head_has_the_status_of_its_answer() {
    let cluster = cluster(1, |_| {}).await;
    let client = Client::new(Some(ApiKey::parse(super::ADMIN_KEY).credential()));
    let mut seen = Vec::new();
    for (target, header) in [("a".repeat(65_535), 0), ("a".repeat(10), 66_000)] {
        let mut stream = cluster.admin().connect(0).await;
        let head = format!("GET /{target} HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "y".repeat(header));
        // The node may close before the client has written all of it.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.expect("it is answered");
        seen.push(String::from_utf8_lossy(&answer[9..]).into_owned());
    }
    assert!(seen.iter().all(|status| status == "414" || status == "431"), "{seen:?}");
    let last = Request::new("GET", "/v1/log/audit?tail=9&follow=false", None);
    let recorded = async || {
        let lines = http::send(&cluster.endpoint(0), &client, Http::One, &last).await.expect("it is answered").text();
        seen.iter().all(|status| lines.contains(&format!(r#""code":{status}"#))).then_some(())
    };
    cluster.wait_for("the records", recorded).await;
}
