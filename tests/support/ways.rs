//! Proxies between one node and its peers. A test can cut them.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::cluster::TestCluster;

/// Proxies from one node of a cluster to every other one, and back.
pub struct Ways {
    open: watch::Sender<bool>,
}

impl Ways {
    /// Routes the connections between `node` and its peers over proxies, from the next start of the nodes on.
    pub async fn around(cluster: &mut TestCluster, node: usize, count: usize) -> Self {
        let ways = Self { open: watch::Sender::new(true) };
        for other in (0..count).filter(|other| *other != node) {
            for (from, to) in [(node, other), (other, node)] {
                let way = ways.lead_to(cluster.config_mut(to).cluster.listen).await;
                cluster.config_mut(from).cluster.peers[to].peer_address = way.to_string();
            }
        }
        ways
    }

    /// Breaks every connection and lets no new one through.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }

    async fn lead_to(&self, target: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there are free ports");
        let address = listener.local_addr().expect("it is bound");
        let open = self.open.subscribe();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if *open.borrow() {
                    tokio::spawn(carry(stream, target, open.clone()));
                }
            }
        });
        address
    }
}

async fn carry(mut here: TcpStream, target: SocketAddr, mut open: watch::Receiver<bool>) {
    let carried = async {
        let mut there = TcpStream::connect(target).await?;
        here.set_nodelay(true)?;
        there.set_nodelay(true)?;
        tokio::io::copy_bidirectional(&mut here, &mut there).await
    };
    tokio::select! {
        _ = carried => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
