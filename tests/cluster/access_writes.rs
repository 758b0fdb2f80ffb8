//! A change to policies and identities through any node holds on every node, at once and over restarts.

use futures::future::join_all;
use serde_json::{Value, json};

use super::nodes;
use crate::support::api_key::ApiKey;
use crate::support::connection::Client;
use crate::support::http::{self, Http, Request};
use crate::support::settings::{ADMIN_KEY, APP, APP_KEY, OPS, OPS_KEY};
use crate::support::user::User;

const FORBIDDEN: &str = "not authorized: insufficient permissions";

async fn write(admin: &User, node: usize, name: &str, body: Value) {
    admin.ask(node, "PUT", &format!("/v1/policy/write/{name}"), Some(&body)).await.expect("it is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_holds_on_every_node_once_it_is_acknowledged() {
    let mut cluster = nodes().await;
    let admin = cluster.admin();
    let app = cluster.user(Client::new(Some(ApiKey::parse(APP_KEY).credential())));
    for round in 0..9 {
        let (node, key) = (cluster.in_turn(round), format!("free-{round}"));
        write(&admin, node, "app", json!({"allow": {"/v1/key/create/free-*": {}}})).await;
        app.create(cluster.in_turn(node + 1), &key).await.expect("its policy allows it now");
        write(&admin, node, "app", json!({"allow": {"/v1/key/generate/*": {}}})).await;
        for other in cluster.all() {
            let refusal = app.create(other, &format!("late-{round}-{other}")).await.expect_err("not any more");
            assert!(refusal.is(403, FORBIDDEN), "round {round}, node {other}: {refusal:?}");
        }
    }
    cluster.assert_equal_digests().await;
    cluster.stop_all().await;
    cluster.start_all().await;
    app.generate(2, "free-0").await.expect("its policy allows it still");
    admin.ask(0, "DELETE", "/v1/policy/delete/app", None).await.expect("it is deleted");
    for node in cluster.all() {
        let refusal = app.generate(node, "free-0").await.expect_err("it has no policy");
        assert!(refusal.is(403, FORBIDDEN), "node {node}: {refusal:?}");
    }
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays_if_no_file_names_one() {
    let mut cluster = nodes().await;
    let ops = cluster.user(Client::new(Some(ApiKey::parse(OPS_KEY).credential())));
    let admin = cluster.admin();
    for identity in [OPS, APP] {
        admin.ask(0, "DELETE", &format!("/v1/identity/delete/{identity}"), None).await.expect("it is known");
        let body = json!({"admin": true});
        let path = format!("/v1/identity/create/{identity}");
        admin.ask(1, "PUT", &path, Some(&body)).await.expect("it becomes an admin");
    }
    cluster.stop_all().await;
    cluster.all().for_each(|node| cluster.config_mut(node).admin = None);
    cluster.start_all().await;
    let refusal = cluster.admin().create(0, "k").await.expect_err("no file names it any more");
    assert!(refusal.is(403, FORBIDDEN), "{refusal:?}");
    ops.ask(1, "DELETE", &format!("/v1/identity/delete/{APP}"), None).await.expect("another admin is left");
    let last = ops.ask(2, "DELETE", &format!("/v1/identity/delete/{OPS}"), None).await.expect_err("the last one");
    assert_eq!(last.status, Some(400), "{last:?}");
    assert!(last.message.contains("the last admin"), "{last:?}");
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_made_by_concurrent_creates_is_made_once() {
    let cluster = nodes().await;
    let admin = cluster.user(Client::new(Some(ApiKey::parse(ADMIN_KEY).credential())));
    let body = |node: usize| json!({"allow": [format!("/v1/key/create/by-{node}")]});
    let attempts = (0..12).map(|number| {
        let (admin, node, body) = (&admin, cluster.in_turn(number), body(number));
        async move { admin.ask(node, "PUT", "/v1/policy/create/p", Some(&body)).await }
    });
    let answers = futures::future::join_all(attempts).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    for refusal in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(refusal.is(400, "policy already exists"), "{refusal:?}");
    }
    cluster.assert_equal_digests().await;
}

/// Two clients that each change what they have read do not undo each other's changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_conditional_write_replaces_only_the_version_that_it_names() {
    let cluster = nodes().await;
    let client = Client::new(Some(ApiKey::parse(ADMIN_KEY).credential()));
    let send = async |node: usize, request: Request| {
        http::send(&cluster.endpoint(node), &client, Http::One, &request).await.expect("it is answered")
    };
    let read = async |node| send(node, Request::new("GET", "/v1/policy/read/app", None)).await;
    let write = async |node: usize, seen: &str| {
        let mut request = Request::new("PUT", "/v1/policy/write/app", Some(r#"{"allow":["/v1/status"]}"#));
        request.headers.push(("If-Match".to_owned(), seen.to_owned()));
        send(node, request).await
    };
    for round in 0..3 {
        let seen = read(round).await.header("etag").expect("a policy has one").to_owned();
        let answers = join_all((0..9).map(|writer| write(cluster.in_turn(writer), &seen))).await;
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(200), count(412)), (1, 8), "round {round}");
        assert_ne!(read(cluster.in_turn(round + 1)).await.header("etag"), Some(&*seen), "it is another policy now");
    }
    for never in ["\"00\"", "*", "", "W/\"x\""] {
        assert_eq!(write(0, never).await.status, 412, "{never}");
    }
    cluster.assert_equal_digests().await;
}
