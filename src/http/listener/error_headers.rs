//! A stream that adds headers to the error answers that hyper itself writes: the request id and the error code. hyper
//! answers bytes that are not an HTTP/1.1 request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error_code::{self, ErrorCode};
use crate::http::request_id::{self, RequestIds};

/// A stream below HTTP/1.1 that completes hyper's own error answers.
pub struct ErrorHeaders<S> {
    stream: S,
    ids: RequestIds,
    /// The id of hyper's own answer. A connection has at most one, which ends it.
    given_id: Arc<OnceLock<u64>>,
    /// The rest of a completed answer, which the stream below has not accepted yet.
    pending: Bytes,
}

impl<S> ErrorHeaders<S> {
    /// Completes answers with ids from `ids`, and notes in `given_id` the id that an answer got.
    pub fn new(stream: S, ids: RequestIds, given_id: Arc<OnceLock<u64>>) -> Self {
        Self { stream, ids, given_id, pending: Bytes::new() }
    }

    /// Adds an id and an error code to `written`. Returns `None` unless it begins with the head of an error answer that
    /// hyper made.
    fn completed(&self, written: &[u8]) -> Option<Bytes> {
        let line = status_line(written)?;
        let id = *self.given_id.get_or_init(|| self.ids.next());
        let headers = format!("{}: {id:016x}\r\n{}: {}\r\n", request_id::NAME, error_code::HEADER, code(line).as_str());
        Some([line, headers.as_bytes(), &written[line.len()..]].concat().into())
    }
}

impl<S: AsyncWrite + Unpin> ErrorHeaders<S> {
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

/// Returns the status line of an error answer without an id, which only hyper makes. It does not search other answers,
/// because most are successes.
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

/// Of hyper's own answers, 414 and 431 say that the head is too long.
fn code(status_line: &[u8]) -> ErrorCode {
    let is_too_long = [&b" 414 "[..], b" 431 "].iter().any(|status| status_line[8..].starts_with(status));
    if is_too_long { ErrorCode::RequestHeadTooLarge } else { ErrorCode::MalformedRequest }
}

impl<S: AsyncRead + Unpin> AsyncRead for ErrorHeaders<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ErrorHeaders<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(cx))?;
        if let Some(completed) = self.completed(buf) {
            self.pending = completed;
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
        if let Some((first, completed)) = bufs.first().and_then(|first| Some((first, self.completed(first)?))) {
            self.pending = completed;
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

    /// The bytes that arrive when these parts are written, and the id that was given.
    async fn arriving(parts: &[&str]) -> (String, Option<u64>) {
        let (near, mut far) = tokio::io::duplex(7);
        let given_id = Arc::new(OnceLock::new());
        let mut near = ErrorHeaders::new(near, RequestIds::default(), Arc::clone(&given_id));
        let mut arrived = String::new();
        let write = async {
            for part in parts {
                near.write_all(part.as_bytes()).await.unwrap();
            }
            near.shutdown().await.unwrap();
            drop(near);
        };
        tokio::join!(write, async { far.read_to_string(&mut arrived).await.unwrap() });
        (arrived, given_id.get().copied())
    }

    #[tokio::test]
    async fn an_answer_that_no_handler_made_gets_an_id_and_a_code() {
        for (status, code) in [
            ("400 Bad Request", "malformed-request"),
            ("414 URI Too Long", "request-head-too-large"),
            ("431 Request Header Fields Too Large", "request-head-too-large"),
            ("505 HTTP Version Not Supported", "malformed-request"),
        ] {
            let (arrived, id) = arriving(&[&format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")]).await;
            let headers = format!("keyraft-request-id: {:016x}\r\nkeyraft-error: {code}", id.unwrap());
            assert_eq!(arrived, format!("HTTP/1.1 {status}\r\n{headers}\r\ncontent-length: 0\r\n\r\n"));
        }
    }

    #[tokio::test]
    async fn everything_else_arrives_unchanged() {
        for part in [
            "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 in a body\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nkeyraft-request-id: 00000000000000fe\r\n\r\n",
            "HTTP/1.1 4",
            "no answer at all",
        ] {
            assert_eq!(arriving(&[part]).await, (part.to_owned(), None));
        }
    }
}
