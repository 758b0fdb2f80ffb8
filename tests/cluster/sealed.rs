//! A node without the right root key stays sealed: it replicates and votes, serves no client, and changes nothing.

use std::fs;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use keyraft::config::SealConfig;

use super::three_nodes;
use crate::support::api_key::ApiKey;
use crate::support::cluster::TestCluster;
use crate::support::settings::ADMIN_KEY;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_wrong_or_missing_root_key_stays_sealed() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let mut keys = user.create_many("before", 6).await;
    let node = cluster.leader().await;
    let others = [(node + 1) % 3, (node + 2) % 3];
    let right = cluster.config_mut(node).seal.clone();
    for (wrong, reason) in wrong_seals(&cluster) {
        cluster.stop(node).await;
        cluster.config_mut(node).seal = wrong;
        cluster.begin_nodes(&[node]).await;
        let status = cluster.wait_for_state(node, "sealed").await;
        let shown = status["node"]["reason"].as_str().expect("a sealed node says why");
        assert!(shown.contains(reason), "{shown}");
        for other in others {
            cluster.wait_until_serving(other).await;
        }
        let name = format!("without-{}", keys.len());
        user.create_somewhere(others[0], &name).await;
        keys.push(user.generate(others[1], &name).await.expect("the others serve"));
        let refused = user.generate(node, &name).await.expect_err("a sealed node does not listen");
        assert_eq!(refused.status, None, "{refused:?}");
        cluster.assert_equal_digests().await;
    }
    cluster.stop(node).await;
    cluster.config_mut(node).seal = right;
    cluster.start_nodes(&[node]).await;
    user.assert_decrypts(node, &keys).await;
    cluster.assert_equal_digests().await;
}

fn wrong_seals(cluster: &TestCluster) -> [(SealConfig, &'static str); 4] {
    let file = |name: &str, content: &str| {
        let path = cluster.certificates().file(name);
        fs::write(&path, content).expect("the folder is writable");
        SealConfig::File(path)
    };
    let other = BASE64_STANDARD.encode([0xa5; 32]);
    [
        (file("other.key", &other), "root key"),
        (SealConfig::File(cluster.certificates().file("nowhere.key")), "nowhere.key: No such file"),
        (file("short.key", "c2hvcnQ="), "short.key does not hold a root key"),
        (SealConfig::Env("KEYRAFT_TEST_UNSET".into()), "the variable KEYRAFT_TEST_UNSET is not set"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cluster_waits_for_the_root_key_of_every_node() {
    let mut cluster = TestCluster::prepare(3, &ApiKey::parse(ADMIN_KEY), |_, _| {});
    let right = cluster.config_mut(2).seal.clone();
    cluster.config_mut(2).seal = SealConfig::Env("KEYRAFT_TEST_UNSET".into());
    cluster.begin_nodes(&[0, 1, 2]).await;
    cluster.wait_for_state(2, "sealed").await;
    cluster.stop(2).await;
    cluster.config_mut(2).seal = right;
    cluster.start_nodes(&[2]).await;
    for node in 0..3 {
        cluster.wait_until_serving(node).await;
    }
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_node_opens_its_ring_without_a_restart() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 3).await;
    let right = fs::read(cluster.certificates().file("root.key")).expect("it is there");
    let path = cluster.certificates().file("own.key");
    for (node, asks) in [(0, true), (1, false)] {
        fs::write(&path, BASE64_STANDARD.encode([0xa5; 32])).expect("the folder is writable");
        cluster.stop(node).await;
        cluster.config_mut(node).seal = SealConfig::File(path.clone());
        cluster.begin_nodes(&[node]).await;
        let status = cluster.wait_for_state(node, "sealed").await;
        let shown = status["node"]["reason"].as_str().expect("a sealed node says why");
        let words = ["this is not the root key of the cluster", "wants the root key with fingerprint", "own.key"];
        assert!(words.iter().all(|word| shown.contains(word)), "{shown}");
        let waits = status["waiting_for"].to_string();
        assert!(waits.contains("the root key of the cluster: this is not the root key"), "{waits}");
        fs::write(&path, &right).expect("the folder is writable");
        if asks {
            cluster.try_seal(node);
        }
        let status = cluster.wait_for_state(node, "serving").await;
        assert!(status["node"].get("reason").is_none(), "{status}");
        user.assert_decrypts(node, &keys).await;
    }
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cluster_begins_once_every_node_has_got_its_root_key() {
    let mut cluster = TestCluster::prepare(3, &ApiKey::parse(ADMIN_KEY), |_, _| {});
    let right = fs::read(cluster.certificates().file("root.key")).expect("it is there");
    let paths = ["first.key", "second.key"].map(|name| cluster.certificates().file(name));
    // The node that begins the cluster lacks a root key, and another node has a wrong one.
    for (node, path) in [0, 2].into_iter().zip(&paths) {
        cluster.config_mut(node).seal = SealConfig::File(path.clone());
    }
    fs::write(&paths[1], BASE64_STANDARD.encode([0xa5; 32])).expect("the folder is writable");
    cluster.begin_nodes(&[0, 1, 2]).await;
    cluster.wait_for_state(0, "sealed").await;
    for (node, path) in [0, 2].into_iter().zip(&paths) {
        fs::write(path, &right).expect("the folder is writable");
        cluster.try_seal(node);
    }
    for node in 0..3 {
        cluster.wait_for_state(node, "serving").await;
    }
    cluster.admin().create_many("after", 3).await;
    cluster.assert_equal_digests().await;
}

/// The sealed node has entries that the others lack. It must lead for a moment, or no node could.
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_node_with_the_longest_log_leads_only_to_hand_over() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    user.create_many("before", 3).await;
    let leader = cluster.leader().await;
    let (sealed, behind) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.stop(sealed).await;
    cluster.config_mut(sealed).seal = SealConfig::Env("KEYRAFT_TEST_UNSET".into());
    cluster.begin_nodes(&[sealed]).await;
    cluster.wait_for_state(sealed, "sealed").await;
    cluster.assert_equal_digests().await;
    cluster.kill(behind).await;
    user.create(leader, "last").await.expect("two of three are enough");
    let key = user.generate(leader, "last").await.expect("the key is there");
    cluster.kill(leader).await;
    cluster.start_nodes(&[behind]).await;
    cluster.wait_for("the unsealed one to lead", async || (cluster.leader().await == behind).then_some(())).await;
    user.assert_decrypts(behind, &[key]).await;
    cluster.assert_equal_digests().await;
}

/// Sealed nodes do not know about each other. Each hands leadership on, and the unsealed node gets its turn.
#[tokio::test(flavor = "multi_thread")]
async fn two_sealed_nodes_hand_leadership_on_until_the_unsealed_one_has_it() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 3).await;
    let open = cluster.leader().await;
    for sealed in [(open + 1) % 3, (open + 2) % 3] {
        cluster.stop(sealed).await;
        cluster.config_mut(sealed).seal = SealConfig::Env("KEYRAFT_TEST_UNSET".into());
        cluster.begin_nodes(&[sealed]).await;
        cluster.wait_for_state(sealed, "sealed").await;
    }
    cluster.kill(open).await;
    let held = cluster.wait_for("a sealed node to lead in need", async || {
        let status = cluster.local_status((open + 1) % 3).await.ok()?;
        status["leader"].as_u64().filter(|leader| *leader != open as u64 + 1)
    });
    held.await;
    cluster.start_nodes(&[open]).await;
    cluster.wait_for("the unsealed one to lead", async || (cluster.leader().await == open).then_some(())).await;
    user.assert_decrypts(open, &keys).await;
    user.create(open, "after").await.expect("all take part");
    cluster.assert_equal_digests().await;
}
