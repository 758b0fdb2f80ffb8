//! Acknowledged writes survive restarts, crashes, and a power cut of all nodes.

use super::nodes;
use crate::support::cluster::TestCluster;
use crate::support::user::DataKey;

async fn assert_all_there(cluster: &TestCluster, keys: &[DataKey]) {
    for node in cluster.running() {
        cluster.admin().assert_decrypts(node, keys).await;
    }
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_restarts_lose_nothing() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let mut keys = user.create_many("before", 30).await;
    for node in cluster.all() {
        if node == 1 {
            cluster.kill(node).await;
        } else {
            cluster.stop(node).await;
        }
        for (number, other) in cluster.others(node).into_iter().enumerate() {
            let name = format!("without-{node}-{number}");
            user.create_somewhere(other, &name).await;
            keys.push(user.generate(other, &name).await.expect("the key is there"));
        }
        cluster.start_nodes(&[node]).await;
        assert_all_there(&cluster, &keys).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_of_all_nodes_loses_nothing_and_needs_no_repair() {
    let mut cluster = nodes().await;
    let mut keys = cluster.admin().create_many("before", 60).await;
    cluster.kill_all().await;
    cluster.start_all().await;
    assert_all_there(&cluster, &keys).await;
    keys.extend(cluster.admin().create_many("between", 20).await);
    cluster.stop_all().await;
    cluster.start_all().await;
    keys.extend(cluster.admin().create_many("after", 20).await);
    assert_all_there(&cluster, &keys).await;
}
