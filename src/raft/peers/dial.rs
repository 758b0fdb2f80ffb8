//! Connects to another node: resolves its name, connects over TCP and shakes hands.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::trouble::PeerTrouble;
use crate::policy::Identity;
use crate::tls::{PeerStream, PeerTls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects to the node at `address` and returns its key. With a `key`, refuses a node that has another.
pub(super) async fn connect(address: &str, key: Option<Identity>, tls: &PeerTls) -> io::Result<(PeerStream, Identity)> {
    let by = Instant::now() + CONNECT_TIMEOUT;
    let tcp = dial(address, by).await.map_err(PeerTrouble::into_io)?;
    // With Nagle's algorithm a small write waits for the acknowledgement of the one before: 26 writes/s, not 1,000.
    tcp.set_nodelay(true)?;
    let handshake = timeout_at(by, tls.connect(tcp)).await;
    let (stream, identity) =
        handshake.map_err(|_| PeerTrouble::Tls(format!("no answer in {CONNECT_TIMEOUT:?}")).into_io())??;
    if key.is_some_and(|key| key != identity) {
        return Err(PeerTrouble::OtherKey.into_io());
    }
    Ok((stream, identity))
}

/// Resolves the name and connects, as two steps, so that the error says which one failed.
async fn dial(address: &str, by: Instant) -> Result<TcpStream, PeerTrouble> {
    let resolved = timeout_at(by, lookup_host(address)).await;
    let resolved = resolved.map_err(|_| PeerTrouble::NameNotResolved(format!("no answer in {CONNECT_TIMEOUT:?}")))?;
    let resolved = resolved.map_err(|error| PeerTrouble::NameNotResolved(error.to_string()))?;
    let addresses: Vec<SocketAddr> = resolved.collect();
    let connected = timeout_at(by, TcpStream::connect(&addresses[..])).await.map_err(|_| PeerTrouble::TimedOut)?;
    connected.map_err(|error| PeerTrouble::of_io(&error))
}
