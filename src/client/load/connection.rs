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
use super::transport_failure::Broken;

/// The servers, and which of them is the first to be connected to; over HTTP/2, one connection for all its links.
#[derive(Clone)]
pub struct Route {
    servers: Arc<[Target]>,
    first: usize,
    shared: Option<Arc<Shared>>,
}

/// A connection that links share.
struct Shared {
    state: Mutex<State>,
    /// How often it could not be opened.
    failures: AtomicU64,
}

struct State {
    server: usize,
    /// Which connection it is, counted.
    number: u64,
    sender: Option<http2::SendRequest<Body>>,
}

/// One client's way to send a request.
pub struct Link {
    route: Route,
    server: usize,
    /// The server that the next single connection goes to.
    single: usize,
    channel: Option<Channel>,
    /// The shared connection that was of no use, and whether its server is to be left.
    given_up: Option<(u64, bool)>,
    patience: Patience,
}

enum Channel {
    One(Box<DrivenHttp1>),
    Two(http2::SendRequest<Body>, u64),
}

impl Route {
    /// A way to these servers that begins at one of them.
    pub fn new(servers: Arc<[Target]>, first: usize, http: Http) -> Self {
        let shared = || {
            let state = Mutex::new(State { server: first, number: 0, sender: None });
            Arc::new(Shared { state, failures: AtomicU64::new(0) })
        };
        Self { servers, first, shared: (http == Http::Two).then(shared) }
    }

    /// A link of its own over HTTP/1.1, one that shares the connection over HTTP/2; not open yet. Each answer may take
    /// as long as `limit`.
    pub fn link(&self, limit: Duration) -> Link {
        Link {
            route: self.clone(),
            server: self.first,
            single: self.first,
            channel: None,
            given_up: None,
            patience: Patience { limit, sleep: Box::pin(sleep(limit)) },
        }
    }

    fn next(&self, server: usize) -> usize {
        (server + 1) % self.servers.len()
    }
}

impl Link {
    /// The server that it leads to, by its place in the list.
    pub fn server(&self) -> usize {
        self.server
    }

    /// Whether it leads to one of several servers.
    pub fn has_others(&self) -> bool {
        self.route.servers.len() > 1
    }

    /// Whether a request can be sent.
    pub fn is_open(&self) -> bool {
        self.channel.is_some()
    }

    /// Sends a request and reads its whole answer; the link is closed when that breaks.
    pub async fn send(&mut self, request: Request<Body>) -> Result<StatusCode, Broken> {
        let outcome = match &mut self.channel {
            Some(Channel::One(driven)) => self.patience.with(driven.send(request)).await,
            Some(Channel::Two(sender, _)) => self.patience.with(send_http2(sender, request)).await,
            None => Err(Broken::Lost),
        };
        if let Err(broken) = outcome {
            // A server that is silent is left; one that is gone is looked for once more, since it may just restart.
            self.close(broken == Broken::TimedOut);
        }
        outcome
    }

    /// Closes it; `leave` has the next server tried first.
    pub fn close(&mut self, leave: bool) {
        match self.channel.take() {
            Some(Channel::Two(_, number)) => self.given_up = Some((number, leave)),
            _ if leave => self.server = self.route.next(self.server),
            _ => {}
        }
    }

    /// The server that [`Link::connect_once`] connects to.
    pub fn single_server(&self) -> usize {
        self.single
    }

    /// Makes a new connection, sends one request on it and drops it; the next one goes elsewhere if that fails.
    pub async fn connect_once(&mut self, request: Request<Body>) -> Result<StatusCode, Broken> {
        // A handshake's state is large, and every request would carry it.
        let once = Box::pin(self.route.servers[self.single].connect_once(request));
        let outcome = self.patience.with(once).await;
        if outcome.is_err() {
            self.single = self.route.next(self.single);
        }
        outcome
    }

    /// Connects, and goes on to the next server when that fails.
    ///
    /// # Errors
    /// The connection could not be made; none when another client of a shared one has just found that.
    pub async fn open(&mut self) -> Result<(), Option<io::Error>> {
        let Some(shared) = self.route.shared.clone() else { return self.open_own().await.map_err(Some) };
        let failures = shared.failures.load(Ordering::Relaxed);
        let mut state = shared.state.lock().await;
        if let Some((number, leave)) = self.given_up.take()
            && number == state.number
        {
            state.sender = None;
            state.server = if leave { self.route.next(state.server) } else { state.server };
        }
        if state.sender.as_ref().is_none_or(http2::SendRequest::is_closed) {
            if shared.failures.load(Ordering::Relaxed) != failures {
                return Err(None);
            }
            match self.route.servers[state.server].open_http2().await {
                Ok(sender) => (state.sender, state.number) = (Some(sender), state.number + 1),
                Err(error) => {
                    shared.failures.fetch_add(1, Ordering::Relaxed);
                    state.server = self.route.next(state.server);
                    return Err(Some(error));
                }
            }
        }
        self.server = state.server;
        self.channel = state.sender.clone().map(|sender| Channel::Two(sender, state.number));
        Ok(())
    }

    async fn open_own(&mut self) -> io::Result<()> {
        match self.route.servers[self.server].open_http1().await {
            Ok(driven) => self.channel = Some(Channel::One(Box::new(driven))),
            Err(error) => {
                self.server = self.route.next(self.server);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// How long an answer may take. One timer serves all requests of a client: it is set again only when it runs out.
struct Patience {
    limit: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Patience {
    async fn with<T>(&mut self, answer: impl Future<Output = Result<T, Broken>>) -> Result<T, Broken> {
        let due = Instant::now() + self.limit;
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                biased;
                outcome = &mut answer => return outcome,
                () = self.sleep.as_mut() => {
                    if Instant::now() >= due {
                        return Err(Broken::TimedOut);
                    }
                    self.sleep.as_mut().reset(due);
                }
            }
        }
    }
}
