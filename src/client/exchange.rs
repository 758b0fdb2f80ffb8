//! One request and its answer: which endpoint, how long, and when to go on to the next.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::connection::Connection;
use super::{Client, Endpoint, Error, Server};

/// The largest answer read: about three million names.
const MAX_ANSWER: usize = 128 << 20;

/// A request, before it is known which server gets it.
pub struct Call {
    /// GET, PUT or DELETE.
    pub method: Method,
    /// The path, percent-encoded, with its query.
    pub path: String,
    /// The body; empty for none.
    pub body: Bytes,
    /// The media type wished for.
    pub accept: &'static str,
}

/// What a server answered with status 200.
pub struct Answer {
    /// Its Content-Type, or an empty text.
    pub content_type: String,
    /// Its body.
    pub body: Bytes,
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: Bytes::new(), accept: "application/json" }
    }

    /// A request with a JSON body.
    pub fn json(path: impl Into<String>, body: &serde_json::Value) -> Self {
        Self { body: body.to_string().into(), ..Self::new(Method::PUT, path) }
    }

    pub(super) fn request(&self, endpoint: &Endpoint, http2: bool) -> http::Result<Request<Full<Bytes>>> {
        let request = Request::builder().method(&self.method).header(ACCEPT, self.accept);
        let request = if http2 {
            request.uri(format!("{endpoint}{}", self.path))
        } else {
            request.uri(&self.path).header(HOST, endpoint.authority())
        };
        request.body(Full::new(self.body.clone()))
    }
}

impl Answer {
    /// Reads the body as JSON.
    pub fn parse<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::Malformed { path: path.to_owned(), reason: error.to_string() })
    }
}

impl Client {
    /// Makes the request at one endpoint after the other until one gives an answer other than 503.
    pub(super) async fn exchange(&self, call: &Call) -> Result<Answer, Error> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failed = None;
        for step in 0..self.servers.len() {
            let index = (first + step) % self.servers.len();
            match self.exchange_with(&self.servers[index], call).await {
                Err(error) if error.concerns_one_server() => failed = Some(error),
                outcome => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return outcome.map_err(|error| error.after(failed.as_ref()));
                }
            }
        }
        Err(failed.expect("a client has at least one server"))
    }

    /// Makes the request and reads its answer as JSON.
    pub(super) async fn fetch<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        self.exchange(call).await?.parse(&call.path)
    }

    async fn exchange_with(&self, server: &Server, call: &Call) -> Result<Answer, Error> {
        match timeout(self.timeout, self.attempt(server, call)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::TimedOut { endpoint: server.endpoint.clone(), after: self.timeout }),
        }
    }

    async fn attempt(&self, server: &Server, call: &Call) -> Result<Answer, Error> {
        let broken = |source| Error::Transport { endpoint: server.endpoint.clone(), source };
        let kept = server.idle.lock().pop().filter(|connection| !connection.is_closed());
        if let Some(connection) = kept {
            match self.converse(server, connection, call).await {
                // The server had closed the idle connection before it saw the request.
                Err(error) if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) => {}
                outcome => return outcome.map_err(broken)?,
            }
        }
        let connection = Connection::open(&server.endpoint, &self.tls).await.map_err(|error| broken(error.into()))?;
        self.converse(server, connection, call).await.map_err(broken)?
    }

    /// Sends the request over the connection and keeps the connection for the next one.
    async fn converse(
        &self,
        server: &Server,
        mut connection: Connection,
        call: &Call,
    ) -> Result<Result<Answer, Error>, Box<dyn std::error::Error + Send + Sync>> {
        let request = call.request(&server.endpoint, matches!(connection, Connection::Http2(_)))?;
        let answer = read(connection.send(request).await?).await?;
        server.idle.lock().push(connection);
        Ok(answer)
    }
}

/// Reads an answer to its end, and tells one that says no from one that says yes.
pub async fn read(
    response: Response<hyper::body::Incoming>,
) -> Result<Result<Answer, Error>, Box<dyn std::error::Error + Send + Sync>> {
    let status = response.status();
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = content_type.to_owned();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    Ok(match status {
        StatusCode::OK => Ok(Answer { content_type, body }),
        _ => Err(Error::Status { code: status.as_u16(), message: message(status, &body), retried: false }),
    })
}

fn message(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let plain = || String::from_utf8_lossy(&body[..body.len().min(1024)]).trim().to_owned();
    let message = serde_json::from_slice::<Refusal>(body).map_or_else(|_| plain(), |refusal| refusal.message);
    if message.is_empty() { status.canonical_reason().unwrap_or("refused").to_owned() } else { message }
}

impl Error {
    /// Whether another server may do better.
    pub(super) fn concerns_one_server(&self) -> bool {
        matches!(self, Self::Transport { .. } | Self::TimedOut { .. } | Self::Status { code: 503, .. })
    }

    fn after(self, failed: Option<&Self>) -> Self {
        match self {
            Self::Status { code, message, .. } => Self::Status { code, message, retried: failed.is_some() },
            other => other,
        }
    }
}
