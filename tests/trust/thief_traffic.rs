//! What somebody sends who holds the TLS key and the data folder of a member, on the connection of a sealed node: neither
//! lies, nor large messages, nor many small ones do any harm.

use bytes::Bytes;

use super::peer_connection::PeerConnection;
use super::peer_preface::{Answer, Impostor};
use super::support::processes::Processes;
use super::wire::peer::{self, Purpose};
use super::{assert_serve, three_nodes};

fn thief(processes: &Processes) -> Impostor {
    Impostor::of(&processes.data(2), "node-3")
}

async fn connected(processes: &Processes, thief: &Impostor) -> PeerConnection {
    let greeted = thief.greet(processes.peer_address(0), Purpose::Sealed).await.expect("it is a member");
    let (connection, answer) = greeted.show(&thief.preface, Bytes::new()).await;
    assert!(matches!(answer, Answer::Accepted), "{answer:?}");
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_that_a_thief_claims_is_not_noted() {
    let (processes, keys) = three_nodes().await;
    let mut thief = thief(&processes);
    (thief.preface.version, thief.preface.highest_level) = ("98.76.54".to_owned(), 9);
    let mut client = connected(&processes, &thief).await.client().await;
    // The node has noted by now what it notes of a connection.
    client.fetch_wraps(peer::WrapsRequest::default()).await.expect("it is a member");
    assert!(!processes.has_logged(0, &["98.76.54"]), "{}", processes.log(0));
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
}
