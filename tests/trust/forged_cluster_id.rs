//! Somebody who can write to the data folder of a node changes `cluster.id`. The node takes the facts from elsewhere.

use bytes::Bytes;
use keyraft::crypto::ClusterKey;
use prost::Message;

use super::data_folder::{self, Copied};
use super::slots::CLUSTER_ID;
use super::support::status;
use super::wire::store::ClusterFile;
use super::wire::{peer, state};
use super::{LASTING, assert_serve, three_nodes};

type Change = fn(&mut ClusterFile);

fn change_facts(file: &mut ClusterFile, change: impl FnOnce(&mut state::Cluster)) {
    let mut cluster = state::Cluster::decode(file.cluster.clone()).expect("the facts");
    change(&mut cluster);
    file.cluster = cluster.encode_to_vec().into();
}

/// Puts the public key of somebody else in the place of the cluster's.
fn other_public_key(file: &mut ClusterFile) {
    let key = ClusterKey::generate().public().to_bytes();
    change_facts(file, |cluster| cluster.public_key = Bytes::copy_from_slice(&key));
}

fn other_incarnation(file: &mut ClusterFile) {
    change_facts(file, |cluster| cluster.incarnation = Bytes::from_static(&[7; 16]));
}

/// Puts another TLS key in the place of that of every member.
fn other_members(file: &mut ClusterFile) {
    let mut membership = peer::Membership::decode(file.membership.clone()).expect("a membership");
    membership.members.iter_mut().for_each(|member| member.key = Bytes::from_static(&[7; 32]));
    file.membership = membership.encode_to_vec().into();
}

fn no_admission(file: &mut ClusterFile) {
    file.admission = Bytes::from_static(&[7; 64]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_cluster_id_is_not_believed() {
    let (mut processes, keys) = three_nodes().await;
    let attempts: [(&str, Change); 4] = [
        ("public-key", other_public_key),
        ("incarnation", other_incarnation),
        ("members", other_members),
        ("admission", no_admission),
    ];
    for (what, change) in attempts {
        processes.stop(2).await;
        let (data, before) = (processes.data(2), processes.log(2).len());
        let facts = data_folder::facts(&data);
        CLUSTER_ID.forge(&data, change);
        processes.start_all().await;
        let log = processes.log(2)[before..].to_owned();
        assert!(log.contains("cluster.id"), "{what}: the node logs what it found:\n{log}");
        assert_serve(&processes, &[0, 1, 2], &keys, &format!("after-{what}")).await;
        let restored = data_folder::facts(&data);
        assert_eq!(restored.cluster.secrets.public_key, facts.cluster.secrets.public_key, "{what}");
        assert_eq!(restored.cluster.incarnation, facts.cluster.incarnation, "{what}");
        assert_eq!(restored.membership, facts.membership, "{what}");
        status::assert_equal_digests(&processes.data_folders()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_id_of_another_node_is_refused() {
    let (mut processes, keys) = three_nodes().await;
    for number in [1, 2] {
        processes.stop(number).await;
    }
    let (data, whole) = (processes.data(2), Copied::of(&processes.data(2)));
    std::fs::copy(processes.data(1).join("cluster.id"), data.join("cluster.id")).expect("the folder is writable");
    processes.begin(1);
    status::wait_for_state(&processes.data(1), "serving").await;
    processes.begin(2);
    let how = processes.ended(2).await;
    assert!(
        how.code() == Some(LASTING) && processes.has_logged(2, &["belongs to node"]),
        "{how}\n{}",
        processes.log(2)
    );
    assert_serve(&processes, &[0, 1], &keys, "during").await;
    whole.put_back(&data);
    processes.start_all().await;
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
}
