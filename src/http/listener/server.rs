//! The public listener: it accepts connections, and drains.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::client::ConnectedClient;
use super::connection::{self, MalformedRequests};
use super::connections::Connections;
use crate::config::LimitsConfig;
use crate::http::wire::answers::Answer;
use crate::socket;
use crate::tls::{PublicTls, Refused};

/// The pause after a failed accept, for example because the process has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// An open listener and its connections. Dropping it breaks all of them off.
pub struct ApiServer {
    local_address: SocketAddr,
    stop: DropGuard,
    accepting: JoinHandle<()>,
    connections: CloseOnDrop,
    tasks: TaskTracker,
    drain_timeout: Duration,
}

/// The connections of a server, which end when the server is dropped: a node that fails answers nobody any more.
struct CloseOnDrop(Arc<Connections>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl ApiServer {
    /// Opens a listener to see whether that works, and closes it.
    ///
    /// # Errors
    /// The system does not let the node listen on the address.
    pub fn probe(address: SocketAddr) -> io::Result<()> {
        socket::listen(address).map(drop)
    }

    /// Opens a listener and lets `handler` answer its requests. It records no malformed requests.
    ///
    /// # Errors
    /// The system does not let the node listen on the address.
    pub fn bind_with<H, F>(
        address: SocketAddr,
        tls: Arc<PublicTls>,
        limits: LimitsConfig,
        handler: H,
    ) -> io::Result<Self>
    where
        H: Fn(Arc<ConnectedClient>, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::open(address, tls, limits, handler, MalformedRequests::unrecorded())
    }

    /// Opens a listener and lets `handler` answer its requests.
    ///
    /// # Errors
    /// The system does not let the node listen on the address.
    pub fn open<H, F>(
        address: SocketAddr,
        tls: Arc<PublicTls>,
        limits: LimitsConfig,
        handler: H,
        malformed: MalformedRequests,
    ) -> io::Result<Self>
    where
        H: Fn(Arc<ConnectedClient>, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let listener = socket::listen(address)?;
        let local_address = listener.local_addr()?;
        let connections = Connections::new(&limits);
        tokio::spawn(Connections::keep_sweeping(Arc::downgrade(&connections), connections.period()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let acceptor = Acceptor {
            tls,
            draining: stop.child_token(),
            limits,
            handler,
            malformed,
            connections: Arc::clone(&connections),
            tasks: tasks.clone(),
        };
        let accepting = tokio::spawn(acceptor.accept_until(stop.clone(), listener));
        let drain_timeout = limits.drain_timeout;
        let (stop, connections) = (stop.drop_guard(), CloseOnDrop(connections));
        Ok(Self { local_address, stop, accepting, connections, tasks, drain_timeout })
    }

    /// The address that it listens on.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Closes the listener first and ends the streams. Then it asks every connection to end (GOAWAY, or `Connection:
    /// close`), and waits for the requests in flight, for at most `limits.drain_timeout`.
    pub async fn drain(self) {
        drop(self.stop);
        // This fails only if accepting panicked, and then the listener is closed, too.
        let _ = self.accepting.await;
        self.connections.0.drain();
        self.tasks.close();
        if timeout(self.drain_timeout, self.tasks.wait()).await.is_err() {
            tracing::warn!("requests in flight did not end within limits.drain_timeout: the node breaks them off");
            self.connections.0.close();
            self.tasks.wait().await;
        }
    }
}

/// Accepts the connections of a listener.
struct Acceptor<H> {
    tls: Arc<PublicTls>,
    draining: CancellationToken,
    limits: LimitsConfig,
    handler: H,
    malformed: MalformedRequests,
    connections: Arc<Connections>,
    tasks: TaskTracker,
}

impl<H, F> Acceptor<H>
where
    H: Fn(Arc<ConnectedClient>, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    async fn accept_until(self, stop: CancellationToken, listener: TcpListener) {
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((tcp, from)) => self.serve(tcp, SocketAddr::new(from.ip().to_canonical(), from.port())),
                Err(error) => {
                    tracing::warn!("the node cannot accept a connection of a client: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Serves a connection in a task of its own. Closes a connection beyond the limit at once, because a client leaves
    /// a closed connection sooner than a silent one.
    fn serve(&self, tcp: TcpStream, from: SocketAddr) {
        let Some(connection) = self.connections.open() else {
            let full = format!("{} connections are open already (limits.connections)", self.limits.connections);
            return self.connections.refused().add(from, &Refused::Full(full));
        };
        if let Err(error) = tcp.set_nodelay(true) {
            return tracing::debug!(client = %from, "the connection of a client broke: {error}");
        }
        let (tls, limits) = ((Arc::clone(&self.tls), self.draining.clone()), self.limits);
        let handlers = (self.handler.clone(), self.malformed.clone());
        self.tasks.spawn(async move { connection::serve(tcp, from, tls, &limits, connection, handlers).await });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::http::testing::{LIMITS, connect, tls};
    use crate::http::wire::answers;

    const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    /// A server whose requests wait until the test lets them end.
    struct Slow {
        server: ApiServer,
        /// One permit for each request that has begun.
        begun: Arc<Semaphore>,
        /// One permit for each request that may end.
        may_end: Arc<Semaphore>,
    }

    fn slow(limits: LimitsConfig) -> Slow {
        let (begun, may_end) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (begins, ends) = (Arc::clone(&begun), Arc::clone(&may_end));
        let server = ApiServer::bind_with(HERE, tls().0, limits, move |_, _| {
            let (begins, ends) = (Arc::clone(&begins), Arc::clone(&ends));
            async move {
                begins.add_permits(1);
                ends.acquire().await.unwrap().forget();
                answers::empty()
            }
        })
        .unwrap();
        Slow { server, begun, may_end }
    }

    fn request() -> Request<Empty<Bytes>> {
        Request::get("https://localhost/version").body(Empty::new()).unwrap()
    }

    async fn h2_client(address: SocketAddr) -> hyper::client::conn::http2::SendRequest<Empty<Bytes>> {
        let io = TokioIo::new(connect(address, true).await.unwrap());
        let (client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn read_to_end(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
        let mut text = Vec::new();
        // A connection that the server breaks off may end in an error.
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn an_empty_answer_has_its_length_over_both_protocols() {
        let Slow { server, may_end, .. } = slow(LIMITS);
        may_end.add_permits(2);
        let mut h1 = connect(server.local_address(), false).await.unwrap();
        h1.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let answer = read_to_end(h1).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\ncontent-length: 0\r\n"), "{answer}");
        let answer = h2_client(server.local_address()).await.send_request(request()).await.unwrap();
        assert_eq!(answer.headers()["content-length"], "0");
    }

    #[tokio::test]
    async fn draining_closes_the_listener_and_finishes_the_requests_in_flight() {
        for h2 in [false, true] {
            let Slow { server, begun, may_end } = slow(LIMITS);
            let address = server.local_address();
            let answer = if h2 {
                let mut client = h2_client(address).await;
                tokio::spawn(async move { client.send_request(request()).await.unwrap().status().to_string() })
            } else {
                let mut client = connect(address, false).await.unwrap();
                client.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
                tokio::spawn(read_to_end(client))
            };
            let idle = tokio::spawn(read_to_end(connect(address, false).await.unwrap()));
            begun.acquire().await.unwrap().forget();
            let drained = tokio::spawn(server.drain());
            assert_eq!(idle.await.unwrap(), "", "an idle connection ends at once");
            assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
            assert!(!drained.is_finished());
            may_end.add_permits(1);
            drained.await.unwrap();
            let answer = answer.await.unwrap();
            assert!(answer.contains("200 OK") && (h2 || answer.contains("connection: close")), "{answer}");
        }
    }

    /// Otherwise a client that sends a request while the server drains cannot know whether the server read it.
    #[tokio::test]
    async fn a_request_that_arrives_while_the_server_drains_is_answered_as_the_last_one() {
        let Slow { server, may_end, .. } = slow(LIMITS);
        may_end.add_permits(2);
        let address = server.local_address();
        let mut client = connect(address, false).await.unwrap();
        let request = b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut first = Vec::new();
        while !first.ends_with(b"\r\n\r\n") {
            first.push(client.read_u8().await.unwrap());
        }
        let drained = tokio::spawn(server.drain());
        while TcpStream::connect(address).await.is_ok() {}
        client.write_all(request).await.unwrap();
        let last = read_to_end(client).await;
        assert!(last.starts_with("HTTP/1.1 200") && last.contains("connection: close\r\n"), "{last}");
        drained.await.unwrap();
    }

    #[tokio::test]
    async fn draining_ends_even_when_a_request_does_not() {
        let Slow { server, begun, .. } = slow(LimitsConfig { drain_timeout: Duration::from_millis(1), ..LIMITS });
        let mut client = connect(server.local_address(), false).await.unwrap();
        client.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        begun.acquire().await.unwrap().forget();
        server.drain().await;
        assert_eq!(read_to_end(client).await, "");
    }

    #[tokio::test]
    async fn a_second_server_can_listen_after_a_drain() {
        let Slow { server, may_end, .. } = slow(LIMITS);
        may_end.add_permits(1);
        let address = server.local_address();
        let mut client = h2_client(address).await;
        client.send_request(request()).await.unwrap().into_body().collect().await.unwrap();
        server.drain().await;
        let again = ApiServer::bind_with(address, tls().0, LIMITS, |_, _| async { answers::empty() }).unwrap();
        assert_eq!(h2_client(again.local_address()).await.send_request(request()).await.unwrap().status(), 200);
    }

    #[tokio::test]
    async fn a_slow_handshake_ends_its_connection() {
        let Slow { server, .. } = slow(LimitsConfig { handshake_timeout: Duration::from_millis(1), ..LIMITS });
        assert_eq!(read_to_end(TcpStream::connect(server.local_address()).await.unwrap()).await, "");
    }

    #[tokio::test]
    async fn a_slow_head_ends_its_connection_and_an_idle_connection_stays() {
        let Slow { server, may_end, .. } = slow(LimitsConfig { header_timeout: Duration::from_millis(40), ..LIMITS });
        may_end.add_permits(1);
        let mut idle = connect(server.local_address(), false).await.unwrap();
        let mut slow = connect(server.local_address(), false).await.unwrap();
        slow.write_all(b"GET /version HTTP/1.1\r\nho").await.unwrap();
        assert_eq!(read_to_end(slow).await, "");
        idle.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(read_to_end(idle).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_are_closed_at_once() {
        let Slow { server, .. } = slow(LimitsConfig { connections: 1, ..LIMITS });
        let _first = connect(server.local_address(), false).await.unwrap();
        assert!(connect(server.local_address(), false).await.is_err());
    }

    #[tokio::test]
    async fn a_panic_ends_its_connection_only() {
        let calls = Arc::new(AtomicU32::new(0));
        let server = ApiServer::bind_with(HERE, tls().0, LIMITS, move |_, _| {
            let first = calls.fetch_add(1, SeqCst) == 0;
            async move {
                assert!(!first, "the first request fails");
                answers::empty()
            }
        })
        .unwrap();
        assert!(h2_client(server.local_address()).await.send_request(request()).await.is_err());
        assert_eq!(h2_client(server.local_address()).await.send_request(request()).await.unwrap().status(), 200);
        server.drain().await;
    }
}
