//! Nodes whose disks lack room: keys are served, nothing is lost, and the cluster takes changes again by itself.
//!
//! A node lacks room because its `storage.low` is larger than any disk.

use std::sync::atomic::{AtomicU32, Ordering};

use keyraft::config::StorageConfig;

use super::support::cluster::TestCluster;
use super::support::user::User;
use super::three_nodes;

/// No disk has this much room.
const MORE_THAN_ANY_DISK: u64 = 1 << 50;

const LACKS_ROOM: &str = "the disks of most nodes lack room: nothing was changed";

/// Starts nodes again whose disks lack room from now on.
async fn fill(cluster: &mut TestCluster, numbers: &[usize]) {
    for &number in numbers {
        cluster.stop(number).await;
        lacks_room_from_now_on(cluster, number);
    }
    cluster.start_nodes(numbers).await;
}

fn lacks_room_from_now_on(cluster: &mut TestCluster, number: usize) {
    // The reserve is as large as before.
    cluster.config_mut(number).cluster.storage =
        StorageConfig { low: Some(MORE_THAN_ANY_DISK), reserve: Some(256 << 10), ..StorageConfig::default() };
}

/// Starts nodes again whose disks have room from now on.
async fn empty(cluster: &mut TestCluster, numbers: &[usize]) {
    for &number in numbers {
        cluster.stop(number).await;
        cluster.config_mut(number).cluster.storage.low = Some(1 << 20);
    }
    cluster.start_nodes(numbers).await;
}

/// Waits until a write through this node is refused for lack of room. Until the leader has heard of the lack, it takes writes.
async fn wait_for_refusal(cluster: &TestCluster, user: &User, number: usize) {
    let attempts = AtomicU32::new(0);
    let refused = async || {
        let name = format!("refused-by-{number}-{}", attempts.fetch_add(1, Ordering::Relaxed));
        user.create(number, &name).await.is_err_and(|refusal| refusal.is(503, LACKS_ROOM)).then_some(())
    };
    cluster.wait_for("a refusal for lack of room", refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_without_a_node_that_lacks_room_and_lead() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 3).await;
    let full = cluster.leader().await;
    cluster.stop(full).await;
    lacks_room_from_now_on(&mut cluster, full);
    std::fs::remove_file(cluster.data(full).join("reserve")).expect("the node made it");
    cluster.start_nodes(&[full]).await;
    // If the full node is elected, it hands over.
    let leader = cluster
        .wait_for("a leader with room", async || {
            let leader = cluster.leader().await;
            (leader != full).then_some(leader)
        })
        .await;
    let status = cluster.local_status(leader).await.expect("the leader answers");
    let lacking: Vec<_> =
        status["members"].as_array().expect("a list").iter().map(|m| m["lacks_room"] == true).collect();
    assert_eq!(lacking, (0..3).map(|number| number == full).collect::<Vec<_>>(), "{status}");
    // The lack may be news to a node that has just begun to lead, and the full node takes no entry without a reserve.
    cluster.wait_for("the leader to hear of the lack", async || user.create(leader, "first").await.ok()).await;
    let had = user.metric(full, "keyraft_raft_last_index").await;
    for name in ["a", "b", "c"] {
        user.create(leader, name).await.expect("the others are a quorum with room");
    }
    assert!(user.metric(leader, "keyraft_raft_last_index").await >= had + 3.0);
    assert_eq!(user.metric(full, "keyraft_raft_last_index").await, had, "it writes nothing that needs room");
    user.assert_decrypts(full, &keys).await;
    user.assert_decrypts(leader, &keys).await;
    assert_eq!(user.metric(full, "keyraft_disk_lacks_room").await, 1.0);
    assert_eq!(user.metric(leader, "keyraft_disk_lacks_room").await, 0.0);
    empty(&mut cluster, &[full]).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_at_a_quorum_keys_are_served_and_deleted_but_nothing_grows() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 4).await;
    fill(&mut cluster, &[0, 1]).await;
    wait_for_refusal(&cluster, &user, 2).await;
    for number in 0..3 {
        wait_for_refusal(&cluster, &user, number).await;
        user.assert_decrypts(number, &keys).await;
    }
    let exists = user.create(0, "before-0").await.expect_err("it exists");
    assert!(exists.is(400, "key already exists"), "{exists:?}");
    user.delete(0, "before-3").await.expect("a deletion needs no room");
    assert!(user.decrypt(1, &keys[3]).await.is_err_and(|refusal| refusal.status == Some(404)));
    empty(&mut cluster, &[0]).await;
    user.create_somewhere(0, "after").await;
    for number in 0..3 {
        user.assert_decrypts(number, &keys[..3]).await;
    }
    empty(&mut cluster, &[1]).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_without_room_serve_keys_also_after_a_restart_and_a_change_of_leader() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 3).await;
    cluster.stop_all().await;
    for number in 0..3 {
        lacks_room_from_now_on(&mut cluster, number);
    }
    cluster.start_all().await;
    for number in 0..3 {
        wait_for_refusal(&cluster, &user, number).await;
        user.assert_decrypts(number, &keys).await;
    }
    for _ in 0..2 {
        let leader = cluster.leader().await;
        cluster.kill(leader).await;
        let next = cluster.leader().await;
        assert_ne!(next, leader);
        user.assert_decrypts(next, &keys).await;
        cluster.start_nodes(&[leader]).await;
    }
    user.delete(0, "before-0").await.expect("a deletion needs no room");
    empty(&mut cluster, &[0, 1, 2]).await;
    user.create_somewhere(0, "after").await;
    cluster.assert_equal_digests().await;
}
