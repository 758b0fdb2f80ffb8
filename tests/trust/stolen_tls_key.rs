//! Somebody holds the TLS key of a node, and even knows what its data folder says, but has no root key. They can fetch the
//! wraps of the key ring, which only a root key opens, and nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::pin;

use bytes::Bytes;
use futures::stream;
use keyraft::crypto::ClusterKey;
use serde_json::Value;
use tokio::net::TcpListener;
use tonic::{Code, Response, Status};

use super::data_folder;
use super::peer_connection::{PeerConnection, PeerKey};
use super::peer_preface::{Answer, Impostor, answer};
use super::support::processes::Processes;
use super::support::status;
use super::wire::peer::{self, Purpose};
use super::{assert_serve, three_nodes};

const NOT_PROVEN: u32 = 5;
const NOT_ADMITTED: u32 = 6;
const CLUSTER_BEGUN: u32 = 11;

/// The leader and its term, which an attack must not change.
async fn leader(processes: &Processes, number: usize) -> (Value, Value) {
    let status = status::of(&processes.data(number)).await.expect("the node answers");
    (status["leader"].clone(), status["term"].clone())
}

fn impostor(processes: &Processes, number: usize) -> Impostor {
    Impostor::of(&processes.data(number), &format!("node-{}", number + 1))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tls_key_of_a_member_proves_nothing() {
    let (processes, keys) = three_nodes().await;
    let (thief, address) = (impostor(&processes, 2), processes.peer_address(0));
    let before = leader(&processes, 0).await;
    let greet = async || thief.greet(address, Purpose::Member).await.expect("the node proves itself first");
    let other_connection = greet().await.theirs;
    let random: [u8; 64] = std::array::from_fn(|_| rand::random());
    let own_key = ClusterKey::generate();
    for forged in ["nothing", "random", "another cluster key", "replayed", "reflected"] {
        let greeted = greet().await;
        let proof = match forged {
            "nothing" => Bytes::new(),
            "random" => Bytes::copy_from_slice(&random),
            "another cluster key" => greeted.proof(&own_key, &thief.preface),
            "replayed" => other_connection.proof.clone(),
            _ => greeted.theirs.proof.clone(),
        };
        let (connection, answer) = greeted.show(&thief.preface, proof).await;
        let reason = answer.refused_with(NOT_PROVEN);
        assert!(
            reason.contains("node-3 did not prove to node-1") && reason.contains("Check which machine"),
            "{reason}"
        );
        connection.closed().await;
    }
    processes.wait_for_log(0, &["this node refused a connection", "node-3 did not prove to node-1"]).await;
    // The same preface with a proof that only an open key ring can make is accepted: nothing else was wrong.
    let cluster = data_folder::opened_keys(&processes.data(2), &processes.root_key());
    let greeted = greet().await;
    let proof = greeted.proof(&cluster.cluster_key, &thief.preface);
    let (_connection, accepted) = greeted.show(&thief.preface, proof).await;
    assert!(matches!(accepted, Answer::Accepted), "{accepted:?}");
    assert_eq!(leader(&processes, 0).await, before, "no attempt deposed the leader");
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tls_key_of_a_member_founds_no_other_cluster() {
    let (processes, keys) = three_nodes().await;
    let thief = impostor(&processes, 2);
    for number in [0, 1] {
        let refused = thief.greet(processes.peer_address(number), Purpose::Founder).await.map(drop);
        refused.expect_err("the cluster has begun").refused_with(CLUSTER_BEGUN);
        processes.wait_for_log(usize::from(number), &["this node refused a connection", "has begun"]).await;
    }
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
}

fn code<T>(answer: Result<Response<T>, Status>) -> Code {
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// Makes each call of the peer service once. Returns how the node answers, by the name of the call.
async fn call_everything(connection: PeerConnection) -> BTreeMap<&'static str, Code> {
    let mut client = connection.client().await;
    BTreeMap::from([
        ("FetchWraps", code(client.fetch_wraps(peer::WrapsRequest::default()).await)),
        ("AskFounder", code(client.ask_founder(peer::FounderQuestion::default()).await)),
        ("Found", code(client.found(peer::FoundRequest::default()).await)),
        ("Append", code(client.append(stream::iter([peer::AppendRequest::default()])).await)),
        ("AppendOnce", code(client.append_once(peer::AppendRequest::default()).await)),
        ("Heartbeat", code(client.heartbeat(stream::iter([peer::HeartbeatRequest::default()])).await)),
        ("Vote", code(client.vote(peer::VoteRequest::default()).await)),
        ("TransferLeader", code(client.transfer_leader(peer::TransferRequest::default()).await)),
        ("CatchUp", code(client.catch_up(peer::CatchUpRequest::default()).await)),
        ("InstallSnapshot", code(client.install_snapshot(stream::iter([peer::SnapshotPart::default()])).await)),
        ("FetchSnapshot", code(client.fetch_snapshot(peer::FetchRequest::default()).await)),
        ("FollowLog", code(client.follow_log(peer::FollowLogRequest::default()).await)),
        ("Propose", code(client.propose(stream::iter([peer::Proposals::default()])).await)),
        ("ReadIndex", code(client.read_index(peer::ReadIndexRequest::default()).await)),
        ("Fence", code(client.fence(peer::FenceRequest::default()).await)),
        ("FetchRecord", code(client.fetch_record(peer::RecordRequest::default()).await)),
        ("FetchMark", code(client.fetch_mark(peer::DigestRequest::default()).await)),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tls_key_of_a_member_fetches_wraps_and_nothing_else() {
    let (processes, keys) = three_nodes().await;
    let before = leader(&processes, 0).await;
    let proto = include_str!("../../proto/peer.proto").lines();
    let calls = proto.filter_map(|line| line.trim_start().strip_prefix("rpc ")?.split('(').next());
    let expected: BTreeMap<_, _> =
        calls.map(|call| (call, if call == "FetchWraps" { Code::Ok } else { Code::PermissionDenied })).collect();
    let thief = impostor(&processes, 2);
    for number in [0, 1] {
        let greeted = thief.greet(processes.peer_address(number), Purpose::Sealed).await.expect("it is a member");
        let (connection, answer) = greeted.show(&thief.preface, Bytes::new()).await;
        assert!(matches!(answer, Answer::Accepted), "{answer:?}");
        assert_eq!(call_everything(connection).await, expected, "node {number}");
    }
    // The admission is for one TLS key, one id and one data folder.
    let strange = Impostor { key: PeerKey::new(), preface: thief.preface.clone() };
    let mut other = impostor(&processes, 2);
    other.preface.node_id = 2;
    let mut without = impostor(&processes, 2);
    without.preface.admission = None;
    for impostor in [strange, other, without] {
        let answer = match impostor.greet(processes.peer_address(0), Purpose::Sealed).await {
            Ok(greeted) => greeted.show(&impostor.preface, Bytes::new()).await.1,
            Err(answer) => answer,
        };
        answer.refused_with(NOT_ADMITTED);
    }
    processes.wait_for_log(0, &["this node refused a connection", "the cluster admitted it with this TLS key"]).await;
    assert_eq!(leader(&processes, 0).await, before);
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
}

/// Lets node 3 reach node 1 only through somebody at this address.
async fn divert(processes: &mut Processes) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there are free ports");
    let (real, false_one) = (processes.peer_address(0), listener.local_addr().expect("it is bound"));
    processes.stop(2).await;
    processes.replace_in_config(2, &format!("peer: \"{real}\""), &format!("peer: \"{false_one}\""));
    processes.begin(2);
    listener
}

#[tokio::test(flavor = "multi_thread")]
async fn stolen_tls_keys_of_two_nodes_open_no_connection_between_them() {
    let (mut processes, keys) = three_nodes().await;
    let [first, third] = [0, 2].map(|number| PeerKey::stolen_from(&processes.data(number)));
    let listener = divert(&mut processes).await;
    {
        let mut relaying = pin!(relay_all(&listener, &first, processes.peer_address(0), &third));
        for number in [0, 2] {
            let words = ["did not prove to node-3", "something between the two nodes opens their TLS connections"];
            tokio::select! {
                never = &mut relaying => never,
                () = processes.wait_for_log(number, &words) => {}
            }
        }
    }
    // What node 1 says to somebody else on another connection proves nothing to node 3.
    let thief = impostor(&processes, 2);
    let recorded = thief.greet(processes.peer_address(0), Purpose::Member).await.expect("it proves itself").theirs;
    let mut connection = accepted(&listener, &first).await;
    connection.read().await.expect("a hello");
    connection.send(&(1, prost::Message::encode_to_vec(&recorded).into())).await;
    answer(connection.read().await).refused_with(NOT_PROVEN);
    assert_serve(&processes, &[0, 1], &keys, "after").await;
    let first = processes.peer_address(0);
    let diverted = listener.local_addr().expect("it is bound");
    processes.stop(2).await;
    processes.replace_in_config(2, &format!("peer: \"{diverted}\""), &format!("peer: \"{first}\""));
    processes.start_all().await;
    status::assert_equal_digests(&processes.data_folders()).await;
}

async fn accepted(listener: &TcpListener, key: &PeerKey) -> PeerConnection {
    loop {
        let (tcp, _) = listener.accept().await.expect("the listener is open");
        if let Ok(connection) = PeerConnection::from(tcp, key).await {
            return connection;
        }
    }
}

async fn relay_all(listener: &TcpListener, near: &PeerKey, acceptor: SocketAddr, far: &PeerKey) -> ! {
    loop {
        relay(&mut accepted(listener, near).await, acceptor, far).await;
    }
}

/// Passes frames on between a node that connected and the one that it wanted to reach.
async fn relay(connector: &mut PeerConnection, acceptor: SocketAddr, key: &PeerKey) {
    let mut acceptor = PeerConnection::to(acceptor, key).await;
    // On a slow machine each of them may have given up.
    let Some(hello) = connector.read().await else { return };
    acceptor.send(&hello).await;
    let Some(preface) = acceptor.read().await else { return };
    connector.send(&preface).await;
    let Some(refusal) = connector.read().await else { return };
    acceptor.send(&refusal).await;
    answer(Some(refusal)).refused_with(NOT_PROVEN);
}
