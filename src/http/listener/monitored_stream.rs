//! The TLS stream of a connection, which notes what passes through it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connections::TrackedConnection;
use super::monitored_socket::MonitoredSocket;
use crate::tls::PublicStream;

/// The length of the preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// A stream that notes what passes through it: over HTTP/1.1 that bytes arrived, and the status of the last answer;
/// over HTTP/2 the end of the preface.
pub struct MonitoredStream {
    stream: PublicStream<MonitoredSocket>,
    connection: Arc<TrackedConnection>,
    /// The status of the last answer, or zero when bytes arrived after it. `None` over HTTP/2.
    last_status: Option<Arc<AtomicU16>>,
    /// How many bytes of the preface are still missing.
    preface_left: usize,
}

impl MonitoredStream {
    /// A stream for HTTP/1.1, which writes the status of each answer to `last_status`.
    pub fn http1(
        stream: PublicStream<MonitoredSocket>,
        connection: Arc<TrackedConnection>,
        last_status: Arc<AtomicU16>,
    ) -> Self {
        Self { stream, connection, last_status: Some(last_status), preface_left: 0 }
    }

    /// A stream for HTTP/2.
    pub fn http2(stream: PublicStream<MonitoredSocket>, connection: Arc<TrackedConnection>) -> Self {
        Self { stream, connection, last_status: None, preface_left: PREFACE }
    }

    fn note_read(&mut self, count: usize) {
        if let Some(last_status) = &self.last_status {
            self.connection.bytes_arrived();
            // The status of an earlier answer says nothing about these bytes.
            last_status.store(0, Relaxed);
        } else if self.preface_left > 0 {
            self.preface_left = self.preface_left.saturating_sub(count);
            if self.preface_left == 0 {
                self.connection.preface_arrived();
            }
        }
    }

    /// Notes the status if `written` begins like an answer: its tenth to twelfth byte are the digits (RFC 9112,
    /// section 4).
    fn note_status(&self, written: &[u8]) {
        if let Some(last_status) = &self.last_status
            && let Some([_, b' ', hundreds, tens, ones, ..]) = written.strip_prefix(b"HTTP/1.")
        {
            let digits = [hundreds, tens, ones].map(|digit| u16::from(digit.wrapping_sub(b'0')));
            last_status.store(digits.into_iter().fold(0, |status, digit| 10 * status + digit), Relaxed);
        }
    }
}

impl AsyncRead for MonitoredStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let count = buf.filled().len() - before;
        if count > 0 {
            self.note_read(count);
        }
        read
    }
}

impl AsyncWrite for MonitoredStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.note_status(buf);
        Pin::new(&mut self.stream).poll_write(cx, buf)
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
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = bufs.first() {
            self.note_status(first);
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
