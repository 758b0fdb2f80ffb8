//! A connection to the peer port after its handshake and its prefaces, with the node at the other end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use super::admission::ConnectionPlace;
use crate::policy::Identity;
use crate::raft::peers::open_connections::StartStream;
use crate::raft::preface::content::Preface;
use crate::raft::preface::hello::Purpose;
use crate::tls::PeerStream;

/// How many bytes a sealed node may send on a connection. Its one call takes a few hundred. Anybody with a member's TLS key can
/// make such a connection, and must not fill the memory with large messages or keep consensus busy with small ones.
const SEALED_BYTES: usize = 16 * 1024;

/// The node at the other end of a connection to the peer port. The calls on that connection are its own.
#[derive(Debug, Clone)]
pub(in crate::raft) struct ConnectedPeer {
    /// Its TLS key.
    pub key: Identity,
    /// What the connection is for.
    pub purpose: Purpose,
    /// What it said about itself at the beginning, and proved.
    pub preface: Arc<Preface>,
    /// Whether it has fetched the wraps of the key ring on this connection.
    pub has_wraps: Arc<AtomicBool>,
}

/// A connection to the peer port, as the service sees it.
pub(in crate::raft) struct PeerConnection {
    stream: StartStream<PeerStream>,
    peer: ConnectedPeer,
    /// How many bytes the other node may still send.
    may_send: usize,
    /// Freed when the connection ends.
    _place: ConnectionPlace,
}

impl PeerConnection {
    pub(in crate::raft) fn new(stream: StartStream<PeerStream>, peer: ConnectedPeer, place: ConnectionPlace) -> Self {
        let may_send = if peer.purpose == Purpose::Sealed { SEALED_BYTES } else { usize::MAX };
        Self { stream, peer, may_send, _place: place }
    }
}

impl Connected for PeerConnection {
    type ConnectInfo = ConnectedPeer;

    fn connect_info(&self) -> ConnectedPeer {
        self.peer.clone()
    }
}

impl AsyncRead for PeerConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let left = self.may_send.checked_sub(buf.filled().len() - before);
        self.may_send = left.ok_or_else(|| io::Error::other("the other node sent more than its call takes"))?;
        Poll::Ready(Ok(()))
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
