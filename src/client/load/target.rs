//! A server under load, and how to connect to it.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Http;
use super::transport_failure::TransportFailure;
use crate::client::Endpoint;
use crate::tls::{ClientStream, ClientTls};

/// The body of a request.
pub type Body = Full<Bytes>;

/// A server under load.
pub struct Target {
    endpoint: Endpoint,
    /// Its IP address, which is resolved again after a connection failed.
    address: Mutex<Option<SocketAddr>>,
    tls: ClientTls,
    http: Http,
    /// How long connecting may take.
    limit: Duration,
}

/// A connection over HTTP/1.1. The task that waits for an answer also drives it, so that no other task has to wake up.
pub struct DrivenHttp1 {
    sender: http1::SendRequest<Body>,
    /// `None` once it has ended.
    connection: Option<Pin<Box<Http1Connection>>>,
}

type Http1Connection = http1::Connection<TokioIo<ClientStream>, Body>;

impl Target {
    /// A server. Connects to nothing yet.
    pub fn new(endpoint: &Endpoint, tls: &ClientTls, http: Http, limit: Duration) -> Self {
        Self { endpoint: endpoint.clone(), address: Mutex::new(None), tls: tls.clone(), http, limit }
    }

    /// Its host and port.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens a new connection, sends one request on it and drops it.
    pub async fn connect_once(&self, request: Request<Body>) -> Result<StatusCode, TransportFailure> {
        match self.http {
            Http::One => self.open_http1().await.map_err(|error| TransportFailure::of(&error))?.send(request).await,
            Http::Two => {
                let mut sender = self.open_http2().await.map_err(|error| TransportFailure::of(&error))?;
                send_http2(&mut sender, request).await
            }
        }
    }

    /// Connects for HTTP/1.1.
    pub async fn open_http1(&self) -> io::Result<DrivenHttp1> {
        let stream = self.open().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok(DrivenHttp1 { sender, connection: Some(Box::pin(connection)) })
    }

    /// Connects for HTTP/2.
    pub async fn open_http2(&self) -> io::Result<http2::SendRequest<Body>> {
        let stream = self.open().await?;
        if !ClientTls::chose_http2(&stream) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server does not speak HTTP/2"));
        }
        let opened = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn open(&self) -> io::Result<ClientStream> {
        let opened = timeout(self.limit, self.open_without_limit()).await;
        opened.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut))).inspect_err(|_| {
            // The name may resolve to another address by now.
            *self.address.lock() = None;
        })
    }

    async fn open_without_limit(&self) -> io::Result<ClientStream> {
        let tcp = TcpStream::connect(self.address().await?).await?;
        tcp.set_nodelay(true)?;
        // Close at once, without TIME_WAIT. Thousands of new connections a second would use up all ports otherwise.
        tcp.set_zero_linger()?;
        self.tls.connect(&self.endpoint.host, tcp).await
    }

    async fn address(&self) -> io::Result<SocketAddr> {
        let known = *self.address.lock();
        if let Some(address) = known {
            return Ok(address);
        }
        let unresolved = |error: io::Error| io::Error::new(io::ErrorKind::NotFound, error);
        let mut found =
            tokio::net::lookup_host((self.endpoint.host.as_str(), self.endpoint.port)).await.map_err(unresolved)?;
        let address = found.next().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        *self.address.lock() = Some(address);
        Ok(address)
    }
}

impl DrivenHttp1 {
    /// Sends a request and reads its whole answer.
    pub async fn send(&mut self, request: Request<Body>) -> Result<StatusCode, TransportFailure> {
        let Self { sender, connection } = self;
        let exchange = async {
            sender.ready().await?;
            drain(sender.send_request(request).await?).await
        };
        let mut exchange = pin!(exchange);
        // Poll the connection between two polls of the exchange. It sends what the first poll queued, and reads what the
        // second poll takes, so that this task wakes up once for an answer.
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = exchange.as_mut().poll(context) {
                return Poll::Ready(done.map_err(|_| TransportFailure::Lost));
            }
            if connection.as_mut().is_some_and(|one| one.as_mut().poll(context).is_ready()) {
                *connection = None;
            }
            match exchange.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(done.map_err(|_| TransportFailure::Lost)),
                Poll::Pending if connection.is_none() => Poll::Ready(Err(TransportFailure::Lost)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// Sends a request over HTTP/2 and reads its whole answer.
pub async fn send_http2(
    sender: &mut http2::SendRequest<Body>,
    request: Request<Body>,
) -> Result<StatusCode, TransportFailure> {
    let exchange = async {
        sender.ready().await?;
        drain(sender.send_request(request).await?).await
    };
    exchange.await.map_err(|_| TransportFailure::Lost)
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
