//! A node that may open few files keeps those that it needs for itself, however many connections clients hold open.

use std::fs;
use std::net::SocketAddr;

use futures::future::join_all;
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::http::Request;
use crate::support::http1;
use crate::support::processes::Processes;
use crate::support::status;

/// How many files the node may open. It keeps 256 for itself, and the rest limits the connections.
const FILES: usize = 400;
const IDLE: usize = 600;

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_beyond_the_limit_of_open_files_do_not_kill_the_node() {
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit can be raised");
    let mut processes = Processes::start().await;
    processes.stop(0).await;
    processes.begin_with_files(0, FILES);
    status::wait_for_state(&processes.data(0), "serving").await;
    let lowered = "the node lowers limits.connections from 10000 to 144: this process may open 400 files";
    assert!(processes.log(0).contains(lowered), "{}", processes.log(0));

    let admin = processes.admin();
    admin.create(0, "early").await.expect("the node serves");
    let sealed = admin.generate(0, "early").await.expect("the key is there");
    let earlier = [admin.connect(0).await, admin.connect(0).await];
    let (api, peer_port) = (processes.api_address(0), processes.peer_address(0));
    let idle = join_all((0..IDLE).map(|number| connect(if number % 3 == 0 { peer_port } else { api }))).await;

    let body = json!({"ciphertext": sealed.ciphertext}).to_string();
    for mut connection in earlier {
        let decrypt = Request::new("PUT", "/v1/key/decrypt/early", Some(&body));
        http1::begin(&mut connection, &decrypt).await.expect("the connection holds");
        let answer = http1::finish(&mut connection).await.expect("the connection holds");
        assert_eq!((answer.status, &answer.json()["plaintext"]), (200, &json!(sealed.plaintext)));
    }
    assert!(open_files(processes.id(0)) < FILES);
    // The node has files for its disk and its peers: it applies a write of another node.
    for number in 0..50 {
        admin.create(1, &format!("late-{number}")).await.expect("the others serve");
    }
    status::assert_equal_digests(&processes.data_folders()).await;
    drop(idle);
    // The node serves new connections again.
    admin.generate_somewhere(0, "late-0").await;
    processes.stop(0).await;
}

/// A connection on which the client never sends a byte. The node may close it at once.
async fn connect(to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(([127, 0, 0, 2], 0).into()).ok()?;
    socket.connect(to).await.ok()
}

fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).expect("the process is ours").count()
}
