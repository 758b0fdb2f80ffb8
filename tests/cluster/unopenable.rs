//! A record that opens on no node costs that key alone, and the node never serves it.

use serde_json::json;

use super::nodes;
use crate::support::stored;
use crate::support::user::{Refusal, User};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_opens_nowhere_affects_only_its_key() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("key", 10).await;
    // Stop all first: a node that differs from the others would not stay up.
    cluster.stop_all().await;
    for node in cluster.all() {
        stored::alter_record(cluster.data(node), &cluster.certificates().file("root.key"), "key-3", 1);
    }
    cluster.start_all().await;
    let rest: Vec<_> = keys.iter().filter(|key| key.name != "key-3").cloned().collect();
    for node in cluster.all() {
        for refusal in futures::future::join_all((0..8).map(|_| refusal(&user, node))).await {
            assert!(refusal.is(409, "key cannot be opened"), "{refusal:?}");
        }
        user.assert_decrypts(node, &rest).await;
    }
    // A client may still delete the key.
    user.delete(0, "key-3").await.expect("a key that does not open can be deleted");
    user.create(1, "key-3").await.expect("and made again");
    user.generate(2, "key-3").await.expect("and used");
    cluster.assert_equal_digests().await;
}

async fn refusal(user: &User, node: usize) -> Refusal {
    let asked = user.ask(node, "PUT", "/v1/key/generate/key-3", Some(&json!({}))).await;
    asked.expect_err("a record that does not open is never served")
}
