//! One connection, from its handshake to its end: who is at its other end, and HTTP spoken within limits.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connections::{Busy, Entry};
use super::error_headers::Marked;
use super::monitored_socket::Watched;
use super::plain_http;
use super::tracked_body::Sent;
use crate::config::LimitsConfig;
use crate::http::request_id::RequestIds;
use crate::http::wire::answers::Answer;
use crate::policy::Identity;
use crate::socket::{self, Opening};
use crate::tls::{Accepted, CertificateError, PublicStream, PublicTls, Refused};

/// How long the preface of HTTP/2 is (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// The longest request head; over HTTP/1.1 also how much of a body is read ahead.
const MAX_HEAD: u16 = u16::MAX;
/// Between two pings of an HTTP/2 connection, and how long one may stay unanswered: this is how dead clients show.
const PING: Duration = Duration::from_secs(20);

/// How long an HTTP/1.1 connection that is told to end waits for one more request, whose answer then says so: a client
/// that writes one while the connection is closed cannot know whether it was read.
const GRACE: Duration = Duration::from_millis(500);

/// What becomes of a request that is none in HTTP, and that no handler sees.
#[derive(Clone)]
pub struct Malformed {
    /// Where its answer's id comes from.
    pub ids: RequestIds,
    /// Records it, with the status and the id that it was answered with.
    pub record: Arc<dyn Fn(Arc<Client>, u16, u64) -> BoxFuture<'static, ()> + Send + Sync>,
}

impl Malformed {
    /// For a server that records nothing.
    pub fn unrecorded() -> Self {
        Self { ids: RequestIds::default(), record: Arc::new(|_, _, _| std::future::ready(()).boxed()) }
    }
}

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
    let entry = Arc::new(entry);
    let handshake = timeout(limits.handshake_timeout, shake_hands(tcp, &tls, &entry));
    let Some(shaken) = entry.reins().before(handshake).await else { return };
    let Accepted { stream, client, h2 } = match shaken.unwrap_or(Err(Refused::Slow(limits.handshake_timeout))) {
        Ok(accepted) => accepted,
        Err(why) => return entry.refused().add(from, &why),
    };
    if let Err(error) = client {
        entry.refused().add(from, &Refused::Nobody(error));
    }
    let client = Arc::new(Client { ip: Some(from.ip()), certificate: client, tls, draining });
    entry.shaken(h2);
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
    let given = Arc::new(OnceLock::new());
    let mark = |heard| Marked::new(heard, malformed.ids.clone(), Arc::clone(&given));
    let status = match serve_h1(stream, &entry, &answered, (mark, service)).await {
        Some(Err(error)) if error.is_parse() => match answered.load(Relaxed) {
            0 if error.is_parse_too_large() => TOO_LARGE,
            0 => BAD_REQUEST,
            status => status,
        },
        _ => return,
    };
    let id = given.get().copied().unwrap_or_else(|| malformed.ids.next());
    (malformed.record)(client, status, id).await;
}

/// Shakes hands with a client; one that speaks plain HTTP is answered that it must not.
async fn shake_hands(tcp: TcpStream, tls: &PublicTls, entry: &Arc<Entry>) -> Result<Accepted<Watched>, Refused> {
    match socket::opening(&tcp).await? {
        Opening::Tls => Ok(tls.accept(Watched::new(tcp, Arc::clone(entry))).await?),
        Opening::Text => {
            plain_http::refuse(tcp).await;
            Err(Refused::PlainText)
        }
        Opening::Nothing => Err(Refused::Silent),
    }
}

/// An answer that is not taken yet keeps the connection busy. Over HTTP/1.1 the last answer of a connection says that it
/// is.
fn keep(busy: Busy, h2: bool) -> impl FnOnce(Answer) -> Result<Response<Sent>, Infallible> {
    move |mut answer| {
        if !h2 && busy.is_last() {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer.map(|body| Sent::new(body, busy)))
    }
}

async fn serve_h1<S>(
    stream: PublicStream<Watched>,
    entry: &Arc<Entry>,
    answered: &Arc<AtomicU16>,
    (mark, service): (impl FnOnce(Heard) -> Marked<Heard>, S),
) -> Option<hyper::Result<()>>
where
    S: HttpService<Incoming, ResBody = Sent, Error = Infallible>,
{
    let mut http = http1::Builder::new();
    // The sweep over all connections limits the time of a head: see [`super::state`].
    http.header_read_timeout(None::<Duration>).max_buf_size(MAX_HEAD.into());
    let heard = Heard { stream, entry: Arc::clone(entry), answered: Some(Arc::clone(answered)), preface: 0 };
    let stream = TokioIo::new(mark(heard));
    entry.reins().drive(http.serve_connection(stream, service), GRACE, http1::Connection::graceful_shutdown).await
}

async fn serve_h2<S>(stream: PublicStream<Watched>, limits: &LimitsConfig, entry: &Arc<Entry>, service: S)
where
    S: HttpService<Incoming, ResBody = Sent, Error = Infallible>,
    S::Future: Send + 'static,
{
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(MAX_HEAD.into())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let stream = TokioIo::new(Heard { stream, entry: Arc::clone(entry), answered: None, preface: PREFACE });
    let connection = http.serve_connection(stream, service);
    entry.reins().drive(connection, Duration::ZERO, http2::Connection::graceful_shutdown).await;
}

/// A stream that notes what comes: over HTTP/1.1 when something was read from it, and which status was last answered; over
/// HTTP/2 the preface.
struct Heard {
    stream: PublicStream<Watched>,
    entry: Arc<Entry>,
    /// None over HTTP/2.
    answered: Option<Arc<AtomicU16>>,
    /// Bytes of the preface that have yet to come.
    preface: usize,
}

impl Heard {
    fn note_read(&mut self, count: usize) {
        if let Some(answered) = &self.answered {
            self.entry.heard();
            // What was answered before says nothing of what comes now.
            answered.store(0, Relaxed);
        } else if self.preface > 0 {
            self.preface = self.preface.saturating_sub(count);
            if self.preface == 0 {
                self.entry.prefaced();
            }
        }
    }

    /// What begins like an answer has its status in the tenth to twelfth byte (RFC 9112, section 4).
    fn note_status(&self, written: &[u8]) {
        if let Some(answered) = &self.answered
            && let Some([_, b' ', hundreds, tens, ones, ..]) = written.strip_prefix(b"HTTP/1.")
        {
            let digits = [hundreds, tens, ones].map(|digit| u16::from(digit.wrapping_sub(b'0')));
            answered.store(digits.into_iter().fold(0, |status, digit| 10 * status + digit), Relaxed);
        }
    }
}

impl AsyncRead for Heard {
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::listener::server::Server;
    use crate::http::testing::{LIMITS, connect, tls};
    use crate::http::wire::answers;

    const SHORT: Duration = Duration::from_millis(80);
    const REQUEST: &[u8] = b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n";

    /// A server with these limits, for one connection at a time, that answers with `length` bytes.
    fn server(limits: LimitsConfig, length: usize) -> Server {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let limits = LimitsConfig { connections: 1, drain_timeout: SHORT, ..limits };
        Server::bind_with(here, tls().0, limits, move |_, _| async move { answers::written_json(vec![b'1'; length]) })
            .unwrap()
    }

    /// Waits until the server has room for a connection again: the one that it had is over.
    async fn is_free(server: &Server) {
        while connect(server.local_address(), true).await.is_err() {
            tokio::time::sleep(SHORT / 8).await;
        }
    }

    #[tokio::test]
    async fn a_connection_that_asks_nothing_is_closed() {
        for h2 in [true, false] {
            let server = server(LimitsConfig { first_request_timeout: SHORT, ..LIMITS }, 1);
            let mut silent = connect(server.local_address(), h2).await.unwrap();
            if h2 {
                // The beginning of a preface is none.
                let _ = silent.write_all(b"PRI * HTTP/2.0\r\n").await;
            }
            let mut rest = Vec::new();
            // A connection that is broken off ends in an error instead of an end.
            let _ = silent.read_to_end(&mut rest).await;
            is_free(&server).await;
        }
    }

    #[tokio::test]
    async fn a_client_of_http_2_that_takes_no_answer_is_closed_whatever_else_it_sends() {
        for window in [0, 1] {
            let server = server(LimitsConfig { write_timeout: SHORT, ..LIMITS }, 1000);
            let stream = connect(server.local_address(), true).await.unwrap();
            let mut client = h2::client::Builder::new();
            client.initial_window_size(window);
            let (sender, mut connection) = client.handshake::<_, bytes::Bytes>(stream).await.unwrap();
            let mut pings = connection.ping_pong().unwrap();
            let connection = tokio::spawn(connection);
            let mut held = Vec::new();
            // It pings, which is answered, and asks for more, which is not progress.
            while pings.ping(h2::Ping::opaque()).await.is_ok() {
                if held.len() < 100
                    && let Ok(mut ready) = sender.clone().ready().await
                {
                    let request = Request::get("https://localhost/version").body(()).unwrap();
                    held.extend(ready.send_request(request, true).ok());
                }
            }
            drop(connection);
            is_free(&server).await;
            drop((sender.ready().await, held));
        }
    }

    #[tokio::test]
    async fn a_client_of_http_1_that_takes_no_answer_is_closed() {
        let server = server(LimitsConfig { write_timeout: SHORT, ..LIMITS }, 1_000_000);
        let (_reader, mut writer) = tokio::io::split(connect(server.local_address(), false).await.unwrap());
        while writer.write_all(REQUEST).await.is_ok() && writer.flush().await.is_ok() {
            tokio::time::sleep(SHORT / 8).await;
        }
        is_free(&server).await;
    }

    #[tokio::test]
    async fn a_connection_that_idles_or_is_old_is_ended_and_says_so_over_http_2() {
        // Long enough for the request to be sent before.
        let limit = SHORT * 25;
        for limits in [LimitsConfig { idle_timeout: limit, ..LIMITS }, LimitsConfig { max_age: limit, ..LIMITS }] {
            let server = server(limits, 1);
            let stream = connect(server.local_address(), true).await.unwrap();
            let (sender, connection) = h2::client::handshake::<_>(stream).await.unwrap();
            let request = Request::get("https://localhost/version").body(()).unwrap();
            let mut sender = sender.ready().await.unwrap();
            let (answer, _) = sender.send_request(request, true).unwrap();
            let (ended, status) = tokio::join!(connection, async { answer.await.unwrap().status() });
            assert_eq!(status, 200);
            assert!(ended.is_ok(), "it ends with GOAWAY and no error: {ended:?}");
            is_free(&server).await;
        }
    }

    /// However long after its time it comes: an answer says that the connection ends, and no request is lost.
    #[tokio::test]
    async fn a_request_on_an_old_connection_of_http_1_is_answered_as_its_last() {
        let server = server(LimitsConfig { max_age: SHORT, ..LIMITS }, 1);
        let mut client = connect(server.local_address(), false).await.unwrap();
        tokio::time::sleep(GRACE + SHORT * 10).await;
        client.write_all(REQUEST).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close\r\n"), "{answer}");
        is_free(&server).await;
    }

    #[tokio::test]
    async fn a_stream_outlasts_idle_timeout_and_age() {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let limits = LimitsConfig { idle_timeout: SHORT, max_age: SHORT, ..LIMITS };
        let server = Server::bind_with(here, tls().0, limits, |_, _| async {
            let ticks = futures::stream::unfold(0, |tick| async move {
                tokio::time::sleep(SHORT / 2).await;
                (tick < 20).then(|| (Ok(hyper::body::Frame::data("tick\n".into())), tick + 1))
            });
            answers::lines(ticks.boxed())
        })
        .unwrap();
        let mut client = connect(server.local_address(), false).await.unwrap();
        client.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut lines = String::new();
        client.read_to_string(&mut lines).await.unwrap();
        assert_eq!(lines.matches("tick\n").count(), 20);
    }
}
