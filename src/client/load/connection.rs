//! Connections under load: opened before anything counts, and opened again, there or at the next server, when they break.

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

/// The servers, and which of them is the first to be connected to; over HTTP/2, one connection for all its clients.
#[derive(Clone)]
pub struct Connector {
    servers: Arc<[Target]>,
    first: usize,
    shared: Option<Arc<SharedConnection>>,
}

/// An HTTP/2 connection that several clients share.
struct SharedConnection {
    state: Mutex<SharedState>,
    /// How often it could not be opened.
    failures: AtomicU64,
}

struct SharedState {
    server: usize,
    /// Which connection it is, counted.
    number: u64,
    sender: Option<http2::SendRequest<Body>>,
}

/// One client's way to send a request.
pub struct LoadConnection {
    connector: Connector,
    server: usize,
    /// The server that the next single connection goes to.
    single: usize,
    open: Option<OpenConnection>,
    /// The shared connection that was of no use, and whether its server is to be left.
    given_up: Option<(u64, bool)>,
    timer: AnswerTimer,
}

enum OpenConnection {
    Http1(Box<DrivenHttp1>),
    Http2(http2::SendRequest<Body>, u64),
}

impl Connector {
    /// A way to these servers that begins at one of them.
    pub fn new(servers: Arc<[Target]>, first: usize, http: Http) -> Self {
        let shared = || {
            let state = Mutex::new(SharedState { server: first, number: 0, sender: None });
            Arc::new(SharedConnection { state, failures: AtomicU64::new(0) })
        };
        Self { servers, first, shared: (http == Http::Two).then(shared) }
    }

    /// A connection of its own over HTTP/1.1, one that shares the connection over HTTP/2; not open yet. Each answer may take
    /// as long as `limit`.
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
    /// The server that it leads to, by its place in the list.
    pub fn server(&self) -> usize {
        self.server
    }

    /// Whether it leads to one of several servers.
    pub fn has_others(&self) -> bool {
        self.connector.servers.len() > 1
    }

    /// Whether a request can be sent.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Sends a request and reads its whole answer; the connection is closed when that breaks.
    pub async fn send(&mut self, request: Request<Body>) -> Result<StatusCode, TransportFailure> {
        let outcome = match &mut self.open {
            Some(OpenConnection::Http1(driven)) => self.timer.with(driven.send(request)).await,
            Some(OpenConnection::Http2(sender, _)) => self.timer.with(send_http2(sender, request)).await,
            None => Err(TransportFailure::Lost),
        };
        if let Err(failure) = outcome {
            // A server that is silent is left; one that is gone is looked for once more, since it may just restart.
            self.close(failure == TransportFailure::TimedOut);
        }
        outcome
    }

    /// Closes it; `leave` has the next server tried first.
    pub fn close(&mut self, leave: bool) {
        match self.open.take() {
            Some(OpenConnection::Http2(_, number)) => self.given_up = Some((number, leave)),
            _ if leave => self.server = self.connector.next(self.server),
            _ => {}
        }
    }

    /// The server that [`LoadConnection::connect_once`] connects to.
    pub fn single_server(&self) -> usize {
        self.single
    }

    /// Makes a new connection, sends one request on it and drops it; the next one goes elsewhere if that fails.
    pub async fn connect_once(&mut self, request: Request<Body>) -> Result<StatusCode, TransportFailure> {
        // A handshake's state is large, and every request would carry it.
        let once = Box::pin(self.connector.servers[self.single].connect_once(request));
        let outcome = self.timer.with(once).await;
        if outcome.is_err() {
            self.single = self.connector.next(self.single);
        }
        outcome
    }

    /// Connects, and goes on to the next server when that fails.
    ///
    /// # Errors
    /// The connection could not be made; none when another client of a shared one has just found that.
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

/// How long an answer may take. One timer serves all requests of a client: it is set again only when it runs out.
struct AnswerTimer {
    limit: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl AnswerTimer {
    async fn with<T>(
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
