//! Sockets between nodes. In a simulation (cargo feature `simulation`) they belong to its network.

use std::io;
use std::net::SocketAddr;

use super::Opening;

#[cfg(not(feature = "simulation"))]
pub use tokio::net::{TcpListener as Listener, TcpStream as Stream};
#[cfg(feature = "simulation")]
pub use turmoil::net::{TcpListener as Listener, TcpStream as Stream};

/// Listens for the other nodes on an address, as [`super::listen`] does.
///
/// # Errors
/// The system does not let the process listen on the address.
#[cfg(not(feature = "simulation"))]
pub fn listen(address: SocketAddr) -> io::Result<Listener> {
    super::listen(address)
}

/// Listens for the other nodes on the port of this address. Each node of a simulation has one address.
///
/// # Errors
/// The node listens on the port already.
#[cfg(feature = "simulation")]
pub fn listen(address: SocketAddr) -> io::Result<Listener> {
    let any = SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, address.port()));
    let bound = futures::FutureExt::now_or_never(Listener::bind(any));
    bound.ok_or(io::ErrorKind::WouldBlock)?
}

/// Connects to the first of these addresses that answers.
///
/// # Errors
/// None of them does.
#[cfg(not(feature = "simulation"))]
pub async fn connect(addresses: &[SocketAddr]) -> io::Result<Stream> {
    Stream::connect(addresses).await
}

/// Connects to the first of these addresses.
///
/// # Errors
/// Nothing listens there, or the network does not lead there.
#[cfg(feature = "simulation")]
pub async fn connect(addresses: &[SocketAddr]) -> io::Result<Stream> {
    Stream::connect(*addresses.first().ok_or(io::ErrorKind::NotFound)?).await
}

/// Waits for the other node's first byte, as [`super::opening`] does.
///
/// # Errors
/// The connection broke.
pub async fn opening(tcp: &mut Stream) -> io::Result<Opening> {
    let mut first = [0];
    let read = tcp.peek(&mut first).await?;
    Ok(Opening::of(&first[..read]))
}
