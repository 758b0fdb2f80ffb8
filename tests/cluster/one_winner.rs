//! When several nodes create one name at a time, exactly one create wins, and all nodes have the same key afterwards.

use futures::future::join_all;

use super::nodes;
use crate::support::cluster::TestCluster;

const NAMES: usize = 40;
/// How many creates of one name each node gets.
const EACH: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_create_of_a_name_wins() {
    let cluster = nodes().await;
    for names in (0..NAMES).collect::<Vec<_>>().chunks(5) {
        join_all(names.iter().map(|number| contend(&cluster, format!("key-{number}")))).await;
    }
    cluster.assert_equal_digests().await;
}

async fn contend(cluster: &TestCluster, name: String) {
    let user = cluster.admin();
    let creates = cluster.all().flat_map(|node| [node; EACH]);
    let answers = join_all(creates.map(|node| user.create(node, &name))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{name}: {answers:?}");
    for refusal in answers.into_iter().filter_map(Result::err) {
        assert!(refusal.is(400, "key already exists"), "{name}: {refusal:?}");
    }
    let key = user.generate(0, &name).await.expect("the key is there");
    for node in cluster.all() {
        assert_eq!(user.decrypt(node, &key).await.as_ref(), Ok(&key.plaintext), "{name} on node {node}");
    }
}
