//! Nodes whose states differ: one that differs from two others takes their state, and two without a third answer nobody.

use std::fs;
use std::time::Duration;

use super::{nodes, three_nodes};
use crate::support::cluster::TestCluster;
use crate::support::stored;
use crate::support::user::DataKey;

/// How many clients write at once.
const WRITERS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_differs_from_the_others_takes_their_state() {
    let mut cluster = nodes().await;
    let keys = cluster.admin().create_many("key", 10).await;
    let node = cluster.follower().await;
    alter(&mut cluster, node, 1).await;
    assert_takes_the_state_of_others(&mut cluster, node, &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_differs_from_the_others_ends_and_they_go_on() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("key", 10).await;
    let (node, others) = (0, cluster.others(0));
    cluster.stop_all().await;
    // The node with the wrong state campaigns long before the others do.
    for &other in &others {
        let timing = &mut cluster.config_mut(other).cluster.timing;
        (timing.election_min, timing.election_max) = (Duration::from_secs(3), Duration::from_secs(5));
    }
    stored::alter_record(cluster.data(node), &cluster.certificates().file("root.key"), "key-3", 1);
    cluster.begin_all().await;
    cluster
        .wait_for("the wrong node to lead", async || {
            // It may lead, find out and end between two looks.
            let has_ended = cluster.local_status(node).await.is_err();
            let followers = others.iter().map(|other| cluster.local_status(*other));
            let seen = futures::future::try_join_all(followers).await.ok()?;
            (has_ended || seen.iter().all(|status| status["leader"] == node + 1)).then_some(())
        })
        .await;
    assert_ends(&mut cluster, node).await;
    for other in others {
        cluster.wait_until_serving(other).await;
        user.assert_decrypts(other, &keys).await;
        user.create_through(other, &format!("without-{other}")).await;
    }
    assert_rebuilds(&mut cluster, node, &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_differs_never_uses_its_own_snapshot_again() {
    let mut cluster = super::nodes_with(super::snapshot_install::snapshots_early).await;
    let keys = cluster.admin().create_many("key", 240).await;
    let node = cluster.follower().await;
    let snapshots = cluster.data(node).join("snapshots");
    cluster.wait_for("a snapshot", async || fs::read_dir(&snapshots).ok()?.flatten().next().map(drop)).await;
    alter(&mut cluster, node, 1).await;
    assert_takes_the_state_of_others(&mut cluster, node, &keys).await;
    let aside = fs::read_dir(&snapshots).expect("the folder is there").flatten();
    let aside: Vec<_> = aside.filter(|file| file.path().extension().is_some_and(|end| end == "damaged")).collect();
    assert!(!aside.is_empty(), "its own snapshots may hold the wrong state");
}

/// Clients write all the while, so the nodes seldom have the same index, and their logs are purged.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_differs_takes_the_state_of_others_under_load() {
    let mut cluster = super::nodes_with(super::snapshot_install::snapshots_early).await;
    let user = cluster.admin();
    let mut keys = user.create_many("key", 60).await;
    let node = cluster.follower().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writers = (0..WRITERS).map(|writer| {
        let (user, first) = (user.clone(), cluster.in_turn(node + 1 + writer % 2));
        let stopped = stopped.clone();
        tokio::spawn(async move {
            let mut created = Vec::new();
            for number in 0.. {
                if *stopped.borrow() {
                    break;
                }
                let name = format!("meanwhile-{writer}-{number}");
                user.create_somewhere(first, &name).await;
                created.push(user.generate_somewhere(first, &name).await);
            }
            created
        })
    });
    let writers: Vec<_> = writers.collect();
    alter(&mut cluster, node, 1).await;
    assert_ends(&mut cluster, node).await;
    cluster.start_nodes(&[node]).await;
    stop.send_replace(true);
    for writer in writers {
        keys.extend(writer.await.expect("a writer does not panic"));
    }
    cluster.admin().assert_decrypts(node, &keys).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_differ_answer_nobody_until_a_third_decides() {
    let mut cluster = three_nodes().await;
    let keys = cluster.admin().create_many("key", 10).await;
    let (third, node) = (0, 1);
    cluster.stop(third).await;
    alter(&mut cluster, node, 1).await;
    for disputed in [1, 2] {
        let status = cluster.wait_for_state(disputed, "disputed").await;
        let reason = status["node"]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("start the nodes that are down"), "{status}");
    }
    cluster.begin_nodes(&[third]).await;
    assert_takes_the_state_of_others(&mut cluster, node, &keys).await;
    for other in [0, 2] {
        cluster.wait_until_serving(other).await;
        cluster.admin().assert_decrypts(other, &keys).await;
    }
    let disputes = cluster.admin().metric(2, "keyraft_raft_disputes_total").await;
    assert!(disputes >= 1.0, "it shows afterwards that the node answered nobody: {disputes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_with_three_states_answer_nobody_and_keep_their_data() {
    let mut cluster = three_nodes().await;
    cluster.admin().create_many("key", 10).await;
    cluster.stop_all().await;
    stored::alter_record(cluster.data(0), &cluster.certificates().file("root.key"), "key-3", 1);
    stored::alter_record(cluster.data(1), &cluster.certificates().file("root.key"), "key-3", 2);
    cluster.begin_nodes(&[0, 1, 2]).await;
    // Each node learns it from another one, also those that agree with the leader about nothing.
    for node in 0..3 {
        cluster.wait_for_state(node, "disputed").await;
        assert!(!cluster.data(node).join("keystore/WRONG").exists(), "no node throws its state away");
    }
}

/// Stops a node, changes a bit of a record on its disk, and starts it again.
async fn alter(cluster: &mut TestCluster, node: usize, bit: u8) {
    cluster.stop(node).await;
    stored::alter_record(cluster.data(node), &cluster.certificates().file("root.key"), "key-3", bit);
    cluster.begin_nodes(&[node]).await;
}

async fn assert_takes_the_state_of_others(cluster: &mut TestCluster, node: usize, keys: &[DataKey]) {
    assert_ends(cluster, node).await;
    assert_rebuilds(cluster, node, keys).await;
}

/// The node ends because it is wrong. Its next start helps, so systemd should start it again.
async fn assert_ends(cluster: &mut TestCluster, node: usize) {
    let ended = cluster.ended(node).await;
    let says = ended.to_string().contains("the next start rebuilds the keystore from another node");
    assert!(says && !ended.is_lasting(), "{ended}");
}

async fn assert_rebuilds(cluster: &mut TestCluster, node: usize, keys: &[DataKey]) {
    cluster.start_nodes(&[node]).await;
    cluster.admin().assert_decrypts(node, keys).await;
    cluster.assert_equal_digests().await;
    assert!(!cluster.data(node).join("keystore/WRONG").exists(), "it is done");
}
