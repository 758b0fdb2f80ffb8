//! The open connections of each peer: those of an older start end when the peer connects with a newer one, and a sealed
//! peer has one connection.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::policy::Identity;
use crate::store::{StartId, StoreId};

/// The open connections of each peer.
#[derive(Default)]
pub(in crate::raft) struct OpenConnections {
    /// The newest start of each peer that has connected, or to which this node has connected, and what ends its
    /// connections.
    starts: Mutex<HashMap<StoreId, (StartId, CancellationToken)>>,
    /// What ends the connection of each sealed peer, by its TLS key.
    sealed: Mutex<HashMap<Identity, CancellationToken>>,
}

/// A connection that ends when its peer has started anew.
pub(in crate::raft) struct StartStream<S> {
    stream: S,
    /// Allocated, because a channel needs streams that it can move.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl OpenConnections {
    /// Wraps a connection with this start of a peer. If it is newer than the one before, it ends that one's connections. This
    /// node has noted the start durably by now.
    ///
    /// # Errors
    /// A newer start has connected meanwhile.
    pub(in crate::raft) fn enter<S>(&self, peer: StoreId, start: StartId, stream: S) -> io::Result<StartStream<S>> {
        let mut newest = self.starts.lock();
        let (known, token) = newest.entry(peer).or_insert_with(|| (start, CancellationToken::new()));
        if known.number < start.number {
            token.cancel();
            (*known, *token) = (start, CancellationToken::new());
        }
        if *known != start {
            return Err(ended());
        }
        Ok(StartStream { stream, ended: Box::pin(token.clone().cancelled_owned()) })
    }

    /// Wraps a connection of a sealed member, and ends the one that it had before. Anybody with a member's TLS key and its
    /// admission can make such a connection, so one must do.
    pub(in crate::raft) fn enter_sealed<S>(&self, peer: Identity, stream: S) -> StartStream<S> {
        let token = CancellationToken::new();
        if let Some(before) = self.sealed.lock().insert(peer, token.clone()) {
            before.cancel();
        }
        StartStream { stream, ended: Box::pin(token.cancelled_owned()) }
    }

    /// Wraps a connection that no start ends.
    pub(in crate::raft) fn unending<S>(stream: S) -> StartStream<S> {
        StartStream { stream, ended: Box::pin(CancellationToken::new().cancelled_owned()) }
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the other node has made a newer connection")
}

impl<S: AsyncRead + Unpin> AsyncRead for StartStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            // HTTP/2 always reads. Looking only when nothing has arrived costs a busy connection nothing.
            Poll::Pending if self.ended.as_mut().poll(cx).is_ready() => Poll::Ready(Err(ended())),
            polled => polled,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StartStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn start(number: u64) -> StartId {
        StartId { number, random: [7; 16] }
    }

    #[tokio::test]
    async fn a_newer_start_ends_the_connections_of_the_older_one_and_no_others() {
        let (open, [one, other]) = (OpenConnections::default(), [1, 2].map(|byte| StoreId([byte; 16])));
        let ((near, mut far), (of_other, mut its_far)) = (duplex(64), duplex(64));
        let mut older = open.enter(one, start(1), near).unwrap();
        let mut others = open.enter(other, start(1), of_other).unwrap();
        assert!(open.enter(one, start(1), ()).is_ok(), "a node has several connections");
        far.write_all(b"a").await.unwrap();
        assert_eq!(older.read_u8().await.unwrap(), b'a');
        let waiting = tokio::spawn(async move { older.read_u8().await.unwrap_err().kind() });
        tokio::task::yield_now().await;
        assert!(open.enter(one, start(2), ()).is_ok());
        assert_eq!(waiting.await.unwrap(), io::ErrorKind::ConnectionAborted);
        assert!(open.enter(one, start(1), ()).is_err(), "a slow connection of the older start comes too late");
        assert!(open.enter(one, StartId { random: [8; 16], ..start(2) }, ()).is_err(), "a copy of the peer");
        its_far.write_all(b"b").await.unwrap();
        assert_eq!(others.read_u8().await.unwrap(), b'b');
    }

    #[tokio::test]
    async fn a_sealed_node_has_one_connection() {
        let (open, [one, other]) = (OpenConnections::default(), [1, 2].map(|byte| Identity::from_bytes([byte; 32])));
        let (mut first, _far) = {
            let (near, far) = duplex(64);
            (open.enter_sealed(one, near), far)
        };
        let (mut its, mut its_far) = {
            let (near, far) = duplex(64);
            (open.enter_sealed(other, near), far)
        };
        let _second = open.enter_sealed(one, ());
        assert_eq!(first.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        its_far.write_all(b"b").await.unwrap();
        assert_eq!(its.read_u8().await.unwrap(), b'b');
    }
}
