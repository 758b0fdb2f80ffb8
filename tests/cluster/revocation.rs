//! Once a revocation is acknowledged, no node that holds a lease serves the revoked key or right.

use std::time::Duration;

use futures::future::join_all;
use keyraft::clock;
use keyraft::config::Config;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{nodes, nodes_with};
use crate::support::api_key::ApiKey;
use crate::support::cluster::TestCluster;
use crate::support::connection::Client;
use crate::support::http1;
use crate::support::links::Links;
use crate::support::settings::{APP, APP_KEY};
use crate::support::user::{Refusal, User};

const KEYS: usize = 24;
const FORBIDDEN: &str = "not authorized: insufficient permissions";

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_is_gone_on_every_node_at_once() {
    let cluster = nodes().await;
    let user = cluster.admin();
    user.create_many("key", KEYS).await;
    let names: Vec<_> = (0..KEYS).map(|number| format!("key-{number}")).collect();
    for node in cluster.all() {
        join_all(names.iter().map(|name| user.generate(node, name))).await;
    }
    join_all(names.iter().enumerate().map(async |(number, name)| {
        user.delete(cluster.in_turn(number), name)
            .await
            .unwrap_or_else(|refusal| panic!("{name} is there: {refusal:?}"));
        for answer in join_all(cluster.all().map(|node| user.generate(node, name))).await {
            let refusal = answer.expect_err("the key is deleted");
            assert!(refusal.is(404, "key does not exist"), "{refusal:?}");
        }
    }))
    .await;
    for node in cluster.all() {
        assert!(user.metric(node, "keyraft_fence_waits_total").await > 0.0, "every node was asked");
        assert!(user.metric(node, "keyraft_fence_wait_seconds_total").await > 0.0);
    }
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_policy_permits_nothing_on_any_node_at_once() {
    let cluster = nodes().await;
    let (admin, app) = (cluster.admin(), cluster.user(Client::new(Some(ApiKey::parse(APP_KEY).credential()))));
    admin.create(0, "my-app-key").await.expect("the key is new");
    let bound = json!({"policy": "app"});
    for round in 0..9 {
        let revoke = [("policy/assign/empty", "PUT"), ("identity/delete/", "DELETE"), ("policy/write/app", "PUT")];
        let (path, method) = revoke[round % 3];
        let (target, body) = match path {
            "identity/delete/" => (format!("/v1/{path}{APP}"), None),
            "policy/write/app" => (format!("/v1/{path}"), Some(json!({"allow": {"/v1/status": {}}}))),
            path => (format!("/v1/{path}"), Some(json!({"identity": APP}))),
        };
        for node in cluster.all() {
            app.generate(node, "my-app-key").await.expect("the policy allows it, as was acknowledged");
        }
        admin.ask(cluster.in_turn(round), method, &target, body.as_ref()).await.expect("the admin may");
        for answer in join_all(cluster.all().map(|node| app.generate(node, "my-app-key"))).await {
            let refusal = answer.expect_err("it is revoked");
            assert!(refusal.is(403, FORBIDDEN), "{path}: {refusal:?}");
        }
        let allow = json!({"allow": {"/v1/key/generate/my-app*": {}}});
        let (target, body) = match path {
            "identity/delete/" => (format!("/v1/identity/create/{APP}"), &bound),
            "policy/write/app" => ("/v1/policy/write/app".to_owned(), &allow),
            _ => ("/v1/policy/assign/app".to_owned(), &json!({"identity": APP})),
        };
        admin.ask(cluster.in_turn(round + 1), "PUT", &target, Some(body)).await.expect("the admin may");
    }
    cluster.assert_equal_digests().await;
}

/// A client must not keep a permit by sending its body late.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_withdrawn_before_the_body_comes_permits_nothing() {
    let cluster = nodes().await;
    let (admin, app) = (cluster.admin(), cluster.user(Client::new(Some(ApiKey::parse(APP_KEY).credential()))));
    admin.create(0, "my-app-key").await.expect("the key is new");
    for node in cluster.all() {
        let mut stream = app.connect(node).await;
        let head = "PUT /v1/key/generate/my-app-key HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                    Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("the node reads");
        // The node has permitted the request once it asks for the body.
        let mut continued = [0; 25];
        stream.read_exact(&mut continued).await.expect("the node answers");
        assert_eq!(&continued[..], b"HTTP/1.1 100 Continue\r\n\r\n");
        admin
            .ask(cluster.in_turn(node + 1), "PUT", "/v1/policy/assign/empty", Some(&json!({"identity": APP})))
            .await
            .expect("may");
        stream.write_all(b"{}").await.expect("the node reads");
        let answer = http1::finish(&mut stream).await.expect("the node answers");
        assert_eq!(answer.status, 403, "{}", answer.text());
        admin
            .ask(cluster.in_turn(node + 1), "PUT", "/v1/policy/assign/app", Some(&json!({"identity": APP})))
            .await
            .expect("may");
        app.generate(node, "my-app-key").await.expect("it is permitted again");
    }
}

/// Nodes, with links between them, and a follower.
async fn with_links(offline: Duration) -> (TestCluster, Links, usize) {
    with_links_and(|config| config.consistency.offline = offline).await
}

/// Nodes, each with its configuration as `adjust` leaves it, with links between them, and a follower.
async fn with_links_and(adjust: impl Fn(&mut Config)) -> (TestCluster, Links, usize) {
    let mut cluster = nodes_with(adjust).await;
    let alone = cluster.follower().await;
    cluster.stop_all().await;
    let links = Links::between_all(&mut cluster).await;
    cluster.start_all().await;
    while cluster.leader().await == alone {
        cluster.stop(alone).await;
        cluster.start_nodes(&[alone]).await;
    }
    (cluster, links, alone)
}

/// The earliest end of a node's lease, in seconds since this machine booted.
async fn held_until(user: &User, node: usize) -> f64 {
    user.metric(node, "keyraft_lease_until_seconds").await
}

fn now() -> f64 {
    Duration::from_nanos(clock::boot_ns().unsigned_abs()).as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_node_that_may_not_be_offline_stops_serving_before_a_deletion_is_acknowledged() {
    let (cluster, links, alone) = with_links(Duration::ZERO).await;
    let user = cluster.admin();
    let keys = user.create_many("key", 2).await;
    user.assert_decrypts(alone, &keys).await;
    let held_until = held_until(&user, alone).await;
    links.isolate(alone);
    user.delete(cluster.in_turn(alone + 1), "key-0").await.expect("the key is there");
    assert!(now() >= held_until, "the lease is over");
    for name in ["key-0", "key-1"] {
        let refusal = user.generate(alone, name).await.expect_err("the node serves nothing");
        assert!(refusal.moves_on(), "{name}: {refusal:?}");
    }
    cluster.wait_for_state(alone, "offline").await;
    let waited_out = user.metric(cluster.in_turn(alone + 1), "keyraft_fence_waited_out_total").await;
    assert!((waited_out - 1.0).abs() < f64::EPSILON, "{waited_out}");
    links.mend();
    cluster.wait_until_serving(alone).await;
    assert_gone(&user, alone, "key-0").await;
    user.assert_decrypts(alone, &keys[1..]).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_node_that_may_be_offline_serves_on_and_delays_only_one_deletion() {
    let (cluster, links, alone) = with_links(Duration::from_secs(3_600)).await;
    let user = cluster.admin();
    let keys = user.create_many("key", 3).await;
    // The node serves alone only keys that it has applied before.
    user.assert_decrypts(alone, &keys).await;
    let held_until = held_until(&user, alone).await;
    links.isolate(alone);
    user.delete(cluster.in_turn(alone + 1), "key-0").await.expect("the key is there");
    assert!(now() >= held_until, "the lease is over");
    user.delete(cluster.in_turn(alone + 2), "key-1").await.expect("the key is there");
    // It says that it may not know every revocation.
    user.assert_decrypts(alone, &keys).await;
    cluster.wait_for_state(alone, "isolated").await;
    links.mend();
    cluster.wait_for_state(alone, "serving").await;
    for name in ["key-0", "key-1"] {
        assert_gone(&user, alone, name).await;
    }
    user.assert_decrypts(alone, &keys[2..]).await;
    cluster.assert_equal_digests().await;
}

/// A client may learn that something is gone already, or remove the last of it. It may rely on that as much as the client
/// whose request came first.
#[tokio::test(flavor = "multi_thread")]
async fn no_client_learns_of_a_deletion_before_it_holds_everywhere() {
    let (cluster, links, alone) = with_links(Duration::ZERO).await;
    let user = cluster.admin();
    user.create_many("key", 1).await;
    let (first, second) = (cluster.in_turn(alone + 1), cluster.in_turn(alone + 2));
    let assign = (format!("/v1/identity/create/{APP}"), json!({"policy": "empty"}));
    for target in ["/v1/key/delete/key-0", "/v1/policy/delete/app", &format!("/v1/identity/delete/{APP}")] {
        if target.contains("identity") {
            user.ask(first, "PUT", &assign.0, Some(&assign.1)).await.expect("it went with its policy");
        }
        cluster.wait_until_serving(alone).await;
        let held_until = held_until(&user, alone).await;
        links.isolate(alone);
        let revoking = tokio::spawn({
            let (user, target) = (user.clone(), target.to_owned());
            async move { user.ask(first, "DELETE", &target, None).await.map(drop) }
        });
        // The second request comes when the first one is applied, or even before.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let refusal = user.ask(second, "DELETE", target, None).await.expect_err("it is gone");
        assert_eq!(refusal.status, Some(404), "{target}: {refusal:?}");
        assert!(now() >= held_until, "{target}: the client learns of it before the lease is over");
        drop(revoking.await.expect("it ends"));
        links.mend();
    }
    cluster.wait_until_serving(alone).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_acknowledged_no_sooner_than_the_deletion_before_it() {
    let (cluster, links, alone) = with_links_and(|config| config.deletion_window = Duration::from_secs(3_600)).await;
    let user = cluster.admin();
    user.create_many("key", 1).await;
    let held_until = held_until(&user, alone).await;
    links.isolate(alone);
    let deleting = tokio::spawn({
        let (user, node) = (user.clone(), cluster.in_turn(alone + 1));
        async move { user.delete(node, "key-0").await }
    });
    let purge = async || user.ask(cluster.in_turn(alone + 2), "DELETE", "/v1/key/purge/key-0", None).await.ok();
    cluster.wait_for("the key to be purged", purge).await;
    assert!(now() >= held_until, "the purge is acknowledged before the lease is over");
    deleting.await.expect("it ends").expect("the key was there");
    links.mend();
    cluster.wait_until_serving(alone).await;
    cluster.assert_equal_digests().await;
}

/// The leader dies after it has applied the deletion and before it acknowledges it. The next leader waits for the lease
/// of the dead one, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_survives_the_leader_that_waits_for_it() {
    let (mut cluster, links, alone) = with_links(Duration::ZERO).await;
    let user = cluster.admin();
    let keys = user.create_many("key", 2).await;
    user.assert_decrypts(alone, &keys).await;
    let leader = cluster.leader().await;
    let asked = cluster.others(leader).into_iter().find(|node| *node != alone).expect("a third node");
    let held_until = held_until(&user, leader).await;
    links.isolate(alone);
    let deleting = tokio::spawn({
        let user = user.clone();
        async move { user.delete(asked, "key-0").await }
    });
    cluster.wait_for("the deletion to be applied", async || user.generate(leader, "key-0").await.err()).await;
    let acknowledged_before = deleting.is_finished();
    cluster.kill(leader).await;
    links.mend();
    deleting.await.expect("it ends").expect("the others agree on it");
    assert!(now() >= held_until || acknowledged_before, "the lease of the dead leader is over");
    for node in cluster.others(leader) {
        let refusal = user.generate(node, "key-0").await.expect_err("the key is deleted");
        assert!(refusal.status.is_none_or(|status| status != 200), "{refusal:?}");
    }
    cluster.start_nodes(&[leader]).await;
    for node in cluster.all() {
        cluster.wait_until_serving(node).await;
        assert_gone(&user, node, "key-0").await;
        user.assert_decrypts(node, &keys[1..]).await;
    }
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_knows_of_a_deletion_before_it_serves() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("key", 6).await;
    for kills in [true, false] {
        let away = cluster.follower().await;
        if kills {
            cluster.kill(away).await;
        } else {
            cluster.stop(away).await;
        }
        let name = if kills { "key-0" } else { "key-1" };
        user.delete(cluster.in_turn(away + 1), name).await.expect("the key is there");
        cluster.begin_nodes(&[away]).await;
        let answer = cluster.wait_for("an answer", async || answered(user.generate(away, name).await)).await;
        assert!(answer.is(404, "key does not exist"), "{answer:?}");
    }
    cluster.wait_until_serving(0).await;
    user.assert_decrypts(0, &keys[2..]).await;
    cluster.assert_equal_digests().await;
}

/// A node's answer about a deleted key, once the node serves.
fn answered<T>(answer: Result<T, Refusal>) -> Option<Refusal> {
    answer.map_or_else(Some, |_| panic!("a deleted key is used")).filter(|refusal| !refusal.moves_on())
}

async fn assert_gone(user: &User, node: usize, name: &str) {
    let refusal = user.generate(node, name).await.expect_err("the key is deleted");
    assert!(refusal.is(404, "key does not exist"), "node {node}: {refusal:?}");
}
