//! The keys of the configuration file exist on every node before any listener opens, and are the same everywhere.

use super::nodes_with;
use crate::support::api_key::ApiKey;
use crate::support::cluster::TestCluster;
use crate::support::settings::{ADMIN_KEY, node_count};

const KEYS: [&str; 3] = ["first", "second", "third"];

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_the_file_exist_when_the_listener_opens() {
    let keys = || KEYS.map(str::to_owned).to_vec();
    let admin = ApiKey::parse(ADMIN_KEY);
    let mut cluster = TestCluster::prepare(node_count(), &admin, |config, _| config.keys = keys());
    cluster.begin_all().await;
    let user = cluster.admin();
    // The keys exist when the first listener answers, whichever node it belongs to.
    let first = cluster.wait_for("a listener", async || {
        let asked = futures::future::join_all(cluster.all().map(|node| user.generate(node, KEYS[2]))).await;
        asked.into_iter().find(|answer| answer.as_ref().map_or_else(|refusal| refusal.status.is_some(), |_| true))
    });
    let first = first.await.expect("the key is there as soon as the listener is");
    for node in cluster.all() {
        cluster.wait_until_serving(node).await;
        user.assert_decrypts(node, std::slice::from_ref(&first)).await;
    }
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_the_file_are_created_once() {
    let mut cluster = nodes_with(|config| config.keys = KEYS.map(str::to_owned).to_vec()).await;
    let user = cluster.admin();
    let mut keys = Vec::new();
    for name in KEYS {
        keys.push(user.generate(0, name).await.expect("the key is there"));
    }
    cluster.stop_all().await;
    cluster.config_mut(1).keys.push("fourth".into());
    cluster.start_all().await;
    for node in cluster.all() {
        user.assert_decrypts(node, &keys).await;
        user.generate(node, "fourth").await.expect("one node's file asks for it");
    }
    let listed = user.ask(2, "GET", "/v1/key/list/", None).await.expect("the keys are listed");
    assert_eq!(listed["names"], serde_json::json!(["first", "fourth", "second", "third"]));
    cluster.assert_equal_digests().await;
}
