//! Connections under load: opened before anything counts, and opened again when they break.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::{Error, Http};
use crate::client::{self, Endpoint};
use crate::tls::{ClientStream, ClientTls};

type Body = Full<Bytes>;

/// How to reach one server; over HTTP/2, one connection for all its links.
#[derive(Clone)]
pub struct Route {
    target: Arc<Target>,
    /// The connection that links share, over HTTP/2.
    shared: Option<Arc<Mutex<http2::SendRequest<Body>>>>,
}

struct Target {
    endpoint: Endpoint,
    /// Its address, looked up once.
    address: SocketAddr,
    tls: ClientTls,
    http: Http,
}

/// One client's way to send a request.
pub struct Link {
    route: Route,
    channel: Channel,
}

enum Channel {
    /// Driven by whoever waits for an answer, in the same task: no other task has to be woken.
    One(Box<DrivenHttp1>),
    Two(http2::SendRequest<Body>),
}

struct DrivenHttp1 {
    sender: http1::SendRequest<Body>,
    /// None once it has ended.
    connection: Option<Pin<Box<Http1Connection>>>,
}

type Http1Connection = http1::Connection<TokioIo<ClientStream>, Body>;

/// A request that got no answer at all.
#[derive(Debug)]
pub struct Broken;

impl Route {
    /// Looks the server up and connects to it.
    pub async fn new(endpoint: &Endpoint, tls: &ClientTls, http: Http) -> Result<Self, Error> {
        let transport = |source: io::Error| {
            Error::Client(client::Error::Transport { endpoint: endpoint.clone(), source: source.into(), sent: false })
        };
        let mut found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await.map_err(transport)?;
        let address = found.next().ok_or_else(|| transport(io::ErrorKind::NotFound.into()))?;
        let target = Target { endpoint: endpoint.clone(), address, tls: tls.clone(), http };
        let shared = match http {
            Http::One => None,
            Http::Two => Some(Arc::new(Mutex::new(target.open_http2().await.map_err(transport)?))),
        };
        Ok(Self { target: Arc::new(target), shared })
    }

    /// A link of its own over HTTP/1.1, one that shares the connection over HTTP/2.
    pub async fn link(&self) -> Result<Link, Error> {
        let endpoint = &self.target.endpoint;
        let channel = self.channel().await.map_err(|source| {
            Error::Client(client::Error::Transport { endpoint: endpoint.clone(), source: source.into(), sent: false })
        })?;
        Ok(Link { route: self.clone(), channel })
    }

    async fn channel(&self) -> io::Result<Channel> {
        let Some(shared) = &self.shared else { return Ok(Channel::One(Box::new(self.target.open_http1().await?))) };
        let mut shared = shared.lock().await;
        if shared.is_closed() {
            *shared = self.target.open_http2().await?;
        }
        Ok(Channel::Two(shared.clone()))
    }
}

impl Link {
    /// Sends a request and reads its whole answer.
    pub async fn send(&mut self, request: Request<Body>) -> Result<StatusCode, Broken> {
        match &mut self.channel {
            Channel::One(driven) => driven.send(request).await,
            Channel::Two(sender) => send_http2(sender, request).await.map_err(|_| Broken),
        }
    }

    /// Connects again after a request broke.
    pub async fn reopen(&mut self) -> Result<(), Broken> {
        self.channel = self.route.channel().await.map_err(|_| Broken)?;
        Ok(())
    }

    /// Makes a new connection, sends one request on it and drops it.
    pub async fn connect_once(&self, request: Request<Body>) -> Result<StatusCode, Broken> {
        let target = &self.route.target;
        match target.http {
            Http::One => target.open_http1().await.map_err(|_| Broken)?.send(request).await,
            Http::Two => {
                let mut sender = target.open_http2().await.map_err(|_| Broken)?;
                send_http2(&mut sender, request).await.map_err(|_| Broken)
            }
        }
    }
}

impl Target {
    async fn open(&self) -> io::Result<ClientStream> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        // Closed at once, without TIME_WAIT: thousands of new connections a second would use up all ports.
        tcp.set_zero_linger()?;
        self.tls.connect(&self.endpoint.host, tcp).await
    }

    async fn open_http1(&self) -> io::Result<DrivenHttp1> {
        let stream = self.open().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok(DrivenHttp1 { sender, connection: Some(Box::pin(connection)) })
    }

    async fn open_http2(&self) -> io::Result<http2::SendRequest<Body>> {
        let stream = self.open().await?;
        if !ClientTls::chose_http2(&stream) {
            return Err(io::Error::other("the server does not speak HTTP/2"));
        }
        let opened = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl DrivenHttp1 {
    async fn send(&mut self, request: Request<Body>) -> Result<StatusCode, Broken> {
        let Self { sender, connection } = self;
        let exchange = async {
            sender.ready().await?;
            drain(sender.send_request(request).await?).await
        };
        let mut exchange = pin!(exchange);
        // The connection is looked at between two looks at the exchange: it sends what the first look queued and
        // brings what the second takes, so that one wake-up of this task is enough.
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = exchange.as_mut().poll(context) {
                return Poll::Ready(done.map_err(|_| Broken));
            }
            if connection.as_mut().is_some_and(|one| one.as_mut().poll(context).is_ready()) {
                *connection = None;
            }
            match exchange.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(done.map_err(|_| Broken)),
                Poll::Pending if connection.is_none() => Poll::Ready(Err(Broken)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

async fn send_http2(sender: &mut http2::SendRequest<Body>, request: Request<Body>) -> hyper::Result<StatusCode> {
    sender.ready().await?;
    drain(sender.send_request(request).await?).await
}

/// Reads an answer to its end.
async fn drain(response: Response<hyper::body::Incoming>) -> hyper::Result<StatusCode> {
    let status = response.status();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(status)
}
