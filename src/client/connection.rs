//! One connection to one server, over HTTP/1.1 or HTTP/2 as the handshake chose.

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

/// From the first packet to the end of the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The sending half of a connection; a task of its own drives the rest until this is dropped.
pub enum Connection {
    /// One request at a time.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// Many at a time.
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects and shakes hands.
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

    /// Sends a request when the connection has room for it.
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

    /// Whether the server has hung up.
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
