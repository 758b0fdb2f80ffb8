//! Sockets of both listeners: the address families that one listens on, and what a client's first byte shows.

pub mod peer;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How many connections may wait for the listener to accept them.
const BACKLOG: u32 = 1024;

/// What a client speaks, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// TLS, or bytes that the handshake will refuse.
    Tls,
    /// Text, which is how HTTP without TLS begins.
    Text,
    /// Nothing: the client closed the connection, as the probes of load balancers do.
    Nothing,
}

/// Listens on an address. Another listener can take the address as soon as this one is closed. `[::]` means IPv4, too,
/// and only IPv4 on a system without IPv6.
///
/// # Errors
/// The system does not let the process listen on the address.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    listen_with(address, open)
}

/// Takes an address for a moment, without listening there.
///
/// # Errors
/// The system does not let the process take the address.
pub fn try_address(address: SocketAddr) -> io::Result<()> {
    listen_with(address, bind).map(drop)
}

/// Waits for the client's first byte, says what the client speaks, and leaves the byte to be read.
///
/// # Errors
/// The connection broke.
pub async fn opening(tcp: &TcpStream) -> io::Result<Opening> {
    let mut first = [0];
    let read = tcp.peek(&mut first).await?;
    Ok(Opening::of(&first[..read]))
}

impl Opening {
    /// What this byte shows. Without one, the client closed the connection.
    fn of(first: &[u8]) -> Self {
        match first {
            [] => Self::Nothing,
            // A TLS record begins with a number from 20 to 24.
            [byte, ..] if byte.is_ascii_alphabetic() => Self::Text,
            _ => Self::Tls,
        }
    }
}

fn listen_with<T>(address: SocketAddr, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match open(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && lacks_ipv6(&error) => {
            let ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            tracing::info!("this system has no IPv6: the node listens on {ipv4} instead of {address}");
            open(ipv4)
        }
        opened => opened,
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address)?.listen(BACKLOG)
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // The default is a setting of the system (net.ipv6.bindv6only).
        set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use tokio::io::AsyncWriteExt;

    use super::*;

    const BOTH: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

    #[tokio::test]
    async fn an_unspecified_ipv6_address_listens_on_both_families() {
        let listener = listen((BOTH, 0).into()).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("IPv4 is served");
        let (_, from) = listener.accept().await.unwrap();
        assert_eq!(from.ip().to_canonical(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        if listener.local_addr().unwrap().is_ipv6() && listen((Ipv6Addr::LOCALHOST, 0).into()).is_ok() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.expect("IPv6 is served");
        }
    }

    #[tokio::test]
    async fn an_unspecified_ipv4_address_listens_on_ipv4_only() {
        let listener = listen((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok());
        assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.is_err());
    }

    #[test]
    fn without_ipv6_only_the_unspecified_address_falls_back_to_ipv4() {
        for lacks in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            let open = |address: SocketAddr| if address.is_ipv4() { Ok(address) } else { Err(lacks.into()) };
            assert_eq!(listen_with((BOTH, 7373).into(), open).unwrap(), "0.0.0.0:7373".parse().unwrap());
            assert!(listen_with((Ipv6Addr::LOCALHOST, 7373).into(), open).is_err());
        }
        let taken = |_| Err::<(), _>(Errno::ADDRINUSE.into());
        assert_eq!(listen_with((BOTH, 7373).into(), taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn the_first_byte_shows_what_a_client_speaks_and_stays_to_be_read() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let (tls, text) = (Opening::Tls, Opening::Text);
        for (sent, spoken) in [
            (&b"\x16\x03\x01"[..], tls),
            (b"\x80", tls),
            (b"GET / HTTP/1.1\r\n", text),
            (b"PRI * HTTP/2.0\r\n", text),
            (b"options", text),
            (b"", Opening::Nothing),
        ] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            client.write_all(sent).await.unwrap();
            client.shutdown().await.unwrap();
            let (mut accepted, _) = listener.accept().await.unwrap();
            assert_eq!(opening(&accepted).await.unwrap(), spoken, "{sent:?}");
            let mut read = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut accepted, &mut read).await.unwrap();
            assert_eq!(read, sent);
        }
    }
}
