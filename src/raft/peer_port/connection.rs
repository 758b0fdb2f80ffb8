//! A connection to the peer port after its handshake and its prefaces, with the node at the other end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use super::admission::ConnectionPlace;
use crate::policy::Identity;
use crate::raft::peers::open_connections::StartStream;
use crate::raft::preface::content::Preface;
use crate::raft::preface::hello::Purpose;
use crate::tls::PeerStream;

/// The node at the other end of a connection to the peer port. The calls on that connection are its own.
#[derive(Debug, Clone)]
pub(in crate::raft) struct ConnectedPeer {
    /// Its TLS key.
    pub key: Identity,
    /// What the connection is for.
    pub purpose: Purpose,
    /// What it said about itself at the beginning, and proved.
    pub preface: Arc<Preface>,
}

/// A connection to the peer port, as the service sees it.
pub(in crate::raft) struct PeerConnection {
    stream: StartStream<PeerStream>,
    peer: ConnectedPeer,
    /// Freed when the connection ends.
    _place: ConnectionPlace,
}

impl PeerConnection {
    pub(in crate::raft) fn new(stream: StartStream<PeerStream>, peer: ConnectedPeer, place: ConnectionPlace) -> Self {
        Self { stream, peer, _place: place }
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
