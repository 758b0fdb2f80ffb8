//! A stream that adds the id and the error code to the answers that hyper writes by itself, to what is not a request in
//! HTTP/1.1.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error_code::{self, ErrorCode};
use crate::http::request_id::{self, RequestIds};

/// A stream under HTTP/1.1.
pub struct Marked<S> {
    stream: S,
    ids: RequestIds,
    /// The id of the answer that no handler made: there is one at most, which ends the connection.
    given: Arc<OnceLock<u64>>,
    /// What was taken to be written and is not yet.
    pending: Bytes,
}

impl<S> Marked<S> {
    /// Notes in `given` which id it gives.
    pub fn new(stream: S, ids: RequestIds, given: Arc<OnceLock<u64>>) -> Self {
        Self { stream, ids, given, pending: Bytes::new() }
    }

    /// The same with an id and an error code, if `written` begins with the head of an answer that no handler made.
    fn marked(&self, written: &[u8]) -> Option<Bytes> {
        let line = status_line(written)?;
        let id = *self.given.get_or_init(|| self.ids.next());
        let headers = format!("{}: {id:016x}\r\n{}: {}\r\n", request_id::NAME, error_code::HEADER, code(line).as_str());
        Some([line, headers.as_bytes(), &written[line.len()..]].concat().into())
    }
}

impl<S: AsyncWrite + Unpin> Marked<S> {
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.pending.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The status line of a refusal without an id: only hyper makes one. A good answer is not looked through.
fn status_line(written: &[u8]) -> Option<&[u8]> {
    let Some([_, b' ', b'4' | b'5', ..]) = written.strip_prefix(b"HTTP/1.") else { return None };
    let name = request_id::NAME.as_bytes();
    let head = written.windows(4).position(|end| end == b"\r\n\r\n").map_or(written, |end| &written[..end]);
    if head.windows(name.len()).any(|part| part == name) {
        return None;
    }
    let end = written.windows(2).position(|end| end == b"\r\n")?;
    Some(&written[..end + 2])
}

/// Of the answers that hyper makes, 414 and 431 are about the length of the head.
fn code(status_line: &[u8]) -> ErrorCode {
    let is_of_length = [&b" 414 "[..], b" 431 "].iter().any(|status| status_line[8..].starts_with(status));
    if is_of_length { ErrorCode::RequestHeadTooLarge } else { ErrorCode::MalformedRequest }
}

impl<S: AsyncRead + Unpin> AsyncRead for Marked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Marked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(cx))?;
        if let Some(marked) = self.marked(buf) {
            self.pending = marked;
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(cx))?;
        if let Some((first, marked)) = bufs.first().and_then(|first| Some((first, self.marked(first)?))) {
            self.pending = marked;
            return Poll::Ready(Ok(first.len()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What arrives of what is written, and the id that was given.
    async fn arrives(parts: &[&str]) -> (String, Option<u64>) {
        let (near, mut far) = tokio::io::duplex(7);
        let given = Arc::new(OnceLock::new());
        let mut near = Marked::new(near, RequestIds::default(), Arc::clone(&given));
        let mut arrived = String::new();
        let write = async {
            for part in parts {
                near.write_all(part.as_bytes()).await.unwrap();
            }
            near.shutdown().await.unwrap();
            drop(near);
        };
        tokio::join!(write, async { far.read_to_string(&mut arrived).await.unwrap() });
        (arrived, given.get().copied())
    }

    #[tokio::test]
    async fn an_answer_that_no_handler_made_gets_an_id_and_a_code() {
        for (status, code) in [
            ("400 Bad Request", "malformed-request"),
            ("414 URI Too Long", "request-head-too-large"),
            ("431 Request Header Fields Too Large", "request-head-too-large"),
            ("505 HTTP Version Not Supported", "malformed-request"),
        ] {
            let (arrived, id) = arrives(&[&format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")]).await;
            let headers = format!("keyraft-request-id: {:016x}\r\nkeyraft-error: {code}", id.unwrap());
            assert_eq!(arrived, format!("HTTP/1.1 {status}\r\n{headers}\r\ncontent-length: 0\r\n\r\n"));
        }
    }

    #[tokio::test]
    async fn everything_else_arrives_as_it_is() {
        for part in [
            "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 in a body\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nkeyraft-request-id: 00000000000000fe\r\n\r\n",
            "HTTP/1.1 4",
            "no answer at all",
        ] {
            assert_eq!(arrives(&[part]).await, (part.to_owned(), None));
        }
    }
}
