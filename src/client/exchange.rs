//! One request and its answer: which endpoint gets it, how long the answer may take, and when the next endpoint is tried.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, ETAG, HOST, IF_MATCH};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::api_client::Server;
use super::connection::Connection;
use super::{ApiClient, Endpoint, Error, inferred_code};
use crate::error_code::{self, ErrorCode};

/// The largest answer that the client reads: about three million names.
const MAX_ANSWER: usize = 128 << 20;

/// A request that is not yet addressed to a server.
pub struct Call {
    /// `GET`, `PUT` or `DELETE`.
    pub method: Method,
    /// The path, percent-encoded, with its query.
    pub path: String,
    /// The body; empty for a request without one.
    pub body: Bytes,
    /// The media type to ask for.
    pub accept: &'static str,
    /// The tag (ETag) that the replaced policy must have. `None` to replace whichever policy is there.
    pub if_match: Option<String>,
    /// Whether a second attempt could take effect a second time. If so, no other server gets the request once a first one
    /// may have acted on it.
    pub once: bool,
}

/// What a server answered with status 200.
pub struct Answer {
    /// Its Content-Type, or an empty text.
    pub content_type: String,
    /// The tag (ETag) of what it shows, if the server sends one.
    pub tag: Option<String>,
    /// Its body.
    pub body: Bytes,
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: Bytes::new(), accept: "application/json", if_match: None, once: false }
    }

    /// A request with a JSON body.
    pub fn json(path: impl Into<String>, body: &serde_json::Value) -> Self {
        Self { body: body.to_string().into(), ..Self::new(Method::PUT, path) }
    }

    pub(super) fn request(&self, endpoint: &Endpoint, http2: bool) -> http::Result<Request<Full<Bytes>>> {
        let request = Request::builder().method(&self.method).header(ACCEPT, self.accept);
        let request = self.if_match.iter().fold(request, |request, tag| request.header(IF_MATCH, tag));
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

impl ApiClient {
    /// Sends the request to one endpoint after the other until one answers with another status than 503.
    pub(super) async fn exchange(&self, call: &Call) -> Result<Answer, Error> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        for step in 0..self.servers.len() {
            let index = (first + step) % self.servers.len();
            // The state of a handshake is large. Unboxed, it would make the future of every operation as large.
            match Box::pin(self.exchange_with(&self.servers[index], call)).await {
                Err(error) if call.once && error.may_be_done() => return Err(error.after_failures(&failures)),
                Err(error) if error.is_worth_another_server() => {
                    failures.push((self.servers[index].endpoint.clone(), error));
                }
                outcome => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return outcome.map_err(|error| error.after_failures(&failures));
                }
            }
        }
        Err(Error::from_all_servers(failures))
    }

    /// Sends the request and reads the answer as JSON.
    pub(super) async fn fetch<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        self.exchange(call).await?.parse(&call.path)
    }

    pub(super) async fn exchange_with(&self, server: &Server, call: &Call) -> Result<Answer, Error> {
        let sent = AtomicBool::new(false);
        match timeout(self.timeout, self.attempt(server, call, &sent)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let (endpoint, sent) = (server.endpoint.clone(), sent.into_inner());
                Err(Error::TimedOut { endpoint, after: self.timeout, sent })
            }
        }
    }

    async fn attempt(&self, server: &Server, call: &Call, sent: &AtomicBool) -> Result<Answer, Error> {
        let endpoint = || server.endpoint.clone();
        let transport = |source| Error::Transport { endpoint: endpoint(), source, sent: sent.load(Ordering::Relaxed) };
        let idle = server.idle.lock().pop().filter(|connection| !connection.is_closed());
        if let Some(connection) = idle {
            match self.send_and_read(server, connection, call, sent).await {
                // The server closed the idle connection before the request was sent, so a new one may send it.
                Err(error) if was_never_sent(error.as_ref()) => sent.store(false, Ordering::Relaxed),
                outcome => return outcome.map_err(transport)?,
            }
        }
        let connection =
            Connection::open(&server.endpoint, &self.tls).await.map_err(|error| transport(error.into()))?;
        self.send_and_read(server, connection, call, sent).await.map_err(transport)?
    }

    /// Sends the request and reads its answer. Keeps the connection for the next request.
    async fn send_and_read(
        &self,
        server: &Server,
        mut connection: Connection,
        call: &Call,
        sent: &AtomicBool,
    ) -> Result<Result<Answer, Error>, Box<dyn std::error::Error + Send + Sync>> {
        let request = call.request(&server.endpoint, matches!(connection, Connection::Http2(_)))?;
        sent.store(call.method != Method::GET, Ordering::Relaxed);
        let answer = read(connection.send(request).await?, call).await?;
        server.idle.lock().push(connection);
        Ok(answer)
    }
}

fn was_never_sent(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
}

/// Reads an answer to its end. The inner error is an answer with another status than 200.
pub async fn read(
    response: Response<hyper::body::Incoming>,
    call: &Call,
) -> Result<Result<Answer, Error>, Box<dyn std::error::Error + Send + Sync>> {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (content_type, tag) = (header(CONTENT_TYPE).unwrap_or_default(), header(ETAG));
    let sent_code = response.headers().get(error_code::HEADER).and_then(|code| ErrorCode::parse(code.to_str().ok()?));
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    Ok(match status {
        StatusCode::OK => Ok(Answer { content_type, tag, body }),
        _ => {
            let path = call.path.split('?').next().unwrap_or_default().to_owned();
            let (status, message) = (status.as_u16(), message(status, &body));
            let code = sent_code.or_else(|| inferred_code::infer(status, &message));
            Err(Error::Status { path, status, code, message, retried: false })
        }
    })
}

fn message(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct ErrorBody {
        message: String,
    }
    let plain = || String::from_utf8_lossy(&body[..body.len().min(1024)]).trim().to_owned();
    let message = serde_json::from_slice::<ErrorBody>(body).map_or_else(|_| plain(), |body| body.message);
    if message.is_empty() { status.canonical_reason().unwrap_or("refused").to_owned() } else { message }
}

impl Error {
    /// Whether another server may give a better answer.
    pub(super) fn is_worth_another_server(&self) -> bool {
        matches!(self, Self::Transport { .. } | Self::TimedOut { .. } | Self::Status { status: 503, .. })
    }

    /// The error to return when every server failed: that of the only one, or all of them.
    pub(super) fn from_all_servers(mut failures: Vec<(Endpoint, Self)>) -> Self {
        match failures.pop() {
            Some((_, only)) if failures.is_empty() => only,
            last => Self::NoServer(failures.into_iter().chain(last).collect()),
        }
    }

    fn after_failures(self, failures: &[(Endpoint, Self)]) -> Self {
        match self {
            Self::Status { path, status, code, message, .. } => {
                let retried = failures.iter().any(|(_, error)| error.may_be_done());
                Self::Status { path, status, code, message, retried }
            }
            other => other,
        }
    }
}
