//! A node of another cluster, or of another incarnation of this one, takes no part even if it has the root key.

use super::data_folder::{self, Copied};
use super::founded::FirstCommand;
use super::support::processes::Processes;
use super::support::status;
use super::{assert_serve, three_nodes};

async fn stop_all(processes: &mut Processes) {
    for number in 0..3 {
        processes.stop(number).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_with_the_same_root_key_is_refused() {
    let (mut processes, _) = three_nodes().await;
    stop_all(&mut processes).await;
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
    let (mut processes, _) = three_nodes().await;
    let first = FirstCommand::new(&processes);
    stop_all(&mut processes).await;
    first.found(&mut processes).await;
    stop_all(&mut processes).await;
    let of_another = Copied::of(&processes.data(2));
    first.of_another_incarnation().found(&mut processes).await;
    let [recovered, other] = [processes.data(2), of_another.path()].map(|data| data_folder::facts(&data).cluster);
    assert!(
        recovered.id == other.id && recovered.secrets == other.secrets && recovered.incarnation != other.incarnation
    );
    let keys = processes.admin().create_many("key", 12).await;
    processes.stop(2).await;
    of_another.put_back(&processes.data(2));
    processes.begin(2);
    for number in 0..3 {
        processes.wait_for_log(number, &["belongs to the incarnation", "keep both data folders"]).await;
    }
    status::wait_for_words(&processes.data(2), &["node-1 (", "node-2 (", "belongs to the incarnation"]).await;
    assert_serve(&processes, &[0, 1], &keys, "after").await;
}
