//! A leader that lost its quorum does not keep the nodes that it still reaches from electing another one.

use std::collections::HashMap;
use std::net::SocketAddr;

use keyraft::config::Config;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::cluster;

/// A way from one node to another, which can be cut.
struct Link {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Link {
    async fn to(peer: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let is_cut = watch::Sender::new(false);
        let seen = is_cut.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass_on(near, peer, seen.clone()));
            }
        });
        Self { address, is_cut }
    }
}

/// Passes on what one connection carries, until the link is cut.
async fn pass_on(mut near: TcpStream, peer: SocketAddr, mut is_cut: watch::Receiver<bool>) {
    let both = async {
        let mut far = TcpStream::connect(peer).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        copy_bidirectional(&mut near, &mut far).await
    };
    tokio::select! {
        // One of the nodes may close the connection.
        _ = both => {}
        _ = is_cut.wait_for(|is_cut| *is_cut) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_elects_a_leader_although_the_old_one_reaches_a_node_of_it() {
    let mut cluster = cluster(5, |_: &mut Config| {}).await;
    cluster.stop_all().await;
    let mut links = HashMap::new();
    for (from, to) in (0..5).flat_map(|from| (0..5).map(move |to| (from, to))).filter(|(from, to)| from != to) {
        let link = Link::to(cluster.config(to).cluster.listen).await;
        cluster.config_mut(from).cluster.peers[to].peer_address = link.address.to_string();
        links.insert((from, to), link);
    }
    cluster.start_all().await;
    let user = cluster.admin();
    let leader = cluster.leader().await;
    let others: Vec<_> = (0..5).filter(|number| *number != leader).collect();
    let (dead, quorum) = (others[3], &others[..3]);
    cluster.kill(dead).await;
    // The leader reaches `quorum[0]` only. The three nodes of `quorum` reach each other.
    for cut_off in &quorum[1..] {
        for ends in [(leader, *cut_off), (*cut_off, leader)] {
            links[&ends].is_cut.send_replace(true);
        }
    }
    let elected = cluster.leader_of(quorum).await;
    assert_ne!(elected, leader);
    user.create_through(quorum[1], "during-the-partition").await;
    for link in links.values() {
        link.is_cut.send_replace(false);
    }
    cluster.start_nodes(&[dead]).await;
    cluster.leader().await;
    cluster.assert_equal_digests().await;
}
