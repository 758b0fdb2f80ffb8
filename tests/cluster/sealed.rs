//! A node without the right root key stays sealed: it takes no part in consensus, serves no client, and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use keyraft::config::SealConfig;
use keyraft::crypto::RootKey;
use serde_json::{Value, json};

use super::{cluster, three_nodes};
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
        let words = format!("is sealed: {}", status["waiting_for"][0].as_str().map_or("?", after_colon));
        wait_until_a_problem_says(&cluster, others[0], node, &words).await;
        cluster.assert_equal_digests_of(&others).await;
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
        let words = ["this is not the root key of the cluster", "does not open the wrap of version 1", "own.key"];
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
    // The second one reads its file again without being asked.
    paths.iter().for_each(|path| fs::write(path, &right).expect("the folder is writable"));
    cluster.try_seal(0);
    for node in 0..3 {
        cluster.wait_for_state(node, "serving").await;
    }
    cluster.admin().create_many("after", 3).await;
    cluster.assert_equal_digests().await;
}

/// What a sealed node lacks, in the words that follow the first colon of what it waits for.
fn after_colon(wait: &str) -> &str {
    wait.split_once(": ").map_or(wait, |(_, lacks)| lacks)
}

/// Waits until a node says that another one does not work with it, in these words.
async fn wait_until_a_problem_says(cluster: &TestCluster, number: usize, other: usize, words: &str) {
    let look = async || {
        let status = cluster.local_status(number).await.ok()?;
        let member = status["members"].as_array()?.iter().find(|member| member["id"] == other + 1)?.clone();
        member["problem"]["reason"].as_str()?.contains(words).then_some(())
    };
    cluster.wait_for(&format!("node {number} to say that node {other} {words}"), look).await;
}

/// Three nodes whose root keys are in files of their own, and have been moved away from some.
struct Keys {
    right: Vec<u8>,
    paths: Vec<PathBuf>,
}

impl Keys {
    /// Gives each node a root key file of its own.
    fn of(cluster: &mut TestCluster) -> Self {
        let right = fs::read(cluster.certificates().file("root.key")).expect("it is there");
        let paths: Vec<_> = (0..3).map(|node| cluster.certificates().file(&format!("own-{node}.key"))).collect();
        for (node, path) in paths.iter().enumerate() {
            fs::write(path, &right).expect("the folder is writable");
            cluster.config_mut(node).seal = SealConfig::File(path.clone());
        }
        Self { right, paths }
    }

    fn take_away(&self, nodes: &[usize]) {
        nodes.iter().for_each(|&node| fs::remove_file(&self.paths[node]).expect("the file is there"));
    }

    fn give_back(&self, cluster: &TestCluster, node: usize) {
        fs::write(&self.paths[node], &self.right).expect("the folder is writable");
        cluster.try_seal(node);
    }
}

/// Three nodes that have stopped, with keys to decrypt, and without the root keys of some.
async fn stopped(sealed: &[usize]) -> (TestCluster, Keys, Vec<crate::support::user::DataKey>) {
    let mut cluster = three_nodes().await;
    let data_keys = cluster.admin().create_many("before", 3).await;
    cluster.stop_all().await;
    let keys = Keys::of(&mut cluster);
    keys.take_away(sealed);
    (cluster, keys, data_keys)
}

async fn assert_sealed(cluster: &TestCluster, node: usize) {
    let status = cluster.wait_for_state(node, "sealed").await;
    let lacks = format!("own-{node}.key: No such file");
    assert!(status["node"]["reason"].as_str().is_some_and(|reason| reason.contains(&lacks)), "{status}");
    assert_eq!((&status["leader"], &status["members"]), (&Value::Null, &json!([])), "it takes no part");
    assert_eq!(status["node"]["id"], node + 1, "it knows who it is");
    assert!(status["cluster_id"].is_string(), "it knows its cluster");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_without_a_sealed_node_serves() {
    let (mut cluster, _, data_keys) = stopped(&[]).await;
    cluster.start_all().await;
    cluster.admin().assert_decrypts(1, &data_keys).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_with_one_sealed_node_serves_on_the_others() {
    let (mut cluster, keys, mut data_keys) = stopped(&[0]).await;
    cluster.begin_nodes(&[0, 1, 2]).await;
    let user = cluster.admin();
    for node in [1, 2] {
        cluster.wait_until_serving(node).await;
        user.assert_decrypts(node, &data_keys).await;
    }
    assert_sealed(&cluster, 0).await;
    user.create_somewhere(1, "without-it").await;
    data_keys.push(user.generate(2, "without-it").await.expect("two of three are enough"));
    wait_until_a_problem_says(&cluster, 1, 0, "is sealed: cannot read").await;
    keys.give_back(&cluster, 0);
    cluster.wait_for_state(0, "serving").await;
    user.assert_decrypts(0, &data_keys).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_with_two_sealed_nodes_serves_nothing_and_says_why() {
    let (mut cluster, keys, data_keys) = stopped(&[0, 2]).await;
    cluster.begin_nodes(&[0, 1, 2]).await;
    for node in [0, 2] {
        assert_sealed(&cluster, node).await;
    }
    let words = ["votes of 2 of the 3 nodes are needed", "node-1 (", "node-3 (", "is sealed: cannot read"];
    cluster
        .wait_for("the open node to say what it waits for", async || {
            let waits = cluster.local_status(1).await.ok()?["waiting_for"].to_string();
            words.iter().all(|word| waits.contains(word)).then_some(())
        })
        .await;
    let status = cluster.local_status(1).await.expect("it answers");
    assert_eq!((&status["node"]["state"], &status["leader"]), (&json!("starting"), &Value::Null));
    for node in 0..3 {
        let refused = cluster.admin().generate(node, "before-0").await.expect_err("no node serves");
        assert_eq!(refused.status, None, "{refused:?}");
    }
    keys.give_back(&cluster, 2);
    let user = cluster.admin();
    for node in [1, 2] {
        cluster.wait_for_state(node, "serving").await;
        user.assert_decrypts(node, &data_keys).await;
    }
    assert_sealed(&cluster, 0).await;
    keys.give_back(&cluster, 0);
    cluster.wait_for_state(0, "serving").await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_with_every_node_sealed_waits_for_the_root_keys() {
    let (mut cluster, keys, data_keys) = stopped(&[0, 1, 2]).await;
    cluster.begin_nodes(&[0, 1, 2]).await;
    for node in 0..3 {
        assert_sealed(&cluster, node).await;
    }
    for node in 0..3 {
        keys.give_back(&cluster, node);
    }
    for node in 0..3 {
        cluster.wait_for_state(node, "serving").await;
    }
    cluster.admin().assert_decrypts(2, &data_keys).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_restarts_sealed_neither_votes_nor_appends() {
    let mut cluster = three_nodes().await;
    let keys = Keys::of(&mut cluster);
    let user = cluster.admin();
    let mut data_keys = user.create_many("before", 3).await;
    let leader = cluster.leader().await;
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    cluster.stop(leader).await;
    keys.take_away(&[leader]);
    cluster.begin_nodes(&[leader]).await;
    assert_sealed(&cluster, leader).await;
    let (log, record) = (cluster.data(leader).join("log"), cluster.data(leader).join("node.record"));
    let written = || (files_in(&log), fs::read(&record).expect("the file is there"));
    let before = written();
    for round in 0..2 {
        let name = format!("round-{round}");
        let leads = cluster.leader_of(&others).await;
        user.create_somewhere(leads, &name).await;
        data_keys.push(user.generate(leads, &name).await.expect("two of three are enough"));
        // Each round has an election, in which the others ask the sealed node for its vote.
        cluster.kill(leads).await;
        let alone = others[usize::from(others[0] == leads)];
        wait_until_a_problem_says(&cluster, alone, leader, "is sealed: ").await;
        cluster
            .wait_for("the last node to be without a leader", async || {
                cluster.local_status(alone).await.ok()?["leader"].is_null().then_some(())
            })
            .await;
        cluster.start_nodes(&[leads]).await;
    }
    assert_eq!(written(), before, "neither a vote nor an entry was written");
    keys.give_back(&cluster, leader);
    cluster.wait_for_state(leader, "serving").await;
    user.assert_decrypts(leader, &data_keys).await;
    cluster.assert_equal_digests().await;
}

/// Every file in a folder, with its content.
fn files_in(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("it can be read").path());
    files.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).expect("it is there"))).collect()
}

/// Only the log has the wraps of the ring then, and a node opens its log with keys that the ring seals.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_cluster_id_and_its_keystore_ends_and_says_why() {
    let (mut cluster, _keys, data_keys) = stopped(&[]).await;
    let data = cluster.data(0).to_owned();
    fs::remove_dir_all(data.join("keystore")).expect("the folder is there");
    let file = fs::read(data.join("cluster.id")).expect("the file is there");
    fs::remove_file(data.join("cluster.id")).expect("the file is there");
    cluster.begin_nodes(&[0, 1, 2]).await;
    let why = cluster.ended(0).await;
    assert!(why.is_of_a_setting() && why.to_string().contains("says which cluster they belong to"), "{why}");
    for node in [1, 2] {
        cluster.wait_until_serving(node).await;
    }
    // What the error advises.
    fs::write(data.join("cluster.id"), file).expect("the folder is writable");
    cluster.start_nodes(&[0]).await;
    cluster.admin().assert_decrypts(0, &data_keys).await;
    cluster.assert_equal_digests().await;
}

/// A node opens its ring from `cluster.id`, because its keystore may have to come from a peer.
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_node_without_its_keystore_gets_it_from_a_peer_once_its_ring_is_open() {
    let mut cluster = cluster(3, super::snapshot_install::snapshots_early).await;
    let user = cluster.admin();
    let data_keys = user.create_many("key", 240).await;
    let node = cluster.follower().await;
    let snapshots = cluster.data(node).join("snapshots");
    cluster.wait_for("a snapshot", async || fs::read_dir(&snapshots).ok()?.flatten().next().map(drop)).await;
    let keys = Keys::of(&mut cluster);
    cluster.stop(node).await;
    fs::remove_dir_all(&snapshots).expect("the folder is there");
    fs::remove_dir_all(cluster.data(node).join("keystore")).expect("the folder is there");
    fs::write(&keys.paths[node], BASE64_STANDARD.encode([0xa5; 32])).expect("the folder is writable");
    cluster.begin_nodes(&[node]).await;
    let status = cluster.wait_for_state(node, "sealed").await;
    assert!(status["cluster_id"].is_string(), "{status}");
    keys.give_back(&cluster, node);
    cluster.wait_for_state(node, "serving").await;
    user.assert_decrypts(node, &data_keys).await;
    cluster.assert_equal_digests().await;
}

/// Its `cluster.id` has no wrap that its new root key opens. The others have one.
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_node_fetches_wraps_that_were_added_while_it_was_down() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let data_keys = user.create_many("before", 3).await;
    let node = cluster.follower().await;
    cluster.stop(node).await;
    let (root, path) = (RootKey::random(), cluster.certificates().file("second.key"));
    fs::write(&path, &*root.to_base64()).expect("the folder is writable");
    cluster.config_mut(node).seal = SealConfig::File(path);
    cluster.begin_nodes(&[node]).await;
    cluster.wait_for_state(node, "sealed").await;
    let kms = cluster.node((node + 1) % 3).kms().expect("the node serves");
    let by = std::time::Instant::now() + std::time::Duration::from_secs(20);
    kms.add_seal("second", &root, by).await.expect("the cluster takes a second seal");
    cluster.try_seal(node);
    cluster.wait_for_state(node, "serving").await;
    user.assert_decrypts(node, &data_keys).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cluster_begins_once_every_node_has_the_same_bootstrap_key() {
    let mut cluster = TestCluster::prepare(3, &ApiKey::parse(ADMIN_KEY), |_, _| {});
    let paths: Vec<_> = (0..3).map(|node| cluster.certificates().file(&format!("bootstrap-{node}.key"))).collect();
    let key = RootKey::random().to_base64();
    for (node, path) in paths.iter().enumerate() {
        fs::write(path, &*if node == 2 { RootKey::random().to_base64() } else { key.clone() }).expect("room");
        cluster.config_mut(node).cluster.bootstrap_key = Some(path.clone());
    }
    cluster.begin_nodes(&[0, 1, 2]).await;
    super::waiting::wait_until_waiting_for(&cluster, 0, &["node-3 (", "or another cluster.bootstrap_key"]).await;
    fs::write(&paths[2], &*key).expect("room");
    cluster.try_seal(2);
    for node in 0..3 {
        cluster.wait_for_state(node, "serving").await;
    }
    // Nobody needs the key any more.
    cluster.stop_all().await;
    paths.iter().for_each(|path| fs::remove_file(path).expect("it is there"));
    cluster.start_all().await;
    cluster.assert_equal_digests().await;
}
