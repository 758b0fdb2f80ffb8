//! Each node keeps what it must know of its cluster in `cluster.id`, and makes that file again when it is lost.

use std::fs;

use keyraft::kms::open_cluster;
use keyraft::store::ClusterFile;

use super::three_nodes;
use super::waiting::wait_until_waiting_for;

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_damaged_cluster_file_is_made_again() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 3).await;
    let node = cluster.follower().await;
    let path = cluster.data(node).join("cluster.id");
    cluster.stop(node).await;
    let whole = fs::read(&path).expect("a node that stopped has the file");
    let id = cluster.wait_for("the cluster's id", async || {
        let running = cluster.running().next()?;
        cluster.local_status(running).await.ok()?["cluster_id"].as_str().map(ToOwned::to_owned)
    });
    let id = hex::decode(id.await).expect("the id is hexadecimal");
    let has_id = |content: &[u8]| content.windows(id.len()).any(|bytes| bytes == id);
    assert!(has_id(&whole));
    for content in [None, Some(vec![0xa5; whole.len()]), Some(whole[..100].to_vec()), Some(Vec::new())] {
        match content {
            Some(content) => fs::write(&path, content).expect("the folder is writable"),
            None => fs::remove_file(&path).expect("the file is there"),
        }
        cluster.start_nodes(&[node]).await;
        user.assert_decrypts(node, &keys).await;
        assert!(has_id(&fs::read(&path).expect("the node made the file again")));
        cluster.stop(node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_file_of_another_data_folder_ends_the_start_and_stays_as_it_is() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 3).await;
    let node = cluster.follower().await;
    cluster.stop(node).await;
    let path = cluster.data(node).join("cluster.id");
    let foreign = fs::read(cluster.data((node + 1) % 3).join("cluster.id")).expect("the other node has the file");
    fs::write(&path, &foreign).expect("the folder is writable");
    for _ in 0..2 {
        cluster.begin_nodes(&[node]).await;
        let why = cluster.ended(node).await;
        assert!(why.is_of_a_setting(), "the error begins with the configuration file");
        let ids =
            [format!("belongs to node {} of the cluster", (node + 1) % 3 + 1), format!("belong to node {}", node + 1)];
        assert!(ids.iter().all(|id| why.to_string().contains(id)), "{why}");
        assert_eq!(fs::read(&path).expect("the file is there"), foreign);
    }
    // What the error advises.
    fs::remove_file(&path).expect("the file is there");
    cluster.start_nodes(&[node]).await;
    user.assert_decrypts(node, &keys).await;
    cluster.assert_equal_digests().await;
}

/// What the node reads in a keystore that it cannot use may be forged.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_cluster_file_is_made_again_only_from_a_keystore_that_the_node_uses() {
    let mut cluster = three_nodes().await;
    let keys = cluster.admin().create_many("before", 3).await;
    let (node, data) = (0, cluster.data(0).to_owned());
    let path = data.join("cluster.id");
    cluster.stop_all().await;
    fs::remove_file(&path).expect("a node that stopped has the file");
    fs::write(data.join("keystore/WRONG"), "").expect("the folder is writable");
    // The second start has neither the file nor a keystore.
    for _ in 0..2 {
        cluster.begin_nodes(&[node]).await;
        wait_until_waiting_for(&cluster, node, &["a snapshot, but node-2"]).await;
        assert!(!path.exists(), "the keystore of a peer will say what is right");
        cluster.kill(node).await;
    }
    cluster.start_all().await;
    cluster.admin().assert_decrypts(node, &keys).await;
    assert!(path.exists());
    cluster.assert_equal_digests().await;
}

/// A crash may leave either of them older, before or after the wraps of the ring changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_part_if_its_root_key_opens_the_ring_of_its_keystore_alone() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("before", 3).await;
    let node = cluster.follower().await;
    cluster.stop(node).await;
    let mut file = ClusterFile::open(cluster.data(node)).expect("the file can be read");
    let right = file.facts().expect("a node that stopped has the file").clone();
    let mut older = right.clone();
    let root = fs::read_to_string(cluster.certificates().file("root.key")).expect("it is there");
    let open =
        open_cluster(&right.cluster, &root.parse().expect("a root key")).expect("the root key opens the cluster");
    for wrap in older.cluster.ring.iter_mut().flat_map(|version| &mut version.wraps) {
        let mut bytes = wrap.to_vec();
        *bytes.last_mut().expect("a wrap has bytes") ^= 1;
        *wrap = bytes.into();
    }
    file.write(older, &open.integrity).expect("the file can be written");
    cluster.start_nodes(&[node]).await;
    user.assert_decrypts(node, &keys).await;
    cluster.stop(node).await;
    let file = ClusterFile::open(cluster.data(node)).expect("the file can be read");
    assert_eq!(file.facts(), Some(&right), "the node wrote the ring that it has applied");
}
