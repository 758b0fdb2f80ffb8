//! A connection to a server, over HTTP/1.1 or HTTP/2 as the TLS handshake chose.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Endpoint;
use crate::tls::{ClientStream, ClientTls};

/// How long connecting may take, from the first packet to the end of the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The sending half of a connection. A task of its own drives the connection until this is dropped.
pub enum Connection {
    /// HTTP/1.1: one request at a time.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// HTTP/2: many requests at a time.
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects, and does the TLS handshake.
    pub async fn open(endpoint: &Endpoint, tls: &ClientTls) -> io::Result<Self> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect(endpoint, tls)).await??;
        if ClientTls::chose_http2(&stream) {
            Self::http2(stream).await.map_err(io::Error::other)
        } else {
            Self::http1(stream).await.map_err(io::Error::other)
        }
    }

    /// Speaks HTTP/1.1 over an open stream.
    pub async fn http1(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> hyper::Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender))
    }

    /// Speaks HTTP/2 over an open stream.
    pub async fn http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> hyper::Result<Self> {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self::Http2(sender))
    }

    /// Sends a request as soon as the connection can take one.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Whether the connection is closed.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }
}

/// Opens a TCP connection and does the TLS handshake on it.
async fn connect(endpoint: &Endpoint, tls: &ClientTls) -> io::Result<ClientStream> {
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    tcp.set_nodelay(true)?;
    tls.connect(&endpoint.host, tcp).await
}
