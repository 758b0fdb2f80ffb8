//! The open connections of each peer: those of an older start end when the peer connects with a newer one, and a sealed
//! peer has a few connections.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::policy::Identity;
use crate::store::{StartId, StoreId};

/// How many connections of a sealed peer this node keeps from one place. The peer itself needs one, for one call. Somebody
/// else with its TLS key must make this many connections faster than that call takes, to keep the peer from its answer.
const SEALED_CONNECTIONS: usize = 8;

/// The open connections of each peer.
#[derive(Default)]
pub(in crate::raft) struct OpenConnections {
    /// The newest start of each peer that has connected, or to which this node has connected, and what ends its
    /// connections.
    starts: Mutex<HashMap<StoreId, (StartId, CancellationToken)>>,
    /// What ends the newest connections of each sealed peer, the oldest first.
    sealed: Mutex<HashMap<SealedPlace, VecDeque<CancellationToken>>>,
}

/// From where a sealed peer connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::raft) struct SealedPlace {
    /// Its TLS key.
    pub key: Identity,
    /// Its address. All addresses that `cluster.peers` does not list are one place, `None`, so that nobody gets more
    /// connections by having many of them.
    pub listed_address: Option<IpAddr>,
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

    /// Whether no newer start of this peer has connected. A call of an older one may still be under way.
    pub(in crate::raft) fn is_newest(&self, peer: StoreId, start: StartId) -> bool {
        self.starts.lock().get(&peer).is_none_or(|(newest, _)| *newest == start)
    }

    /// Wraps a connection of a sealed member. Beyond [`SEALED_CONNECTIONS`] from this place, it ends the oldest one.
    /// Anybody with a member's TLS key and its admission can make such a connection, so a few must do.
    pub(in crate::raft) fn enter_sealed<S>(&self, place: SealedPlace, stream: S) -> StartStream<S> {
        let (token, mut sealed) = (CancellationToken::new(), self.sealed.lock());
        let newest = sealed.entry(place).or_default();
        if newest.len() >= SEALED_CONNECTIONS
            && let Some(oldest) = newest.pop_front()
        {
            oldest.cancel();
        }
        newest.push_back(token.clone());
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

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
        assert!(open.is_newest(one, start(1)));
        assert!(open.enter(one, start(2), ()).is_ok());
        assert!(
            open.is_newest(one, start(2)) && !open.is_newest(one, start(1)),
            "a call of the older start comes too late"
        );
        assert_eq!(waiting.await.unwrap(), io::ErrorKind::ConnectionAborted);
        assert!(open.enter(one, start(1), ()).is_err(), "a slow connection of the older start comes too late");
        assert!(open.enter(one, StartId { random: [8; 16], ..start(2) }, ()).is_err(), "a copy of the peer");
        its_far.write_all(b"b").await.unwrap();
        assert_eq!(others.read_u8().await.unwrap(), b'b');
    }

    /// A connection of the sealed peer with this key, and its other end.
    fn sealed(open: &OpenConnections, key: u8, address: Option<u8>) -> (StartStream<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(64);
        let listed_address = address.map(|last| IpAddr::from([10, 0, 0, last]));
        let place = SealedPlace { key: Identity::from_bytes([key; Identity::LEN]), listed_address };
        (open.enter_sealed(place, near), far)
    }

    #[tokio::test]
    async fn a_sealed_node_keeps_its_connection_while_somebody_makes_a_few_with_its_key() {
        let open = OpenConnections::default();
        let (mut first, mut far) = sealed(&open, 1, Some(1));
        let _others: Vec<_> = (1..SEALED_CONNECTIONS).map(|_| sealed(&open, 1, Some(1))).collect();
        for elsewhere in [(1, Some(2)), (1, None), (2, Some(1))] {
            (0..=SEALED_CONNECTIONS).for_each(|_| drop(sealed(&open, elsewhere.0, elsewhere.1)));
        }
        far.write_all(b"b").await.unwrap();
        assert_eq!(first.read_u8().await.unwrap(), b'b');
        let _one_more = sealed(&open, 1, Some(1));
        assert_eq!(first.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
