//! A revocation waits until the lease of a paused node is over, and the node then serves nothing that was revoked.

use std::time::Duration;

use keyraft::clock;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::api_key::ApiKey;
use crate::support::connection::Client;
use crate::support::http::Request;
use crate::support::http1;
use crate::support::processes::Processes;
use crate::support::settings::{APP, APP_KEY};
use crate::support::status;

/// How many requests of each kind wait in the sockets of the paused node from before the revocations, and as many from
/// after them.
const REQUESTS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_node_never_serves_after_an_acknowledged_revocation() {
    let processes = Processes::start_with(&[("offline:", "0s"), ("audit: off", "on")]).await;
    for pauses_leader in [false, true] {
        let leader = processes.leader().await;
        let paused = if pauses_leader { leader } else { (leader + 1) % 3 };
        assert_serves_nothing_revoked(&processes, paused).await;
        status::assert_equal_digests(&processes.data_folders()).await;
    }
}

async fn assert_serves_nothing_revoked(processes: &Processes, paused: usize) {
    let (admin, asked) = (processes.admin(), (paused + 1) % 3);
    let app = processes.user(Client::new(Some(ApiKey::parse(APP_KEY).credential())));
    let [deleted, kept, policy] = ["deleted", "kept", "policy"].map(|what| format!("{what}-{paused}"));
    for name in [&deleted, &kept] {
        admin.create(asked, name).await.expect("the key is new");
    }
    let write = async |method, target: String, body: Option<Value>| {
        admin
            .ask(asked, method, &target, body.as_ref())
            .await
            .unwrap_or_else(|refusal| panic!("{target}: {refusal:?}"));
    };
    write("PUT", format!("/v1/policy/create/{policy}"), Some(json!({"allow": {"/v1/key/generate/*": {}}}))).await;
    write("PUT", format!("/v1/identity/create/{APP}"), Some(json!({"policy": policy}))).await;
    // The node has the opened keys in its cache.
    app.generate(paused, &deleted).await.expect("the key is there");
    app.generate(paused, &kept).await.expect("the key is there");
    let mut sent = Vec::new();
    for (user, name) in [(&admin, &deleted), (&app, &kept)].into_iter().cycle().take(4 * REQUESTS) {
        sent.push((user.connect(paused).await, generate(name)));
    }
    let held_until_s = admin.metric(paused, "keyraft_lease_until_seconds").await;
    processes.pause(paused).await;
    send(&mut sent[..2 * REQUESTS]).await;
    write("DELETE", format!("/v1/key/delete/{deleted}"), None).await;
    let acknowledged_s = Duration::from_nanos(clock::boot_ns().unsigned_abs()).as_secs_f64();
    write("DELETE", format!("/v1/policy/delete/{policy}"), None).await;
    send(&mut sent[2 * REQUESTS..]).await;
    processes.go_on(paused);
    for (mut stream, request) in sent {
        if let Ok(answer) = http1::finish(&mut stream).await {
            let (status, text) = (answer.status, answer.text());
            assert!(matches!(status, 403 | 404 | 503), "it does what was revoked: {} {status} {text}", request.target);
        }
    }
    assert!(acknowledged_s >= held_until_s, "acknowledged at {acknowledged_s}, under a lease until {held_until_s}");
    status::wait_for_state(&processes.data(paused), "serving").await;
    for (user, name, status) in [(&admin, &deleted, 404), (&app, &kept, 403)] {
        let refused = async || user.generate(paused, name).await.err().filter(|it| it.status == Some(status));
        status::wait_for("the node to serve", &[], refused).await;
    }
    for path in [format!("/v1/key/delete/{deleted}"), format!("/v1/policy/delete/{policy}")] {
        let audited = async || processes.log(asked).lines().find(|line| line.contains(&path)).map(str::to_owned);
        let record = status::wait_for("the audit record", &[], audited).await;
        assert!(record.contains(&format!(r#""not_applied":["node-{}"]"#, paused + 1)), "{record}");
    }
}

fn generate(name: &str) -> Request {
    Request::new("PUT", &format!("/v1/key/generate/{name}"), Some("{}"))
}

async fn send(requests: &mut [(TlsStream<TcpStream>, Request)]) {
    for (stream, request) in requests {
        http1::begin(stream, request).await.expect("the socket takes it");
    }
}
