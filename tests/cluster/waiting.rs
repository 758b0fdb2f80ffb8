//! A node that waits says what it waits for on its local socket, and the others do not take it for an up-to-date node.
//! Each node shows what it knows of the others.

use keyraft::config::PeerTlsConfig;
use serde_json::Value;

use super::{nodes, three_nodes};
use crate::support::api_key::ApiKey;
use crate::support::cluster::TestCluster;
use crate::support::settings::ADMIN_KEY;

/// Waits until a node waits for something whose text has all of these words. Returns its status then.
pub async fn wait_until_waiting_for(cluster: &TestCluster, number: usize, words: &[&str]) -> Value {
    let look = async || {
        let status = cluster.local_status(number).await.ok()?;
        let waits = status["waiting_for"].as_array()?.iter().filter_map(Value::as_str).collect::<Vec<_>>();
        words.iter().all(|word| waits.iter().any(|wait| wait.contains(word))).then(|| status.clone())
    };
    cluster.wait_for(&format!("node {number} to wait for {words:?}"), look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_node_without_a_quorum_names_the_votes_that_are_missing() {
    let mut cluster = three_nodes().await;
    cluster.kill_all().await;
    cluster.begin_nodes(&[1]).await;
    let words = ["votes of 2 of the 3 nodes are needed", "node-1 (", "node-3 (", "connection refused"];
    let status = wait_until_waiting_for(&cluster, 1, &words).await;
    assert_eq!(status["node"]["state"], "starting", "{status}");
    assert!(status["node"]["reason"].is_null(), "a node that starts has lost no lease: {status}");
    cluster.start_nodes(&[0, 2]).await;
    cluster.wait_until_serving(1).await;
    let works = async || (cluster.local_status(1).await.ok()?["waiting_for"] == Value::Array(Vec::new())).then_some(());
    cluster.wait_for("node 1 to wait for nothing", works).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_reports_a_node_with_a_new_certificate_key() {
    let mut cluster = nodes().await;
    let node = cluster.follower().await;
    cluster.stop(node).await;
    let other = cluster.certificates().peer_tls("other");
    cluster.config_mut(node).cluster.tls = Some(PeerTlsConfig { ca: None, ..other });
    cluster.begin_nodes(&[node]).await;
    let words = [
        "this node's key for its peers is another one than the membership records for it",
        "refuses this node: the node that connects has another TLS key than the membership records for its data folder",
    ];
    wait_until_waiting_for(&cluster, node, &words).await;
    let leader = cluster.wait_for("a leader", async || {
        for number in cluster.others(node) {
            let status = cluster.local_status(number).await.ok()?;
            let member = status["members"].as_array()?.iter().find(|member| member["id"] == node + 1)?.clone();
            if status["leader"] == status["node"]["id"] && member["problem"]["reason"].is_string() {
                return Some(member);
            }
        }
        None
    });
    let member = leader.await;
    assert!(member["lag"].is_null(), "the lag of a member that is not reached is not known: {member}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_the_data_folder_of_another_says_whose_it_is() {
    let mut cluster = three_nodes().await;
    cluster.stop_all().await;
    let data = cluster.data(2).to_owned();
    cluster.config_mut(1).cluster.data = data;
    cluster.begin_nodes(&[1]).await;
    let names = [1, 2].map(|number: usize| cluster.config(number).cluster.name.clone());
    let whose = format!("belongs to {}, but this node is {}", names[1], names[0]);
    wait_until_waiting_for(&cluster, 1, &[&whose]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blank_nodes_say_what_keeps_them_from_beginning() {
    let mut cluster = TestCluster::prepare(3, &ApiKey::parse(ADMIN_KEY), |_, _| {});
    cluster.config_mut(1).cluster.peers.swap(0, 1);
    cluster.begin_nodes(&[0, 1]).await;
    wait_until_waiting_for(&cluster, 0, &["has another list in cluster.peers", "connection refused"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_is_refused_and_says_so() {
    // Each node has the same key in both clusters.
    let mut cluster = TestCluster::start(3, &ApiKey::parse(ADMIN_KEY), |config, files| {
        config.cluster.tls = Some(files.peer_tls(&config.cluster.name));
    })
    .await;
    begin_on_the_data_of_another_cluster(&mut cluster).await;
    let words = ["node-2 (", "node-3 (", "is refused by this node: node-3 belongs to the cluster"];
    wait_until_waiting_for(&cluster, 0, &words).await;
    let others = async || {
        let status = cluster.local_status(1).await.ok()?;
        let member = status["members"].as_array()?.iter().find(|member| member["name"] == "node-1")?.clone();
        member["problem"]["reason"].as_str()?.contains("node-1 belongs to the cluster").then_some(())
    };
    cluster.wait_for("another node to report it", others).await;
    cluster.admin().create(1, "after").await.expect("the others go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_the_data_and_so_the_key_of_another_cluster_is_refused() {
    let mut cluster = three_nodes().await;
    begin_on_the_data_of_another_cluster(&mut cluster).await;
    let words = "has another key than the membership records; check that address, and that the node there runs on its";
    wait_until_waiting_for(&cluster, 0, &["node-2 (", "node-3 (", words]).await;
    let others = async || {
        let status = cluster.local_status(1).await.ok()?;
        let member = status["members"].as_array()?.iter().find(|member| member["name"] == "node-1")?.clone();
        member["problem"]["reason"].as_str()?.contains(words).then_some(())
    };
    cluster.wait_for("another node to report it", others).await;
    cluster.admin().create(1, "after").await.expect("the others go on");
}

/// Makes a second cluster of the same nodes, and starts its first node on its data folder of the first cluster.
async fn begin_on_the_data_of_another_cluster(cluster: &mut TestCluster) {
    cluster.stop_all().await;
    let of_another = cluster.data(0).to_owned();
    for number in 0..3 {
        let data = cluster.data(number).with_extension("second");
        cluster.config_mut(number).cluster.data = data;
    }
    cluster.start_nodes(&[0, 1, 2]).await;
    cluster.stop(0).await;
    cluster.config_mut(0).cluster.data = of_another;
    cluster.begin_nodes(&[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_shows_the_version_and_the_levels_of_every_member() {
    let cluster = nodes().await;
    for number in cluster.all() {
        let look = async || {
            let status = cluster.local_status(number).await.ok()?;
            let (version, levels) = (&status["node"]["version"], &status["node"]["levels"]);
            let said = |member: &Value| member["version"] == *version && member["levels"] == *levels;
            (levels["highest"].is_u64() && status["members"].as_array()?.iter().all(said)).then_some(())
        };
        cluster.wait_for("every member to have said its version", look).await;
    }
}
