//! A connection to the peer port after its handshake, with the identity at the other end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use super::admission::ConnectionPlace;
use crate::policy::Identity;
use crate::tls::PeerStream;

/// The identity at the other end of a connection to the peer port.
#[derive(Debug, Clone, Copy)]
pub(in crate::raft) struct PeerIdentity(pub Identity);

/// A connection to the peer port, as the service sees it.
pub(in crate::raft) struct PeerConnection {
    stream: PeerStream,
    identity: Identity,
    /// Freed when the connection ends.
    _place: ConnectionPlace,
}

impl PeerConnection {
    pub(in crate::raft) fn new(stream: PeerStream, identity: Identity, place: ConnectionPlace) -> Self {
        Self { stream, identity, _place: place }
    }
}

impl Connected for PeerConnection {
    type ConnectInfo = PeerIdentity;

    fn connect_info(&self) -> PeerIdentity {
        PeerIdentity(self.identity)
    }
}

impl AsyncRead for PeerConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
