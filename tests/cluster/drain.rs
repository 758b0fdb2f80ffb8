//! A node that stops closes its listener first, finishes the requests in flight, and hands leadership over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::nodes;
use crate::support::api_key::ApiKey;
use crate::support::connection::Client;
use crate::support::http::Http;
use crate::support::settings::ADMIN_KEY;
use crate::support::user::User;

#[tokio::test(flavor = "multi_thread")]
async fn no_write_fails_on_a_client_that_tries_another_node() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let over = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(keep_creating(user.clone(), cluster.all().len(), Arc::clone(&over)));
    for _ in 0..3 {
        let leader = cluster.leader().await;
        let term = cluster.local_status(leader).await.expect("the node answers")["term"].clone();
        cluster.stop(leader).await;
        let successor = cluster.leader().await;
        let status = cluster.local_status(successor).await.expect("the node answers");
        assert!(successor != leader && status["term"].as_u64() > term.as_u64());
        cluster.start_nodes(&[leader]).await;
    }
    over.store(true, Ordering::Relaxed);
    let written = writing.await.expect("no write fails");
    assert!(written > 0);
    for name in (0..written).map(|number| format!("key-{number}")) {
        user.generate(cluster.in_turn(written), &name).await.expect("an acknowledged key exists");
    }
    cluster.assert_equal_digests().await;
}

/// Creates keys until `over` is set. Returns how many.
async fn keep_creating(user: User, nodes: usize, over: Arc<AtomicBool>) -> usize {
    let mut done = 0;
    while !over.load(Ordering::Relaxed) {
        user.create_somewhere(done % nodes, &format!("key-{done}")).await;
        done += 1;
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_finished_while_the_listener_is_closed() {
    let mut cluster = nodes().await;
    cluster.admin().create(0, "key").await.expect("the key is new");
    let leader = cluster.leader().await;
    let endpoint = cluster.endpoint(leader);
    let client = Client::new(Some(ApiKey::parse(ADMIN_KEY).credential()));
    let mut stream = client.connect(&endpoint, Http::One).await.expect("the node serves");
    let body = r#"{"plaintext": "aGVsbG8="}"#;
    let head = format!(
        "PUT /v1/key/encrypt/key HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("the node reads");
    // The node has begun with the request once it asks for the body.
    let mut continued = [0; 25];
    stream.read_exact(&mut continued).await.expect("the node answers");
    assert_eq!(&continued[..], b"HTTP/1.1 100 Continue\r\n\r\n");
    let finish = async {
        while TcpStream::connect(endpoint.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        stream.write_all(body.as_bytes()).await.expect("the node still reads");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).expect("an answer is text")
    };
    let ((), answer) = tokio::join!(cluster.stop(leader), finish);
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert_ne!(cluster.leader().await, leader);
    cluster.assert_equal_digests().await;
}
