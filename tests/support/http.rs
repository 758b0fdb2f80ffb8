//! Requests and answers as they are on the wire. No library checks or completes them.

use std::time::Duration;
use std::{fmt, io};

use serde::Deserialize;

use super::connection::{Client, Endpoint};
use super::{http1, http2};

/// How long an answer may take. After that the server counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request. Only `framing` adds something to it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The raw request target.
    pub target: String,
    /// Names and values, beside those that the framing needs.
    pub headers: Vec<(String, String)>,
    /// The body. Empty when the request has none.
    pub body: Vec<u8>,
    /// How the request marks the end of its body.
    pub framing: Framing,
}

/// How a request marks the end of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// By `Content-Length`.
    Length,
    /// By chunked encoding; in HTTP/2 by data frames without `Content-Length`.
    Chunked,
    /// Not at all, because the request has no body.
    None,
}

/// The version of HTTP that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1, written by hand.
    One,
    /// HTTP/2.
    Two,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why no answer came.
#[derive(Debug)]
pub enum Error {
    /// Nobody listens there.
    Unreachable(io::Error),
    /// The connection ended in the handshake, or before a byte of the answer: in TLS 1.3 the alert about a client
    /// certificate arrives after the client believes to be connected.
    Refused(String),
    /// The bytes that came are not an answer.
    Broken(String),
}

impl Request {
    /// A request without headers; its framing is `Content-Length` when there is a body.
    pub fn new(method: &str, target: &str, body: Option<&str>) -> Self {
        let framing = if body.is_some() { Framing::Length } else { Framing::None };
        let body = body.unwrap_or_default().into();
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body, framing }
    }
}

impl Response {
    /// The value of a header, its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, or null if it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "nobody listens: {error}"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::Broken(reason) => write!(f, "broken: {reason}"),
        }
    }
}

/// Sends a request on a connection of its own.
///
/// # Errors
/// No whole answer came.
pub async fn send(endpoint: &Endpoint, client: &Client, http: Http, request: &Request) -> Result<Response, Error> {
    let exchange = async {
        let stream = client.connect(endpoint, http).await?;
        match http {
            Http::One => http1::send(stream, request).await,
            Http::Two => http2::send(stream, endpoint.address, request).await,
        }
    };
    let late = |_| Err(Error::Broken(format!("no answer within {} s", PATIENCE.as_secs())));
    tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(late)
}
