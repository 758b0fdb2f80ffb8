//! Silent sockets on the peer port do not keep the peers out: clients that hold them get only their share.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use super::three_nodes;
use crate::support::user::User;

/// More than the handshakes that a node has under way at a time.
const SOCKETS: usize = 80;
const PAUSE: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_connects_while_an_attacker_holds_every_socket_it_can() {
    let mut cluster = three_nodes().await;
    cluster.stop(2).await;
    let ports: Vec<_> = [0, 1].map(|node| cluster.config(node).cluster.listen).to_vec();
    let attack = tokio::spawn(async move {
        let attackers = (0..SOCKETS).flat_map(|number| ports.clone().into_iter().map(move |port| (number, port)));
        join_all(attackers.map(|(number, port)| hold_on(number, port))).await;
    });
    // The attack is under way before the node starts.
    tokio::task::yield_now().await;
    for name in ["one", "two", "three"] {
        cluster.start_nodes(&[2]).await;
        let admin: User = cluster.admin();
        admin.create(2, name).await.expect("the node reaches the leader");
        cluster.stop(2).await;
    }
    assert!(!attack.is_finished(), "the attack went on all the time");
    attack.abort();
}

/// Connects from addresses that are not in `cluster.peers`, stays silent, and connects again when the node closes a
/// connection. Never returns.
async fn hold_on(number: usize, port: SocketAddr) {
    // The attacker has a few addresses, so that the share of one address is not its only limit.
    let from = SocketAddr::from(([127, 0, 0, 2 + u8::try_from(number % 4).expect("it is small")], 0));
    loop {
        if let Ok(mut silent) = connect(from, port).await {
            // This returns when the node closes the connection.
            let _ = silent.read_u8().await;
        }
        // Without a pause, the test would only measure who has more processors.
        tokio::time::sleep(PAUSE).await;
    }
}

async fn connect(from: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    socket.connect(to).await
}
