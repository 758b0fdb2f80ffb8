//! Connections under load. They are opened before the measurement. When one breaks, its client connects again, to the same
//! server or to the next.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::client::conn::http2;
use hyper::{Request, StatusCode};
use tokio::sync::Mutex;
use tokio::time::{Instant, Sleep, sleep};

use super::Http;
use super::target::{Body, DrivenHttp1, Target, send_http2};
use super::transport_failure::TransportFailure;

/// Connects clients to the servers of a plan, to the server `first` at first. Over HTTP/2 its clients share one connection.
#[derive(Clone)]
pub struct Connector {
    servers: Arc<[Target]>,
    first: usize,
    shared: Option<Arc<SharedConnection>>,
}

/// An HTTP/2 connection that several clients share.
struct SharedConnection {
    state: Mutex<SharedState>,
    /// How many attempts to open it failed.
    failures: AtomicU64,
}

struct SharedState {
    server: usize,
    /// Counts the connections, so that a client can say which one it gave up.
    number: u64,
    sender: Option<http2::SendRequest<Body>>,
}

/// The connection of one client, which replaces it after it broke.
pub struct LoadConnection {
    connector: Connector,
    server: usize,
    /// The server of the next [`LoadConnection::connect_once`].
    single: usize,
    open: Option<OpenConnection>,
    /// The shared connection that this client gave up, by its number, and whether to leave its server.
    given_up: Option<(u64, bool)>,
    timer: AnswerTimer,
}

enum OpenConnection {
    Http1(Box<DrivenHttp1>),
    Http2(http2::SendRequest<Body>, u64),
}

impl Connector {
    /// Connects to these servers, beginning with the one at index `first`.
    pub fn new(servers: Arc<[Target]>, first: usize, http: Http) -> Self {
        let shared = || {
            let state = Mutex::new(SharedState { server: first, number: 0, sender: None });
            Arc::new(SharedConnection { state, failures: AtomicU64::new(0) })
        };
        Self { servers, first, shared: (http == Http::Two).then(shared) }
    }

    /// A connection for one client, not open yet. Over HTTP/1.1 it is the client's own, over HTTP/2 the shared one. Each
    /// answer may take as long as `limit`.
    pub fn connection(&self, limit: Duration) -> LoadConnection {
        LoadConnection {
            connector: self.clone(),
            server: self.first,
            single: self.first,
            open: None,
            given_up: None,
            timer: AnswerTimer { limit, sleep: Box::pin(sleep(limit)) },
        }
    }

    fn next(&self, server: usize) -> usize {
        (server + 1) % self.servers.len()
    }
}

impl LoadConnection {
    /// The index of the server that it leads to.
    pub fn server(&self) -> usize {
        self.server
    }

    /// Whether the plan has other servers.
    pub fn has_others(&self) -> bool {
        self.connector.servers.len() > 1
    }

    /// Whether a request can be sent.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Sends a request and reads its whole answer. Closes the connection if that fails.
    pub async fn send(&mut self, request: Request<Body>) -> Result<StatusCode, TransportFailure> {
        let outcome = match &mut self.open {
            Some(OpenConnection::Http1(driven)) => self.timer.limit(driven.send(request)).await,
            Some(OpenConnection::Http2(sender, _)) => self.timer.limit(send_http2(sender, request)).await,
            None => Err(TransportFailure::Lost),
        };
        if let Err(failure) = outcome {
            // A silent server may stay silent, so the next one is tried. A server that broke the connection may just restart.
            self.close(failure == TransportFailure::TimedOut);
        }
        outcome
    }

    /// Closes it. With `leave` the client connects to the next server first.
    pub fn close(&mut self, leave: bool) {
        match self.open.take() {
            Some(OpenConnection::Http2(_, number)) => self.given_up = Some((number, leave)),
            _ if leave => self.server = self.connector.next(self.server),
            _ => {}
        }
    }

    /// The index of the server that [`LoadConnection::connect_once`] connects to.
    pub fn single_server(&self) -> usize {
        self.single
    }

    /// Opens a new connection, sends one request on it and drops it. If that fails, the next one goes to another server.
    pub async fn connect_once(&mut self, request: Request<Body>) -> Result<StatusCode, TransportFailure> {
        // The state of a handshake is large. Unboxed, it would make the future of every request as large.
        let once = Box::pin(self.connector.servers[self.single].connect_once(request));
        let outcome = self.timer.limit(once).await;
        if outcome.is_err() {
            self.single = self.connector.next(self.single);
        }
        outcome
    }

    /// Connects. If that fails, the next attempt goes to the next server.
    ///
    /// # Errors
    /// The connection could not be opened. The error is `None` if another client has just reported the same failure of
    /// the shared connection.
    pub async fn open(&mut self) -> Result<(), Option<io::Error>> {
        let Some(shared) = self.connector.shared.clone() else { return self.open_own().await.map_err(Some) };
        let failures = shared.failures.load(Ordering::Relaxed);
        let mut state = shared.state.lock().await;
        if let Some((number, leave)) = self.given_up.take()
            && number == state.number
        {
            state.sender = None;
            state.server = if leave { self.connector.next(state.server) } else { state.server };
        }
        if state.sender.as_ref().is_none_or(http2::SendRequest::is_closed) {
            if shared.failures.load(Ordering::Relaxed) != failures {
                return Err(None);
            }
            match self.connector.servers[state.server].open_http2().await {
                Ok(sender) => (state.sender, state.number) = (Some(sender), state.number + 1),
                Err(error) => {
                    shared.failures.fetch_add(1, Ordering::Relaxed);
                    state.server = self.connector.next(state.server);
                    return Err(Some(error));
                }
            }
        }
        self.server = state.server;
        self.open = state.sender.clone().map(|sender| OpenConnection::Http2(sender, state.number));
        Ok(())
    }

    async fn open_own(&mut self) -> io::Result<()> {
        match self.connector.servers[self.server].open_http1().await {
            Ok(driven) => self.open = Some(OpenConnection::Http1(Box::new(driven))),
            Err(error) => {
                self.server = self.connector.next(self.server);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Limits how long an answer may take. One timer serves all requests of a client: it is set again only when it fires,
/// which is cheaper than a timer for each request.
struct AnswerTimer {
    limit: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl AnswerTimer {
    async fn limit<T>(
        &mut self,
        answer: impl Future<Output = Result<T, TransportFailure>>,
    ) -> Result<T, TransportFailure> {
        let due = Instant::now() + self.limit;
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                biased;
                outcome = &mut answer => return outcome,
                () = self.sleep.as_mut() => {
                    if Instant::now() >= due {
                        return Err(TransportFailure::TimedOut);
                    }
                    self.sleep.as_mut().reset(due);
                }
            }
        }
    }
}
