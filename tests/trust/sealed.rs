//! A sealed node takes no part in consensus, and comes back by itself when its seal opens.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use keyraft::state::ClusterState;
use keyraft::store::ClusterFile;
use prost::Message;

use super::peer_preface::{Answer, Impostor};
use super::support::processes::Processes;
use super::support::status;
use super::wire::peer::{Purpose, WrapsRequest};
use super::wire::state;
use super::{assert_serve, data_folder, three_nodes};

/// Gives a node that does not run a root key file of its own, which does not exist.
fn take_root_key(processes: &Processes, number: usize) -> PathBuf {
    let own = processes.data(number).with_file_name("own-root.key");
    let shared = processes.root_key();
    processes.replace_in_config(number, &shared.display().to_string(), &own.display().to_string());
    own
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_node_does_not_vote_and_comes_back_when_its_seal_opens() {
    let (mut processes, keys) = three_nodes().await;
    let right = fs::read(processes.root_key()).expect("it is there");
    processes.stop(2).await;
    let own = take_root_key(&processes, 2);
    processes.begin(2);
    status::wait_for_state(&processes.data(2), "sealed").await;
    processes.wait_for_log(2, &["sealed", "own-root.key: No such file"]).await;
    assert_serve(&processes, &[0, 1], &keys, "during").await;
    let problem = async || {
        let status = status::of(&processes.data(0)).await.ok()?;
        let member = status["members"].as_array()?.iter().find(|member| member["name"] == "node-3")?.clone();
        member["problem"]["reason"].as_str()?.contains("is sealed: ").then_some(())
    };
    status::wait_for("node 1 to say that node 3 is sealed", &[], problem).await;
    // Neither alone nor with a sealed node is there a quorum.
    processes.kill(0);
    let words = ["votes of 2 of the 3 nodes are needed", "node-3 (", "is sealed: "];
    status::wait_for_words(&processes.data(1), &words).await;
    for wrong in [BASE64_STANDARD.encode([0xa5; 32]).as_bytes(), &right] {
        fs::write(&own, wrong).expect("the folder is writable");
        processes.signal(2, rustix::process::Signal::HUP);
        if wrong != right {
            processes.wait_for_log(2, &["this is not the root key of the cluster"]).await;
        }
    }
    for number in [1, 2] {
        status::wait_for_state(&processes.data(number), "serving").await;
    }
    assert_serve(&processes, &[1, 2], &keys, "after").await;
}

/// The same facts, with wraps that the root key does not open.
fn with_other_wraps(cluster: ClusterState) -> ClusterState {
    let mut message = state::Cluster::decode(cluster.into_stored().bytes).expect("the facts");
    for wrap in message.ring.iter_mut().flat_map(|version| &mut version.wraps) {
        let mut bytes = wrap.to_vec();
        *bytes.last_mut().expect("a wrap has bytes") ^= 1;
        *wrap = Bytes::from(bytes);
    }
    ClusterState::decode(&message.encode_to_vec()).expect("the facts")
}

/// Stops the third node and gives it wraps that do not open, as if the ring had changed while the node was away.
async fn stop_with_other_wraps(processes: &mut Processes) {
    processes.stop(2).await;
    for folder in ["keystore", "snapshots"] {
        fs::remove_dir_all(processes.data(2).join(folder)).expect("the folder is there");
    }
    let keys_of_cluster = data_folder::opened_keys(&processes.data(2), &processes.root_key()).integrity;
    let mut file = ClusterFile::open(&processes.data(2)).expect("cluster.id can be read");
    let mut facts = data_folder::facts(&processes.data(2));
    facts.cluster = with_other_wraps(facts.cluster);
    (0..2).for_each(|_| file.write(facts.clone(), &keys_of_cluster).expect("the folder is writable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_wraps_do_not_open_fetches_them_from_a_peer() {
    let (mut processes, keys) = three_nodes().await;
    let public_key = data_folder::facts(&processes.data(2)).cluster.secrets.public_key;
    stop_with_other_wraps(&mut processes).await;
    processes.start_all().await;
    assert_eq!(data_folder::facts(&processes.data(2)).cluster.secrets.public_key, public_key);
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
    status::assert_equal_digests(&processes.data_folders()).await;
}

/// Connects with a stolen TLS key and fetches wraps, as fast as the node answers.
async fn fetch_again_and_again(thief: &Impostor, address: SocketAddr) -> ! {
    loop {
        let Ok(greeted) = thief.greet(address, Purpose::Sealed).await else { continue };
        let (connection, answer) = greeted.show(&thief.preface, Bytes::new()).await;
        if matches!(answer, Answer::Accepted) {
            // Another connection with the key may end this one.
            let _ = connection.client().await.fetch_wraps(WrapsRequest::default()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_of_its_tls_key_does_not_keep_a_sealed_node_from_its_wraps() {
    let (mut processes, keys) = three_nodes().await;
    let thief = Impostor::of(&processes.data(2), "node-3");
    stop_with_other_wraps(&mut processes).await;
    let [first, second] = [0, 1].map(|number| processes.peer_address(number));
    tokio::select! {
        never = fetch_again_and_again(&thief, first) => never,
        never = fetch_again_and_again(&thief, second) => never,
        () = processes.start_all() => {}
    }
    assert!(processes.has_logged(2, &["opened its key ring with wraps that it fetched from a member"]));
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
}
