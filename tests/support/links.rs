//! Links between the nodes of a cluster, which a test can cut: proxies, one for each node that connects and each that
//! listens.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::cluster::TestCluster;

/// The links between all nodes of a cluster.
pub struct Links {
    /// By the node that connects and the node that listens.
    links: HashMap<(usize, usize), Link>,
}

/// The connections from one node to another.
struct Link {
    address: SocketAddr,
    cut: watch::Sender<Cut>,
}

/// What a link does not carry.
#[derive(Debug, Clone, Copy, Default)]
struct Cut {
    /// Any connection: those that are open are closed, and so is each new one.
    connections: bool,
    /// What the node that connects sends.
    forth: bool,
    /// What the node that listens sends.
    back: bool,
}

impl Links {
    /// Leads all connections between the nodes over links, from the next start of the nodes on.
    pub async fn between_all(cluster: &mut TestCluster) -> Self {
        let mut links = HashMap::new();
        for to in cluster.all() {
            for from in cluster.others(to) {
                let link = Link::to(cluster.config(to).cluster.listen).await;
                cluster.config_mut(from).cluster.peers[to].peer_address = link.address.to_string();
                links.insert((from, to), link);
            }
        }
        Self { links }
    }

    /// Closes every connection between two nodes, and each new one, as if a firewall rejected them.
    pub fn close(&self, one: usize, other: usize) {
        for ends in [(one, other), (other, one)] {
            self.links[&ends].cut.send_modify(|cut| cut.connections = true);
        }
    }

    /// The same for one node and all others.
    pub fn isolate(&self, node: usize) {
        for &(from, to) in self.links.keys().filter(|(from, _)| *from == node) {
            self.close(from, to);
        }
    }

    /// Lets nothing through that one node sends to another, over connections of either. Connections stay open and hang, as
    /// when a network loses all packets of that direction.
    pub fn lose(&self, from: usize, to: usize) {
        self.links[&(from, to)].cut.send_modify(|cut| cut.forth = true);
        self.links[&(to, from)].cut.send_modify(|cut| cut.back = true);
    }

    /// Mends every link. What was on its way over a connection that still stands arrives late, as when TCP sends it again.
    pub fn mend(&self) {
        for link in self.links.values() {
            link.cut.send_replace(Cut::default());
        }
    }
}

impl Link {
    async fn to(peer: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let cut = watch::Sender::new(Cut::default());
        let seen = cut.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, peer, seen.clone()));
            }
        });
        Self { address, cut }
    }
}

/// Carries one connection until one of its nodes closes it, or the link closes it.
async fn carry(near: TcpStream, peer: SocketAddr, mut cut: watch::Receiver<Cut>) {
    let (of_forth, of_back) = (cut.clone(), cut.clone());
    let both = async {
        let far = TcpStream::connect(peer).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
        let forth = pass_on(from_near, to_far, of_forth, |cut| cut.forth);
        tokio::try_join!(forth, pass_on(from_far, to_near, of_back, |cut| cut.back))
    };
    tokio::select! {
        // One of the nodes may close the connection.
        _ = both => {}
        _ = cut.wait_for(|cut| cut.connections) => {}
    }
}

/// Passes bytes on, and holds them while the link is cut in this direction.
async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut cut: watch::Receiver<Cut>,
    is_held: impl Fn(&Cut) -> bool,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        cut.wait_for(|cut| !is_held(cut)).await.map_err(io::Error::other)?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..count]).await?;
    }
}
