//! What somebody sends who holds the TLS key and the data folder of a member, on the connection of a sealed node: neither
//! lies, nor large messages, nor many small ones do any harm.

use std::fs;

use bytes::Bytes;
use futures::future::join_all;
use tonic::Code;

use super::peer_connection::PeerConnection;
use super::peer_preface::{Answer, Impostor};
use super::support::processes::Processes;
use super::wire::peer::{self, Purpose};
use super::{assert_serve, three_nodes};

const MESSAGES: usize = 16;
const MESSAGE_BYTES: usize = 8 * 1024 * 1024;
/// More memory than a node may take for all of these messages.
const MEMORY_KIB: u64 = 48 * 1024;
/// More calls than fit into what a sealed node may send.
const CALLS: usize = 5_000;

fn thief(processes: &Processes) -> Impostor {
    Impostor::of(&processes.data(2), "node-3")
}

async fn connected(processes: &Processes, thief: &Impostor) -> PeerConnection {
    let greeted = thief.greet(processes.peer_address(0), Purpose::Sealed).await.expect("it is a member");
    let (connection, answer) = greeted.show(&thief.preface, Bytes::new()).await;
    assert!(matches!(answer, Answer::Accepted), "{answer:?}");
    connection
}

/// The most memory that a node has had so far.
fn peak_memory_kib(processes: &Processes, number: usize) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", processes.id(number))).expect("the node runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    peak.expect("the system counts it").parse().expect("a number")
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

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_of_a_thief_take_no_memory() {
    let (processes, keys) = three_nodes().await;
    let client = connected(&processes, &thief(&processes)).await.client().await;
    let before = peak_memory_kib(&processes, 0);
    let payload = Bytes::from(vec![7; MESSAGE_BYTES]);
    let sent = (0..MESSAGES).map(|_| {
        let (mut client, payload) = (client.clone(), payload.clone());
        async move {
            let request =
                peer::AppendRequest { entries: vec![peer::LogEntry { id: None, payload }], ..Default::default() };
            client.append_once(request).await.expect_err("it may only fetch wraps").code()
        }
    });
    let codes = join_all(sent).await;
    assert!(!codes.contains(&Code::PermissionDenied), "the node ends the connection before it has read such a message");
    let taken = peak_memory_kib(&processes, 0) - before;
    assert!(taken < MEMORY_KIB, "the messages took {taken} KiB");
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_makes_few_calls_on_a_connection() {
    let (processes, keys) = three_nodes().await;
    let mut client = connected(&processes, &thief(&processes)).await.client().await;
    let mut calls = 0;
    while calls < CALLS {
        match client.vote(peer::VoteRequest::default()).await {
            Err(status) if status.code() == Code::PermissionDenied => calls += 1,
            _ => break,
        }
    }
    assert!(calls < CALLS, "the node answers as many calls as the thief likes");
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
}
