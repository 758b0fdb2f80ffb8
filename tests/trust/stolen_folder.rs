//! Somebody copied the data folder of a node, with or without its TLS key, but has no root key. The copy takes no part in
//! the cluster and opens no key.

use std::fs;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::data_folder::Copied;
use super::outsider::Outsider;
use super::support::status;
use super::{assert_serve, three_nodes};

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_folder_without_the_root_key_stays_sealed() {
    let (mut processes, keys) = three_nodes().await;
    processes.stop(2).await;
    let stolen = [(); 2].map(|()| Copied::of(&processes.data(2)));
    // The node itself goes on beside the copies.
    processes.start_all().await;
    let other_key = BASE64_STANDARD.encode([0xa5; 32]);
    let root_keys = [None, Some(other_key.as_str())];
    let outsiders: Vec<_> = stolen
        .iter()
        .zip(root_keys)
        .map(|(stolen, root_key)| Outsider::start(&processes, 2, &stolen.path(), root_key))
        .collect();
    for (outsider, reason) in outsiders.iter().zip(["root.key: No such file", "this is not the root key"]) {
        let sealed = status::wait_for_state(outsider.data(), "sealed").await;
        let shown = sealed["node"]["reason"].as_str().expect("a sealed node says why");
        assert!(shown.contains(reason), "{shown}");
        assert!(sealed["waiting_for"].to_string().contains("the root key of the cluster"), "{sealed}");
        outsider.wait_for_log(&["sealed", reason]).await;
    }
    assert_serve(&processes, &[0, 1, 2], &keys, "during").await;
    status::assert_equal_digests(&processes.data_folders()).await;
    for outsider in &outsiders {
        let status = status::of(outsider.data()).await.expect("it answers");
        assert_eq!(status["node"]["state"], "sealed", "{status}");
        assert!(!outsider.log().contains("\"serving\"") && status["leader"].is_null(), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_folder_without_its_tls_key_is_nobody() {
    let (mut processes, keys) = three_nodes().await;
    processes.stop(2).await;
    let stolen = [(); 2].map(|()| Copied::of(&processes.data(2)));
    processes.start_all().await;
    fs::remove_file(stolen[0].path().join("peer.key")).expect("the node made its key");
    let mut keyless = Outsider::start(&processes, 2, &stolen[0].path(), None);
    assert!(!keyless.ended().await);
    keyless.wait_for_log(&["peer.key is missing"]).await;
    // With the key of another node, it is nobody that the cluster admitted.
    fs::copy(processes.data(1).join("peer.key"), stolen[1].path().join("peer.key")).expect("the folder is writable");
    let other = BASE64_STANDARD.encode([0xa5; 32]);
    let strange = Outsider::start(&processes, 2, &stolen[1].path(), Some(&other));
    status::wait_for_state(strange.data(), "sealed").await;
    processes.wait_for_log(0, &["this node refused a connection", "node-3", "the cluster admitted it"]).await;
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
}
