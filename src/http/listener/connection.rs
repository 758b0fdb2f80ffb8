//! One connection, from its handshake to its end.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::client::ConnectedClient;
use super::connections::{RequestInFlight, TrackedConnection};
use super::error_headers::ErrorHeaders;
use super::monitored_socket::MonitoredSocket;
use super::monitored_stream::MonitoredStream;
use super::plain_http;
use super::tracked_body::TrackedBody;
use crate::config::LimitsConfig;
use crate::http::request_id::RequestIds;
use crate::http::wire::answers::Answer;
use crate::socket::{self, Opening};
use crate::tls::{Accepted, PublicStream, PublicTls, Refused};

/// The longest request head. Over HTTP/1.1 it also limits how much of a body the server reads ahead.
const MAX_HEAD: u16 = u16::MAX;
/// The time between two pings of an HTTP/2 connection, and how long one may stay unanswered. Pings reveal dead clients.
const PING: Duration = Duration::from_secs(20);

/// How long a drained HTTP/1.1 connection waits for one more request, whose answer then says that the connection ends.
/// Without this pause, a client that sends a request while the server closes the connection cannot know whether the server read
/// it.
const LAST_REQUEST_WAIT: Duration = Duration::from_millis(500);

/// What the server does with bytes that are not an HTTP request, which no handler sees.
#[derive(Clone)]
pub struct MalformedRequests {
    /// The source of the ids in their answers.
    pub ids: RequestIds,
    /// Records one, with the status and the id of its answer.
    pub record: Arc<dyn Fn(Arc<ConnectedClient>, u16, u64) -> BoxFuture<'static, ()> + Send + Sync>,
}

impl MalformedRequests {
    /// Records nothing, for a server that has no audit trail.
    pub fn unrecorded() -> Self {
        Self { ids: RequestIds::default(), record: Arc::new(|_, _, _| std::future::ready(()).boxed()) }
    }
}

const BAD_REQUEST: u16 = 400;
const TOO_LARGE: u16 = 431;

/// Serves an accepted connection until it ends.
pub async fn serve<H, F>(
    tcp: TcpStream,
    from: SocketAddr,
    (tls, draining): (Arc<PublicTls>, CancellationToken),
    limits: &LimitsConfig,
    connection: TrackedConnection,
    (handler, malformed): (H, MalformedRequests),
) where
    H: Fn(Arc<ConnectedClient>, Request<Incoming>) -> F + Clone,
    F: Future<Output = Answer> + Send + 'static,
{
    let connection = Arc::new(connection);
    let handshake = timeout(limits.handshake_timeout, shake_hands(tcp, &tls, &connection));
    let Some(accepted) = connection.state().run_before_http(handshake).await else { return };
    let Accepted { stream, client, h2 } = match accepted.unwrap_or(Err(Refused::Slow(limits.handshake_timeout))) {
        Ok(accepted) => accepted,
        Err(why) => return connection.refused().add(from, &why),
    };
    if let Err(error) = client {
        connection.refused().add(from, &Refused::NoIdentity(error));
    }
    let client = Arc::new(ConnectedClient { ip: Some(from.ip()), certificate: client, tls, draining });
    connection.handshake_ended(h2);
    let (of_client, of_connection) = (Arc::clone(&client), Arc::clone(&connection));
    let service = service_fn(move |request| {
        let in_flight = TrackedConnection::begin_request(&of_connection);
        // Awaiting this in an async block would reserve room for the handler's future twice.
        handler(Arc::clone(&of_client), request).map(track(in_flight, h2))
    });
    if h2 {
        return serve_http2(stream, limits, &connection, service).await;
    }
    let last_status = Arc::new(AtomicU16::new(0));
    let given_id = Arc::new(OnceLock::new());
    let add_headers = |stream| ErrorHeaders::new(stream, malformed.ids.clone(), Arc::clone(&given_id));
    let status = match serve_http1(stream, &connection, &last_status, (add_headers, service)).await {
        Some(Err(error)) if error.is_parse() => match last_status.load(Relaxed) {
            0 if error.is_parse_too_large() => TOO_LARGE,
            0 => BAD_REQUEST,
            status => status,
        },
        _ => return,
    };
    let id = given_id.get().copied().unwrap_or_else(|| malformed.ids.next());
    (malformed.record)(client, status, id).await;
}

/// Shakes hands with a client. A client that speaks plain HTTP gets an answer that says what is wrong.
async fn shake_hands(
    tcp: TcpStream,
    tls: &PublicTls,
    connection: &Arc<TrackedConnection>,
) -> Result<Accepted<MonitoredSocket>, Refused> {
    match socket::opening(&tcp).await? {
        Opening::Tls => Ok(tls.accept(MonitoredSocket::new(tcp, Arc::clone(connection))).await?),
        Opening::Text => {
            plain_http::refuse(tcp).await;
            Err(Refused::PlainText)
        }
        Opening::Nothing => Err(Refused::Silent),
    }
}

/// Keeps the request in flight until the client has taken the answer. Over HTTP/1.1 the last answer of a connection
/// says that it is the last.
fn track(in_flight: RequestInFlight, h2: bool) -> impl FnOnce(Answer) -> Result<Response<TrackedBody>, Infallible> {
    move |mut answer| {
        if !h2 && in_flight.is_last() {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer.map(|body| TrackedBody::new(body, in_flight)))
    }
}

async fn serve_http1<S>(
    stream: PublicStream<MonitoredSocket>,
    connection: &Arc<TrackedConnection>,
    last_status: &Arc<AtomicU16>,
    (add_headers, service): (impl FnOnce(MonitoredStream) -> ErrorHeaders<MonitoredStream>, S),
) -> Option<hyper::Result<()>>
where
    S: HttpService<Incoming, ResBody = TrackedBody, Error = Infallible>,
{
    let mut http = http1::Builder::new();
    // The sweep over all connections limits the time of a head: see [`super::state`].
    http.header_read_timeout(None::<Duration>).max_buf_size(MAX_HEAD.into());
    let stream = MonitoredStream::http1(stream, Arc::clone(connection), Arc::clone(last_status));
    let http = http.serve_connection(TokioIo::new(add_headers(stream)), service);
    connection.state().run_http(http, LAST_REQUEST_WAIT, http1::Connection::graceful_shutdown).await
}

async fn serve_http2<S>(
    stream: PublicStream<MonitoredSocket>,
    limits: &LimitsConfig,
    connection: &Arc<TrackedConnection>,
    service: S,
) where
    S: HttpService<Incoming, ResBody = TrackedBody, Error = Infallible>,
    S::Future: Send + 'static,
{
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(MAX_HEAD.into())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let stream = TokioIo::new(MonitoredStream::http2(stream, Arc::clone(connection)));
    let http = http.serve_connection(stream, service);
    connection.state().run_http(http, Duration::ZERO, http2::Connection::graceful_shutdown).await;
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::listener::server::ApiServer;
    use crate::http::testing::{LIMITS, connect, tls};
    use crate::http::wire::answers;

    const SHORT: Duration = Duration::from_millis(80);
    const REQUEST: &[u8] = b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n";

    /// A server with these limits, for one connection at a time, which answers with `length` bytes.
    fn server(limits: LimitsConfig, length: usize) -> ApiServer {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let limits = LimitsConfig { connections: 1, drain_timeout: SHORT, ..limits };
        ApiServer::bind_with(
            here,
            tls().0,
            limits,
            move |_, _| async move { answers::written_json(vec![b'1'; length]) },
        )
        .unwrap()
    }

    /// Waits until the server has room for a connection again, so its only connection is over.
    async fn is_free(server: &ApiServer) {
        while connect(server.local_address(), true).await.is_err() {
            tokio::time::sleep(SHORT / 8).await;
        }
    }

    #[tokio::test]
    async fn a_connection_without_a_request_is_closed() {
        for h2 in [true, false] {
            let server = server(LimitsConfig { first_request_timeout: SHORT, ..LIMITS }, 1);
            let mut silent = connect(server.local_address(), h2).await.unwrap();
            if h2 {
                // Part of a preface does not count as one.
                let _ = silent.write_all(b"PRI * HTTP/2.0\r\n").await;
            }
            let mut rest = Vec::new();
            // A connection that the server breaks off may end in an error.
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
            // It pings, which the server answers, and sends more requests. Neither is progress.
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
        // Long enough to send the request first.
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

    /// However late the request comes, its answer says that the connection ends, so no request is lost.
    #[tokio::test]
    async fn a_request_on_an_old_connection_of_http_1_is_answered_as_its_last() {
        let server = server(LimitsConfig { max_age: SHORT, ..LIMITS }, 1);
        let mut client = connect(server.local_address(), false).await.unwrap();
        tokio::time::sleep(LAST_REQUEST_WAIT + SHORT * 10).await;
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
        let server = ApiServer::bind_with(here, tls().0, limits, |_, _| async {
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
