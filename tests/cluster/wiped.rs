//! A node that lost its disk must not come back under its old id, because it would vote with fewer entries than it
//! acknowledged.

use std::fs;

use serde_json::{Value, json};

use super::nodes;
use super::waiting::wait_until_waiting_for;

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_is_refused_and_the_cluster_goes_on() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 10).await;
    let wiped = cluster.leader().await;
    cluster.kill(wiped).await;
    fs::remove_dir_all(cluster.data(wiped)).expect("the folder is there");
    cluster.begin_nodes(&[wiped]).await;
    let words = ["belongs to a cluster that has begun", "Never put back a copy or a backup"];
    let status = wait_until_waiting_for(&cluster, wiped, &words).await;
    assert_eq!((&status["node"]["state"], &status["cluster_id"]), (&json!("starting"), &Value::Null), "{status}");
    let survivors = cluster.others(wiped);
    let survivor = cluster.leader_of(&survivors).await;
    user.create(survivor, "after").await.expect("the others go on");
    user.assert_decrypts(survivor, &keys).await;
    cluster.assert_equal_digests_of(&survivors).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_never_votes_while_it_cannot_ask() {
    let mut cluster = nodes().await;
    cluster.admin().create_many("before", 3).await;
    let leader = cluster.leader().await;
    let followers = cluster.others(leader);
    let (wiped, few) = (followers[0], &followers[1..cluster.quorum()]);
    cluster.kill_all().await;
    fs::remove_dir_all(cluster.data(wiped)).expect("the folder is there");
    // With the vote of the wiped node, the other followers would be a quorum, and one of them would lead without entries
    // that the leader may have committed.
    cluster.begin_nodes(&[&[wiped], few].concat()).await;
    wait_until_waiting_for(&cluster, wiped, &["belongs to a cluster that has begun"]).await;
    for &node in few {
        let status = cluster.local_status(node).await.expect("the node answers");
        assert_eq!((&status["leader"], &status["node"]["state"]), (&Value::Null, &json!("starting")));
    }
    cluster.start_nodes(&[leader]).await;
    for &node in few {
        cluster.wait_until_serving(node).await;
    }
    cluster.assert_equal_digests_of(&[&[leader], few].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_node_record_is_refused() {
    let mut cluster = nodes().await;
    cluster.admin().create_many("before", 3).await;
    let node = cluster.follower().await;
    cluster.stop(node).await;
    let data = cluster.data(node).to_owned();
    let (record, aside) = (data.join("node.record"), data.join("aside"));
    fs::rename(&record, &aside).expect("the file is there");
    cluster.begin_nodes(&[node]).await;
    let why = cluster.ended(node).await.to_string();
    assert!(why.contains("it holds a log, but no node.record"), "{why}");
    // At last, only `cluster.id` is left.
    for folder in ["log", "keystore", "snapshots"] {
        fs::remove_dir_all(data.join(folder)).expect("the folder is there");
    }
    cluster.begin_nodes(&[node]).await;
    let why = cluster.ended(node).await.to_string();
    assert!(why.contains("holds a keystore, snapshots or cluster.id, but no log"), "it says what is wrong: {why}");
    cluster.assert_equal_digests().await;
}

/// No other node has what a node lost that is alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_node_of_a_cluster_is_refused_without_its_log() {
    let mut cluster = super::cluster(1, |_| {}).await;
    cluster.admin().create_many("before", 3).await;
    cluster.stop(0).await;
    fs::remove_dir_all(cluster.data(0).join("log")).expect("the folder is there");
    cluster.begin_nodes(&[0]).await;
    let why = cluster.ended(0).await.to_string();
    assert!(why.contains("holds a keystore, snapshots or cluster.id, but no log"), "it says what is wrong: {why}");
}
