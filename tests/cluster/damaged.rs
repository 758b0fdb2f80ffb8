//! A node notices that its keystore was damaged or deleted, and rebuilds it. It never serves wrong keys.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{cluster, three_nodes};
use crate::support::cluster::TestCluster;
use crate::support::user::DataKey;

const ROUNDS: usize = 4;
const BYTES: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_its_keystore_rebuilds_it() {
    let mut cluster = three_nodes().await;
    let keys = cluster.admin().create_many("key", 40).await;
    let node = cluster.follower().await;
    for whole in [true, false] {
        cluster.stop(node).await;
        let keystore = cluster.data(node).join("keystore");
        let lost = if whole { keystore } else { in_use(&keystore) };
        fs::remove_dir_all(lost).expect("the folder is there");
        assert_serves_the_right_keys_again(&mut cluster, node, &keys).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bytes_in_the_keystore_never_lead_to_wrong_keys() {
    let mut cluster = three_nodes().await;
    let mut keys = cluster.admin().create_many("key", 40).await;
    let node = cluster.follower().await;
    let aside = cluster.data(node).join("keystore/damaged");
    for round in 0..ROUNDS {
        keys.extend(cluster.admin().create_many(&format!("round-{round}"), 5).await);
        cluster.stop(node).await;
        flip_bytes(&in_use(&cluster.data(node).join("keystore")).join("db"));
        assert_serves_the_right_keys_again(&mut cluster, node, &keys).await;
        fs::remove_dir_all(&aside).unwrap_or_else(|_| panic!("round {round}: the node put the damaged keystore aside"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_rebuild_its_keystore_asks_a_peer() {
    let mut cluster = cluster(3, super::snapshot_install::snapshots_early).await;
    let user = cluster.admin();
    let keys = user.create_many("key", 240).await;
    let node = cluster.follower().await;
    let snapshots = cluster.data(node).join("snapshots");
    cluster.wait_for("a snapshot", async || fs::read_dir(&snapshots).ok()?.flatten().next().map(drop)).await;
    cluster.stop(node).await;
    fs::remove_dir_all(&snapshots).expect("the folder is there");
    fs::remove_dir_all(cluster.data(node).join("keystore")).expect("the folder is there");
    assert_serves_the_right_keys_again(&mut cluster, node, &keys).await;
}

async fn assert_serves_the_right_keys_again(cluster: &mut TestCluster, node: usize, keys: &[DataKey]) {
    cluster.start_nodes(&[node]).await;
    cluster.admin().assert_decrypts(node, keys).await;
    cluster.assert_equal_digests().await;
}

/// The sled folder of a keystore.
fn in_use(keystore: &Path) -> PathBuf {
    keystore.join(fs::read_to_string(keystore.join("CURRENT")).expect("a keystore names its folder"))
}

/// Flips random bytes in the written part of a file.
fn flip_bytes(path: &Path) {
    let content = fs::read(path).expect("the file is there");
    let written: Vec<_> = (0u64..).zip(&content).filter(|(_, byte)| **byte != 0).collect();
    let file = OpenOptions::new().write(true).open(path).expect("the file is there");
    for _ in 0..BYTES {
        let (at, byte) = written[rand::random_range(0..written.len())];
        file.write_all_at(&[byte ^ rand::random_range(1..=255)], at).expect("the file can be written");
    }
}
