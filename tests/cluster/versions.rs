//! The versions of a key are the same on every node at once, and survive restarts.

use std::time::Duration;

use serde_json::{Value, json};

use super::nodes;
use crate::support::links::Links;
use crate::support::user::{DataKey, User};

const DISABLED: &str = "key version is disabled";

async fn rotate(user: &User, node: usize, name: &str) -> Value {
    user.ask(node, "PUT", &format!("/v1/key/rotate/{name}"), None).await.expect("it is rotated")["version"].clone()
}

async fn hmac(user: &User, node: usize) -> Value {
    let body = json!({"message": "aGVsbG8="});
    user.ask(node, "PUT", "/v1/key/hmac/k", Some(&body)).await.expect("it has an HMAC key")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_uses_a_new_version_and_decrypts_all_older_ones() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    user.create(0, "k").await.expect("it is created");
    let first_hmac = hmac(&user, 0).await;
    let mut made: Vec<DataKey> = Vec::new();
    for version in 1..=6 {
        for node in cluster.all() {
            made.push(user.generate(node, "k").await.expect("it is generated"));
        }
        assert_eq!(rotate(&user, cluster.in_turn(version), "k").await, json!(format!("v{}", version + 1)));
    }
    for node in cluster.all() {
        user.assert_decrypts(node, &made).await;
        assert_eq!(hmac(&user, node).await, first_hmac);
    }
    cluster.assert_equal_digests().await;
    cluster.stop_all().await;
    cluster.start_all().await;
    user.assert_decrypts(1, &made).await;
    let versions = user.ask(2, "GET", "/v1/key/versions/k", None).await.expect("it has versions");
    assert_eq!(versions["versions"].as_array().map(Vec::len), Some(7), "{versions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_concurrent_rotations_makes_a_version() {
    let cluster = nodes().await;
    let user = cluster.admin();
    user.create(0, "k").await.expect("it is created");
    let rotations = futures::future::join_all((0..12).map(|number| rotate(&user, cluster.in_turn(number), "k"))).await;
    let mut numbers: Vec<u32> = rotations
        .iter()
        .map(|version| version.as_str().and_then(|text| text[1..].parse().ok()).expect("a version"))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=13).collect::<Vec<_>>());
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_version_is_disabled_on_every_node_once_that_is_acknowledged() {
    let cluster = nodes().await;
    let user = cluster.admin();
    user.create(0, "k").await.expect("it is created");
    let old = user.generate(0, "k").await.expect("it is generated");
    rotate(&user, 1, "k").await;
    for (round, node) in cluster.all().enumerate() {
        let version = json!({"version": "v1"});
        user.ask(node, "PUT", "/v1/key/disable/k", Some(&version)).await.expect("it is disabled");
        for other in cluster.all() {
            let refusal = user.decrypt(other, &old).await.expect_err("it is disabled");
            assert!(refusal.is(409, DISABLED), "round {round}, node {other}: {refusal:?}");
        }
        user.ask(node, "PUT", "/v1/key/enable/k", Some(&version)).await.expect("it is enabled");
        user.assert_decrypts(node, std::slice::from_ref(&old)).await;
    }
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_of_a_key_is_known_on_its_node_and_everywhere_once_that_node_stops() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    user.create(0, "k").await.expect("it is created");
    let last_used = async |node| {
        let versions = user.ask(node, "GET", "/v1/key/versions/k", None).await.expect("it has versions");
        versions["last_used"].clone()
    };
    assert_eq!(last_used(1).await, Value::Null, "nobody has used it");
    user.generate(1, "k").await.expect("it is generated");
    let noted = last_used(1).await;
    assert!(noted.is_string());
    cluster.stop(1).await;
    assert_eq!(last_used(0).await, noted);
    cluster.assert_equal_digests().await;
}

/// A 400 is final for a client, so it must not come from a node that cannot know.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_node_does_not_call_a_ciphertext_of_an_unknown_version_forged() {
    let mut cluster = nodes().await;
    cluster.stop_all().await;
    let links = Links::between_all(&mut cluster).await;
    cluster.all().for_each(|node| cluster.config_mut(node).consistency.lease = Duration::from_millis(500));
    cluster.start_all().await;
    let user = cluster.admin();
    user.create(0, "k").await.expect("it is created");
    let old = user.generate(2, "k").await.expect("it is generated");
    links.isolate(2);
    cluster.wait_for_state(2, "isolated").await;
    rotate(&user, 0, "k").await;
    let new = user.generate(0, "k").await.expect("it is generated");
    let refusal = user.decrypt(2, &new).await.expect_err("it has not heard of that version");
    assert_eq!(refusal.status, Some(503), "another node may know: {refusal:?}");
    user.assert_decrypts(2, std::slice::from_ref(&old)).await;
    let garbage = DataKey { ciphertext: old.ciphertext.replace(&old.ciphertext[..8], "AAAAAAAA"), ..old };
    assert_eq!(user.decrypt(2, &garbage).await.expect_err("it was altered").status, Some(400));
    links.mend();
    cluster.wait_for("the node to hear of it", async || user.decrypt(2, &new).await.ok()).await;
    cluster.assert_equal_digests().await;
}
