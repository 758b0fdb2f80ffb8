//! With a deletion window, a deleted key is gone for all clients, can be restored as it was, and is removed when its
//! time has come.

use std::time::Duration;

use serde_json::{Value, json};

use super::nodes_with;
use crate::support::cluster::TestCluster;
use crate::support::user::{Refusal, User};

const GONE: &str = "key does not exist";

async fn with_window(window: Duration) -> TestCluster {
    nodes_with(|config| config.deletion_window = window).await
}

async fn restore(user: &User, node: usize) -> Result<Value, Refusal> {
    user.ask(node, "PUT", "/v1/key/restore/k", None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_is_gone_everywhere_and_comes_back_with_all_its_versions() {
    let mut cluster = with_window(Duration::from_secs(3600)).await;
    let user = cluster.admin();
    user.create(0, "k").await.expect("it is created");
    let mut made = vec![user.generate(0, "k").await.expect("it is generated")];
    user.ask(1, "PUT", "/v1/key/rotate/k", None).await.expect("it is rotated");
    made.push(user.generate(2, "k").await.expect("it is generated"));
    user.delete(1, "k").await.expect("it is deleted");
    for node in cluster.all() {
        let refused = [
            user.generate(node, "k").await.expect_err("it is deleted"),
            user.decrypt(node, &made[0]).await.expect_err("it is deleted"),
            user.delete(node, "k").await.expect_err("it is deleted"),
            user.ask(node, "GET", "/v1/key/describe/k", None).await.expect_err("it is deleted"),
            user.ask(node, "PUT", "/v1/key/rotate/k", None).await.expect_err("it is deleted"),
        ];
        assert!(refused.iter().all(|refusal| refusal.is(404, GONE)), "node {node}: {refused:?}");
        let listed = user.ask(node, "GET", "/v1/key/list/", None).await.expect("keys are listed");
        assert_eq!(listed["names"], json!([]));
        let taken = user.create(node, "k").await.expect_err("its name is taken");
        assert_eq!(taken.status, Some(409), "{taken:?}");
        assert!(taken.message.contains("restored until 2") && taken.message.contains("restore it"), "{taken:?}");
        assert!(!taken.message.contains("purge"), "a purge loses what the key opens: {taken:?}");
    }
    cluster.assert_equal_digests().await;
    cluster.stop_all().await;
    cluster.start_all().await;
    restore(&user, 2).await.expect("it is restored");
    for node in cluster.all() {
        user.assert_decrypts(node, &made).await;
    }
    assert_eq!(restore(&user, 0).await.expect_err("it lives").status, Some(404));
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_key_is_gone_and_its_name_is_free() {
    let cluster = with_window(Duration::from_secs(3600)).await;
    let user = cluster.admin();
    user.create(0, "k").await.expect("it is created");
    let lost = user.generate(0, "k").await.expect("it is generated");
    let purge = async |node| user.ask(node, "DELETE", "/v1/key/purge/k", None).await;
    assert_eq!(purge(0).await.expect_err("it lives").status, Some(404));
    user.delete(0, "k").await.expect("it is deleted");
    purge(1).await.expect("it is purged");
    assert_eq!(restore(&user, 2).await.expect_err("it is purged").status, Some(404));
    user.create(2, "k").await.expect("the name is free");
    assert_eq!(user.decrypt(0, &lost).await.expect_err("another key").status, Some(400));
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_removed_on_time_although_leaders_change() {
    let mut cluster = with_window(Duration::from_secs(2)).await;
    let user = cluster.admin();
    for name in ["k", "other"] {
        user.create(0, name).await.expect("it is created");
        user.delete(1, name).await.expect("it is deleted");
    }
    let leader = cluster.leader().await;
    cluster.kill(leader).await;
    cluster.start_nodes(&[leader]).await;
    cluster.wait_for("the removal", async || user.create(leader, "k").await.ok()).await;
    cluster.wait_for("the other removal", async || user.create(leader, "other").await.ok()).await;
    cluster.assert_equal_digests().await;
}
