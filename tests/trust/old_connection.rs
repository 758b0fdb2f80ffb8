//! A node has one start at a time. Connections of an older start end, and a copy of a node that has spoken meanwhile stops
//! that node instead of letting both vote.

use keyraft::crypto::ClusterKeys;

use super::data_folder;
use super::peer_connection::PeerConnection;
use super::peer_preface::{Answer, Impostor};
use super::support::processes::Processes;
use super::support::status;
use super::wire::peer::{Purpose, Start};
use super::{LASTING, assert_serve, three_nodes};

const NEWER_START: u32 = 8;

/// Connects to node 1 as a node that can prove itself.
async fn connect(processes: &Processes, node: &Impostor, keys: &ClusterKeys) -> (PeerConnection, Answer) {
    let greeted = node.greet(processes.peer_address(0), Purpose::Member).await.expect("it is a member");
    let proof = greeted.proof(&keys.cluster_key, &node.preface);
    greeted.show(&node.preface, proof).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_start_of_a_node_ends_the_connections_of_the_older_one() {
    let (mut processes, keys) = three_nodes().await;
    let cluster = data_folder::opened_keys(&processes.data(2), &processes.root_key());
    processes.stop(2).await;
    let older = Impostor::of(&processes.data(2), "node-3");
    let (connection, accepted) = connect(&processes, &older, &cluster).await;
    assert!(matches!(accepted, Answer::Accepted), "{accepted:?}");
    processes.start_all().await;
    connection.closed().await;
    let (_, refused) = connect(&processes, &older, &cluster).await;
    let reason = refused.refused_with(NEWER_START);
    assert!(reason.contains("node-1 has noted another start of node-3"), "{reason}");
    processes.wait_for_log(0, &["this node refused a connection", "has noted another start of node-3"]).await;
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_copy_has_spoken_ends() {
    let (mut processes, keys) = three_nodes().await;
    let cluster = data_folder::opened_keys(&processes.data(2), &processes.root_key());
    processes.stop(2).await;
    let mut copy = Impostor::of(&processes.data(2), "node-3");
    let last = copy.preface.start.take().expect("the node has started");
    copy.preface.start = Some(Start { number: last.number + 1, random: vec![7; 16].into() });
    let (_connection, accepted) = connect(&processes, &copy, &cluster).await;
    assert!(matches!(accepted, Answer::Accepted), "{accepted:?}");
    processes.begin(2);
    let how = processes.ended(2).await;
    let words = ["node-1 noted start", "does not know that start", "Otherwise leave node-3 stopped"];
    assert!(how.code() == Some(LASTING) && processes.has_logged(2, &words), "{how}\n{}", processes.log(2));
    processes.wait_for_log(0, &words).await;
    assert_serve(&processes, &[0, 1], &keys, "after").await;
    status::assert_equal_digests(&processes.data_folders()[..2]).await;
}
