//! A node of another cluster, or of another incarnation of this one, takes no part even if it has the root key.

use super::data_folder::{self, Copied};
use super::peer_preface::{Answer, Impostor};
use super::support::status;
use super::wire::peer::Purpose;
use super::{assert_serve, three_nodes};

const ANOTHER_CLUSTER: u32 = 2;
const ANOTHER_INCARNATION: u32 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_with_the_same_root_key_is_refused() {
    let (mut processes, _) = three_nodes().await;
    for number in 0..3 {
        processes.stop(number).await;
    }
    let of_another = Copied::of(&processes.data(2));
    for data in processes.data_folders() {
        // With another TLS key, the node would get no further than the handshake.
        data_folder::remove_all_but_peer_key(&data);
    }
    processes.start_all().await;
    let keys = processes.admin().create_many("key", 12).await;
    processes.stop(2).await;
    of_another.put_back(&processes.data(2));
    processes.begin(2);
    for number in 0..3 {
        processes.wait_for_log(number, &["belongs to the cluster", "check the addresses in cluster.peers"]).await;
    }
    status::wait_for_words(&processes.data(2), &["node-1 (", "node-2 (", "belongs to the cluster"]).await;
    assert_serve(&processes, &[0, 1], &keys, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_incarnation_is_refused() {
    let (processes, keys) = three_nodes().await;
    let cluster = data_folder::opened_keys(&processes.data(2), &processes.root_key());
    let other = vec![7; 16];
    for (code, says) in [(ANOTHER_CLUSTER, "belongs to the cluster"), (ANOTHER_INCARNATION, "the incarnation")] {
        let mut node = Impostor::of(&processes.data(2), "node-3");
        match code {
            ANOTHER_CLUSTER => node.preface.cluster_id = other.clone().into(),
            _ => node.preface.incarnation = other.clone().into(),
        }
        let greeted = node.greet(processes.peer_address(0), Purpose::Member).await.expect("it proves itself");
        let proof = greeted.proof(&cluster.cluster_key, &node.preface);
        let (_, refused) = greeted.show(&node.preface, proof).await;
        assert!(!matches!(refused, Answer::Accepted));
        let reason = refused.refused_with(code);
        assert!(reason.contains(says), "{reason}");
        processes.wait_for_log(0, &["this node refused a connection", says]).await;
    }
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
}
