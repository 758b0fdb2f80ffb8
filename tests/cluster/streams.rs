//! The log streams carry every event as it happens, to the clients that may listen, and end with the node.

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use super::cluster;
use crate::support::api_key::ApiKey;
use crate::support::cluster::TestCluster;
use crate::support::connection::Client;
use crate::support::http::Http;
use crate::support::settings::{ADMIN, ADMIN_KEY, OPS, OPS_KEY};

/// The path of requests that make many long lines, and how many the test sends at first: more than a listener may lag.
const STORM: &str = "/storm/";
const WAVE: usize = 7_000;
/// How many other requests may be lost beside them.
const OTHERS: usize = 20;

/// A stream that a client reads line by line.
pub struct Lines {
    pub content_type: String,
    /// The header of the answer.
    request_id: String,
    body: Incoming,
    read: Vec<u8>,
    /// Dropping it ends an HTTP/2 connection.
    _sender: Option<hyper::client::conn::http2::SendRequest<Empty<Bytes>>>,
}

impl Lines {
    /// Opens a stream as the holder of an API key. Returns once the head of the answer has come.
    pub async fn open(cluster: &TestCluster, node: usize, key: &str, http: Http, target: &str) -> Self {
        let client = Client::new(Some(ApiKey::parse(key).credential()));
        let endpoint = cluster.endpoint(node);
        let io = TokioIo::new(client.connect(&endpoint, http).await.expect("the node serves"));
        let request = hyper::Request::get(match http {
            Http::One => target.to_owned(),
            Http::Two => format!("https://{}{target}", endpoint.address),
        });
        let request = request.header("host", "localhost").body(Empty::new()).expect("a request");
        let (answer, sender) = match http {
            Http::One => {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("HTTP/1.1");
                tokio::spawn(connection);
                (sender.send_request(request).await.expect("an answer"), None)
            }
            Http::Two => {
                let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
                let (mut sender, connection) = handshake.await.expect("HTTP/2");
                tokio::spawn(connection);
                (sender.send_request(request).await.expect("an answer"), Some(sender))
            }
        };
        assert_eq!(answer.status(), 200);
        let header = |name| answer.headers()[name].to_str().expect("ASCII").to_owned();
        let (content_type, request_id) = (header("content-type"), header("keyraft-request-id"));
        Self { content_type, request_id, body: answer.into_body(), read: Vec::new(), _sender: sender }
    }

    /// The next event. `None` at the stream's end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("a line is JSON"));
            }
            let frame = self.body.frame().await?.expect("the stream ends cleanly");
            self.read.extend_from_slice(&frame.into_data().expect("data"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_carries_every_request_and_begins_with_its_own() {
    let cluster = cluster(1, |_| {}).await;
    for http in [Http::One, Http::Two] {
        for path in ["/v1/log/audit", "/v1/log/audit/", "/v1/log/audit/trace", "/v1/log/audit/trace/"] {
            let mut lines = Lines::open(&cluster, 0, ADMIN_KEY, http, path).await;
            assert_eq!(lines.content_type, "application/x-ndjson");
            let own = lines.next().await.expect("an event");
            assert_eq!(own["request"]["path"], path);
            assert_eq!(own["keyraft"], json!({"request_id": lines.request_id}));
            assert_eq!((&own["request"]["identity"], &own["response"]["code"]), (&ADMIN.into(), &200.into()));
            let refused = cluster.admin().ask(0, "GET", "/v1/key/describe/missing", None).await;
            assert_eq!(refused.expect_err("no key").status, Some(404));
            let seen = lines.next().await.expect("an event");
            assert_eq!(
                (&seen["request"]["path"], &seen["response"]["code"]),
                (&"/v1/key/describe/missing".into(), &404.into())
            );
            let fields: Vec<_> = seen.as_object().expect("an object").keys().collect();
            assert_eq!(
                fields,
                ["keyraft", "request", "response", "time"],
                "the contract's shape, and the request's id"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begins_with_the_last_events_and_can_end_after_them() {
    let cluster = cluster(1, |_| {}).await;
    let mut live = Lines::open(&cluster, 0, ADMIN_KEY, Http::One, "/v1/log/audit").await;
    for n in 0..3 {
        cluster.admin().create(0, &format!("key-{n}")).await.expect("a new key");
    }
    // Once a listener has the event, it is among the last events.
    while live.next().await.expect("an event")["request"]["path"] != "/v1/key/create/key-2" {}
    let mut some = Lines::open(&cluster, 0, ADMIN_KEY, Http::One, "/v1/log/audit?tail=2&follow=false").await;
    for n in 1..3 {
        let event = some.next().await.expect("an event");
        assert_eq!(event["request"]["path"], format!("/v1/key/create/key-{n}"));
    }
    assert_eq!(some.next().await, None);
    while live.next().await.expect("an event")["request"]["path"] != "/v1/log/audit" {}
    let mut following = Lines::open(&cluster, 0, ADMIN_KEY, Http::Two, "/v1/log/audit?tail=1").await;
    assert_eq!(following.next().await.expect("an event")["request"]["path"], "/v1/log/audit");
    let none = cluster.admin().ask(0, "GET", "/v1/log/error?follow=false&tail=0", None).await;
    assert_eq!(none, Ok(Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_permitted_clients_with_a_valid_query_get_a_stream() {
    let cluster = cluster(1, |_| {}).await;
    let ops = cluster.user(Client::new(Some(ApiKey::parse(OPS_KEY).credential())));
    let refusal = ops.ask(0, "GET", "/v1/log/error", None).await.expect_err("not in its policy");
    assert_eq!(refusal.status, Some(403));
    let mut lines = Lines::open(&cluster, 0, OPS_KEY, Http::One, "/v1/log/audit").await;
    while lines.next().await.expect("an event")["request"]["path"] != "/v1/log/audit" {}
    for bad in ["tail=-1", "follow=maybe", "cluster=1"] {
        let refusal = cluster.admin().ask(0, "GET", &format!("/v1/log/error?{bad}"), None).await.expect_err(bad);
        assert!(refusal.status == Some(400) && refusal.message.contains("or leave it out"), "{refusal:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_policy_that_permitted_it() {
    let cluster = cluster(1, |_| {}).await;
    let mut lines = Lines::open(&cluster, 0, OPS_KEY, Http::Two, "/v1/log/audit").await;
    while lines.next().await.expect("an event")["request"]["path"] != "/v1/log/audit" {}
    let nobody = json!({ "identity": OPS });
    cluster.admin().ask(0, "PUT", "/v1/policy/assign/empty", Some(&nobody)).await.expect("the admin may");
    cluster.admin().ask(0, "GET", "/v1/key/describe/after", None).await.expect_err("no key");
    while let Some(event) = lines.next().await {
        assert_ne!(event["request"]["path"], "/v1/key/describe/after", "it was revoked before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_at_once_when_the_node_stops() {
    // A stream that went on would hold up the stop for as long as this.
    let hour = std::time::Duration::from_secs(3_600);
    let mut cluster = cluster(1, |config| config.limits.drain_timeout = hour).await;
    let mut streams = Vec::new();
    for (http, path) in [(Http::One, "/v1/log/audit"), (Http::Two, "/v1/log/error"), (Http::Two, "/v1/log/audit/trace")]
    {
        streams.push(Lines::open(&cluster, 0, ADMIN_KEY, http, path).await);
    }
    cluster.stop(0).await;
    for mut lines in streams {
        while let Some(event) = lines.next().await {
            assert!(event["request"]["path"].is_string(), "{event}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_merges_all_nodes_and_reports_when_one_goes_and_returns() {
    let mut cluster = cluster(3, |_| {}).await;
    let mut lines = Lines::open(&cluster, 0, ADMIN_KEY, Http::Two, "/v1/log/audit?cluster=true").await;
    // One request to each node, the first since the head of the answer. The stream carries it, or says that the node's
    // part began late.
    for node in [1, 2, 0] {
        let (name, path) = (format!("node-{}", node + 1), format!("/v1/key/describe/of-{node}"));
        cluster.admin().ask(node, "GET", &path, None).await.expect_err("no key");
        loop {
            let event = lines.next().await.expect("an event");
            assert!(!event["notice"].as_str().is_some_and(|notice| notice.starts_with("the node is")), "{event}");
            if event["node"] == name.as_str() && event["notice"].is_string() {
                cluster.admin().ask(node, "GET", &path, None).await.expect_err("no key");
            }
            if event["node"] == name.as_str() && event["request"]["path"] == path.as_str() {
                break;
            }
        }
    }
    cluster.stop(2).await;
    let notice = async |lines: &mut Lines, what: &str| loop {
        let event = lines.next().await.expect("an event");
        if event["notice"].as_str().is_some_and(|notice| notice.starts_with(what)) {
            assert_eq!((&event["node"], &event["response"]["code"]), (&"node-3".into(), &0.into()));
            return;
        }
    };
    notice(&mut lines, "the node is away: ").await;
    cluster.start_nodes(&[2]).await;
    notice(&mut lines, "the node is back").await;
    cluster.admin().ask(2, "GET", "/v1/key/describe/after", None).await.expect_err("no key");
    while lines.next().await.expect("an event")["request"]["path"] != "/v1/key/describe/after" {}
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_events_of_all_nodes_come_in_order_and_missing_nodes_are_reported() {
    let mut cluster = cluster(3, |_| {}).await;
    for n in 0..9 {
        cluster.admin().create(n % 3, &format!("key-{n}")).await.expect("a new key");
    }
    cluster.stop(1).await;
    let target = "/v1/log/audit?cluster=true&follow=false&tail=256";
    let mut lines = Lines::open(&cluster, 0, ADMIN_KEY, Http::One, target).await;
    let (mut events, mut away) = (Vec::new(), Vec::new());
    while let Some(event) = lines.next().await {
        if event["notice"].is_string() { away.push(event) } else { events.push(event) }
    }
    assert!(away.len() == 1 && away[0]["node"] == "node-2", "{away:?}");
    let created: Vec<_> = events
        .iter()
        .filter_map(|event| event["request"]["path"].as_str()?.strip_prefix("/v1/key/create/key-"))
        .collect();
    assert_eq!(created, ["0", "2", "3", "5", "6", "8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_once_its_client_may_no_longer_listen() {
    let cluster = cluster(3, |_| {}).await;
    let mut lines = Lines::open(&cluster, 0, OPS_KEY, Http::Two, "/v1/log/audit").await;
    // This goes through another node. The node of the stream learns of it as any node does.
    let deleted = cluster.admin().ask(1, "DELETE", &format!("/v1/identity/delete/{OPS}"), None).await;
    deleted.expect("the identity is there");
    while lines.next().await.is_some() {}
}

/// Sends requests that each leave a long line, on one connection.
async fn storm(cluster: &TestCluster, node: usize, count: usize) {
    let (client, endpoint) = (Client::new(Some(ApiKey::parse(ADMIN_KEY).credential())), cluster.endpoint(node));
    let io = TokioIo::new(client.connect(&endpoint, Http::Two).await.expect("the node serves"));
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
    let (sender, connection) = handshake.await.expect("HTTP/2");
    tokio::spawn(connection);
    let target = format!("https://{}{STORM}{}", endpoint.address, "%01".repeat(1_000));
    let requests = stream::iter(0..count).for_each_concurrent(64, |_| {
        let request = hyper::Request::get(&target).body(Empty::<Bytes>::new()).expect("a request");
        let answer = sender.clone().send_request(request);
        async { assert_eq!(answer.await.expect("an answer").status(), 404) }
    });
    requests.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_learns_how_much_it_lost_of_each_node() {
    let cluster = cluster(3, |_| {}).await;
    for (target, node, name) in
        [("/v1/log/audit", 0, Value::Null), ("/v1/log/audit?cluster=true", 1, Value::from("node-2"))]
    {
        let mut lines = Lines::open(&cluster, 0, ADMIN_KEY, Http::One, target).await;
        let (mut sent, mut seen, mut lost) = (0, 0, 0);
        while lost == 0 {
            // The client does not read meanwhile. The system decides how much the sockets take, so each wave is larger.
            let wave = sent + WAVE;
            sent += wave;
            assert!(sent < 10 * WAVE, "{sent} lines and nothing was lost");
            storm(&cluster, node, wave).await;
            let last = format!("/v1/key/describe/after-{sent}");
            cluster.admin().ask(node, "GET", &last, None).await.expect_err("no key");
            loop {
                let event = lines.next().await.expect("an event");
                let path = event["request"]["path"].as_str().expect("a path");
                if let Some(more) = event["lost"].as_u64() {
                    assert_eq!((&event["node"], path), (&name, ""), "{event}");
                    lost += more;
                }
                seen += usize::from(path.starts_with(STORM));
                if path == last {
                    break;
                }
            }
        }
        let counted = seen + usize::try_from(lost).expect("a count");
        assert!(seen < sent && counted >= sent && counted <= sent + OTHERS, "{seen} seen, {lost} lost of {sent}");
    }
}
