//! The key ring and its seals change while the cluster serves, and no node is left without a key.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use keyraft::config::SealConfig;
use keyraft::crypto::RootKey;
use keyraft::kms::{Kms, RingChangeError};
use keyraft::policy::KeyName;
use keyraft::state::{ClusterState, KeyRecord, SealId};

use super::nodes;
use crate::support::cluster::TestCluster;
use crate::support::user::DataKey;

fn by() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// The facts about the cluster, as this node has applied them.
fn facts(cluster: &TestCluster, node: usize) -> Arc<ClusterState> {
    cluster.node(node).cluster().expect("it takes part").view().cluster().expect("the cluster has begun")
}

/// The ring version under which the newest version of a key is sealed. Some node has applied the key.
fn ring_version_of(cluster: &TestCluster, name: &str) -> u32 {
    let name = KeyName::parse(name).expect("a name");
    let record = |node| cluster.node(node).cluster().expect("it takes part").view().newest_record(name);
    let record = cluster.running().find_map(record).expect("the key exists");
    KeyRecord::decode(&record).expect("a record").ring_version
}

fn kms(cluster: &TestCluster, node: usize) -> Arc<Kms> {
    cluster.node(node).kms().expect("its ring is open")
}

/// Waits until a change that needs the notes of the members is not refused for them any more.
async fn once_noted(what: &str, cluster: &TestCluster, change: impl AsyncFn() -> Result<(), RingChangeError>) {
    cluster
        .wait_for(what, async || match change().await {
            Ok(()) => Some(()),
            Err(RingChangeError::NotOpened(_)) => None,
            Err(error) => panic!("{what}: {error}"),
        })
        .await;
}

/// Adds a ring version and makes it active.
async fn rotate(cluster: &TestCluster, node: usize) -> u32 {
    let kms = kms(cluster, node);
    let version = kms.add_ring_version(by()).await.expect("the ring takes another version");
    once_noted("the members to note the version", cluster, async || kms.activate_ring_version(version, by()).await)
        .await;
    version
}

/// Starts a node again with this root key.
async fn restart_with(cluster: &mut TestCluster, node: usize, root: &RootKey) {
    cluster.stop(node).await;
    start_with(cluster, node, root).await;
}

/// Starts a node that does not run with this root key.
async fn start_with(cluster: &mut TestCluster, node: usize, root: &RootKey) {
    let path = cluster.certificates().file(&format!("root-of-{node}.key"));
    fs::write(&path, &*root.to_base64()).expect("the folder is writable");
    cluster.config_mut(node).seal = SealConfig::File(path);
    cluster.start_nodes(&[node]).await;
}

async fn assert_all_decrypt(cluster: &TestCluster, keys: &[DataKey]) {
    for node in cluster.running() {
        cluster.admin().assert_decrypts(node, keys).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ring_rotates_while_clients_create_keys() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let mut keys = user.create_many("before", 3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let creating = tokio::spawn({
        let (user, stop) = (cluster.admin(), Arc::clone(&stop));
        async move {
            let mut made = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                made.extend(user.create_many(&format!("during-{}", made.len()), 3).await);
            }
            made
        }
    });
    for expected in [2, 3] {
        assert_eq!(rotate(&cluster, cluster.in_turn(expected)).await, u32::try_from(expected).expect("small"));
        user.create_somewhere(0, &format!("after-{expected}")).await;
        assert_eq!(ring_version_of(&cluster, &format!("after-{expected}")), u32::try_from(expected).expect("small"));
    }
    stop.store(true, Ordering::Relaxed);
    keys.extend(creating.await.expect("every create succeeds"));
    assert_eq!(ring_version_of(&cluster, "before-0"), 1);
    assert_all_decrypt(&cluster, &keys).await;
    cluster.stop_all().await;
    cluster.start_all().await;
    assert_all_decrypt(&cluster, &keys).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_away_keeps_a_version_from_becoming_active() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 3).await;
    let node = cluster.follower().await;
    cluster.stop(node).await;
    let kms = kms(&cluster, cluster.in_turn(node + 1));
    let version = kms.add_ring_version(by()).await.expect("the others add it");
    let others = cluster.others(node);
    cluster
        .wait_for("the others to note it", async || {
            let noted = facts(&cluster, others[0]).ring_notes.iter().filter(|n| n.versions.contains(&version)).count();
            (noted == others.len()).then_some(())
        })
        .await;
    let name = format!("node-{}", node + 1);
    assert_eq!(kms.activate_ring_version(version, by()).await, Err(RingChangeError::NotOpened(vec![name])));
    user.create_somewhere(others[0], "between").await;
    assert_eq!(ring_version_of(&cluster, "between"), 1);
    cluster.start_nodes(&[node]).await;
    once_noted("the node to note it", &cluster, async || kms.activate_ring_version(version, by()).await).await;
    user.create_somewhere(node, "after").await;
    assert_eq!(ring_version_of(&cluster, "after"), version);
    assert_all_decrypt(&cluster, &keys).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_wrap_is_missing_opens_a_version_under_the_one_before() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 3).await;
    let (root, node) = (RootKey::random(), cluster.follower().await);
    let other = cluster.in_turn(node + 1);
    let id = kms(&cluster, other).add_seal("second", &root, by()).await.expect("the cluster takes a second seal");
    cluster.wait_for("the node to note the wrap", async || has_noted_wraps(&cluster, node)).await;
    restart_with(&mut cluster, node, &root).await;
    cluster.stop(node).await;
    let version = kms(&cluster, other).add_ring_version(by()).await.expect("the others add it");
    let wraps = facts(&cluster, other).ring.iter().map(|version| version.wraps.len()).collect::<Vec<_>>();
    assert_eq!(wraps, [2, 1], "the others do not have the second root key");
    cluster.start_nodes(&[node]).await;
    let kms = kms(&cluster, other);
    once_noted("the node to note it", &cluster, async || kms.activate_ring_version(version, by()).await).await;
    user.create_somewhere(node, "after").await;
    assert_eq!(ring_version_of(&cluster, "after"), version);
    let complete = async || {
        let facts = facts(&cluster, other);
        let note = facts.ring_notes.iter().find(|note| note.seals == [id])?;
        (facts.ring[1].wraps.len() == 2 && note.versions == [1, 2]).then_some(())
    };
    cluster.wait_for("the node to add its wrap and note it", complete).await;
    assert_all_decrypt(&cluster, &keys).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_fetches_the_wraps_of_a_seal_that_was_added_while_it_was_away() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 3).await;
    let (root, node) = (RootKey::random(), cluster.follower().await);
    cluster.stop(node).await;
    let other = kms(&cluster, cluster.in_turn(node + 1));
    other.add_seal("second", &root, by()).await.expect("the cluster takes a second seal");
    // Nothing in its data folder opens with the second root key.
    start_with(&mut cluster, node, &root).await;
    user.create_somewhere(node, "after").await;
    assert_all_decrypt(&cluster, &keys).await;
    restart_with(&mut cluster, node, &root).await;
    assert_all_decrypt(&cluster, &keys).await;
    cluster.assert_equal_digests().await;
}

/// Whether `cluster.id` of a node holds the ring that the cluster has now.
fn has_noted_wraps(cluster: &TestCluster, node: usize) -> Option<()> {
    let part = cluster.node(node).cluster()?;
    let facts = part.view().cluster()?;
    (facts.seals.len() == 2 && part.has_noted_ring(&facts.ring)).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_root_key_takes_the_place_of_the_first() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 3).await;
    let root = RootKey::random();
    let first: SealId = facts(&cluster, 0).seals[0].id;
    kms(&cluster, 0).add_seal("second", &root, by()).await.expect("the cluster takes a second seal");
    for node in cluster.all() {
        cluster.wait_for("the node to note the wrap", async || has_noted_wraps(&cluster, node)).await;
        let removed = kms(&cluster, node).remove_seal(first, by()).await;
        assert!(matches!(removed, Err(RingChangeError::NotOpened(_))), "{removed:?}");
        restart_with(&mut cluster, node, &root).await;
    }
    let kms_0 = kms(&cluster, 0);
    once_noted("every member to open it by the second seal", &cluster, async || kms_0.remove_seal(first, by()).await)
        .await;
    assert_eq!(facts(&cluster, 0).ring[0].wraps.len(), 1);
    rotate(&cluster, 1).await;
    // It has the keystore of the node open, and the next start would find the folder in use.
    drop(kms_0);
    cluster.stop_all().await;
    cluster.start_all().await;
    assert_all_decrypt(&cluster, &keys).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_dropped_once_no_key_is_sealed_under_it() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    user.create_many("before", 2).await;
    rotate(&cluster, 0).await;
    let keys = user.create_many("after", 3).await;
    let drop_first = kms(&cluster, 0);
    assert_eq!(drop_first.drop_ring_version(1, by()).await, Err(RingChangeError::VersionInUse(1)));
    for name in ["before-0", "before-1"] {
        user.delete(0, name).await.expect("the key is deleted");
    }
    once_noted("the members to open the ring without it", &cluster, async || {
        drop_first.drop_ring_version(1, by()).await
    })
    .await;
    assert_all_decrypt(&cluster, &keys).await;
    // It has the keystore of the node open, and the next start would find the folder in use.
    drop(drop_first);
    cluster.stop_all().await;
    cluster.start_all().await;
    assert_all_decrypt(&cluster, &keys).await;
    let versions: Vec<u32> = facts(&cluster, 0).ring.iter().map(|version| version.version).collect();
    assert_eq!(versions, [2]);
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_read_its_root_key_again_follows_a_rotation() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 3).await;
    let root = fs::read(cluster.certificates().file("root.key")).expect("it is there");
    let own = cluster.certificates().file("own.key");
    fs::write(&own, &root).expect("the folder is writable");
    let node = cluster.follower().await;
    cluster.stop(node).await;
    cluster.config_mut(node).seal = SealConfig::File(own.clone());
    cluster.start_nodes(&[node]).await;
    fs::write(&own, BASE64_STANDARD.encode(b"short")).expect("the folder is writable");
    let version = rotate(&cluster, cluster.in_turn(node + 1)).await;
    user.create_somewhere(node, "after").await;
    assert_eq!(ring_version_of(&cluster, "after"), version);
    assert_all_decrypt(&cluster, &keys).await;
    fs::write(&own, &root).expect("the folder is writable");
    cluster.stop(node).await;
    cluster.start_nodes(&[node]).await;
    assert_all_decrypt(&cluster, &keys).await;
    cluster.assert_equal_digests().await;
}
