//! Silent sockets on the peer port do not keep the peers out: those who hold them get their share and no more.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use super::three_nodes;
use crate::support::user::User;

/// More than the handshakes that a node does at a time.
const SOCKETS: usize = 80;
const PAUSE: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_gets_in_while_somebody_else_holds_every_socket_that_he_can() {
    let mut cluster = three_nodes().await;
    cluster.stop(2).await;
    let ports: Vec<_> = [0, 1].map(|node| cluster.config(node).cluster.listen).to_vec();
    let attack = tokio::spawn(async move {
        let attackers = (0..SOCKETS).flat_map(|number| ports.clone().into_iter().map(move |port| (number, port)));
        join_all(attackers.map(|(number, port)| hold_on(number, port))).await;
    });
    // The attack is under way before the node comes.
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

/// Connects from an address that is no peer's, says nothing, and connects again whenever the node has had enough. Never ends.
async fn hold_on(number: usize, port: SocketAddr) {
    // One attacker holds on to a few addresses: the share of one must not be all that limits him.
    let from = SocketAddr::from(([127, 0, 0, 2 + u8::try_from(number % 4).expect("it is small")], 0));
    loop {
        if let Ok(mut silent) = connect(from, port).await {
            // It ends when the node closes it.
            let _ = silent.read_u8().await;
        }
        // An attack that is nothing but connecting would measure who has more processors.
        tokio::time::sleep(PAUSE).await;
    }
}

async fn connect(from: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    socket.connect(to).await
}
