//! One connection, from its handshake to its end: who is at its other end, and HTTP spoken within limits.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::CONNECTION;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::answers::{self, Answer, AnswerBody};
use super::connections::{Busy, Entry};
use super::plain;
use crate::config::LimitsConfig;
use crate::policy::Identity;
use crate::socket::{self, Opening};
use crate::tls::{Accepted, CertificateError, PublicStream, PublicTls, Refused};

/// The longest request head; over HTTP/1.1 also how much of a body is read ahead.
const MAX_HEAD: u16 = u16::MAX;
/// Between two pings of an HTTP/2 connection, and how long one may stay unanswered: this is how dead clients show.
const PING: Duration = Duration::from_secs(20);

/// How long an HTTP/1.1 connection that is told to end waits for one more request, whose answer then says so: a client
/// that writes one while the connection is closed cannot know whether it was read.
const GRACE: Duration = Duration::from_millis(500);

/// Is told of a request that is none in HTTP, and the status that it was answered with: no handler sees it.
pub type Malformed = Arc<dyn Fn(Arc<Client>, u16) -> BoxFuture<'static, ()> + Send + Sync>;

const BAD_REQUEST: u16 = 400;
const TOO_LARGE: u16 = 431;

/// The client at the other end, as its handshake showed it.
pub struct Client {
    /// Its address.
    pub ip: Option<IpAddr>,
    /// Its certificate; none where the handshake lets clients without one in.
    pub certificate: Result<Option<Identity>, CertificateError>,
    /// What its handshake was made with, which also verifies what a proxy forwards.
    pub tls: Arc<PublicTls>,
    /// When the server drains: what has no end of its own ends then.
    pub draining: CancellationToken,
}

/// Serves a connection that was accepted until it ends.
pub async fn serve<H, F>(
    tcp: TcpStream,
    from: SocketAddr,
    (tls, draining): (Arc<PublicTls>, CancellationToken),
    limits: &LimitsConfig,
    entry: Entry,
    (handler, malformed): (H, Malformed),
) where
    H: Fn(Arc<Client>, Request<Incoming>) -> F + Clone,
    F: Future<Output = Answer> + Send + 'static,
{
    let handshake = timeout(limits.handshake_timeout, shake_hands(tcp, &tls));
    let Some(shaken) = entry.reins().before(handshake).await else { return };
    let Accepted { stream, client, h2 } = match shaken.unwrap_or(Err(Refused::Slow(limits.handshake_timeout))) {
        Ok(accepted) => accepted,
        Err(why) => return entry.refused().add(from, &why),
    };
    if let Err(error) = client {
        entry.refused().add(from, &Refused::Nobody(error));
    }
    let client = Arc::new(Client { ip: Some(from.ip()), certificate: client, tls, draining });
    let entry = Arc::new(entry);
    let (of_client, of_entry) = (Arc::clone(&client), Arc::clone(&entry));
    let service = service_fn(move |request| {
        let busy = Entry::busy(&of_entry);
        // Not awaited in a block: that would make room for the handler's future twice.
        handler(Arc::clone(&of_client), request).map(keep(busy, h2))
    });
    if h2 {
        return serve_h2(stream, limits, &entry, service).await;
    }
    let answered = Arc::new(AtomicU16::new(0));
    let status = match serve_h1(stream, &entry, &answered, service).await {
        Some(Err(error)) if error.is_parse() => match answered.load(Relaxed) {
            0 if error.is_parse_too_large() => TOO_LARGE,
            0 => BAD_REQUEST,
            status => status,
        },
        _ => return,
    };
    malformed(client, status).await;
}

/// Shakes hands with a client; one that speaks plain HTTP is answered that it must not.
async fn shake_hands(tcp: TcpStream, tls: &PublicTls) -> Result<Accepted, Refused> {
    match socket::opening(&tcp).await? {
        Opening::Tls => Ok(tls.accept(tcp).await?),
        Opening::Text => {
            plain::refuse(tcp).await;
            Err(Refused::PlainText)
        }
        Opening::Nothing => Err(Refused::Silent),
    }
}

/// A body that is still made keeps the connection busy: it may take as long as it likes. Over HTTP/1.1 the last answer of
/// a connection says that it is.
fn keep(busy: Busy, h2: bool) -> impl FnOnce(Answer) -> Result<Answer, Infallible> {
    move |mut answer| {
        if !h2 && busy.is_last() {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answers::holding(answer, busy))
    }
}

async fn serve_h1<S>(
    stream: PublicStream,
    entry: &Arc<Entry>,
    answered: &Arc<AtomicU16>,
    service: S,
) -> Option<hyper::Result<()>>
where
    S: HttpService<Incoming, ResBody = AnswerBody, Error = Infallible>,
{
    let mut http = http1::Builder::new();
    // The sweep over all connections limits the time of a head: see [`super::reins`].
    http.header_read_timeout(None::<Duration>).max_buf_size(MAX_HEAD.into());
    let stream = TokioIo::new(Heard { stream, entry: Arc::clone(entry), answered: Arc::clone(answered) });
    entry.reins().drive(http.serve_connection(stream, service), GRACE, http1::Connection::graceful_shutdown).await
}

async fn serve_h2<S>(stream: PublicStream, limits: &LimitsConfig, entry: &Arc<Entry>, service: S)
where
    S: HttpService<Incoming, ResBody = AnswerBody, Error = Infallible>,
    S::Future: Send + 'static,
{
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(MAX_HEAD.into())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    entry.reins().drive(connection, Duration::ZERO, http2::Connection::graceful_shutdown).await;
}

/// A stream that notes when something was read from it, and which status was last answered.
struct Heard {
    stream: PublicStream,
    entry: Arc<Entry>,
    answered: Arc<AtomicU16>,
}

impl Heard {
    /// What begins like an answer has its status in the tenth to twelfth byte (RFC 9112, section 4).
    fn note_status(&self, written: &[u8]) {
        if let Some([_, b' ', hundreds, tens, ones, ..]) = written.strip_prefix(b"HTTP/1.") {
            let digits = [hundreds, tens, ones].map(|digit| u16::from(digit.wrapping_sub(b'0')));
            self.answered.store(digits.into_iter().fold(0, |status, digit| 10 * status + digit), Relaxed);
        }
    }
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.entry.heard();
            // What was answered before says nothing of what comes now.
            self.answered.store(0, Relaxed);
        }
        read
    }
}

impl AsyncWrite for Heard {
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
