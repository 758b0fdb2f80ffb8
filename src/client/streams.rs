//! The log streams: events as they happen, line by line.

use std::io;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use tokio::time::timeout;

use super::api_client::Server;
use super::connection::Connection;
use super::exchange::{Call, read};
use super::{ApiClient, Endpoint, Error};

/// The longest line read; events are far shorter.
const MAX_LINE: usize = 1 << 20;

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// A record of every request.
    Audit,
    /// Errors of the server.
    Error,
}

/// Which events of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// Of the last events, as many as this to begin with.
    pub tail: usize,
    /// Those that happen from now on, too.
    pub follow: bool,
    /// Those of every node.
    pub cluster: bool,
}

/// A stream of events.
pub struct LogStream {
    endpoint: Endpoint,
    body: Incoming,
    read: BytesMut,
    /// Dropping it ends the stream.
    _connection: Connection,
}

impl ApiClient {
    /// Opens a log of the first server that can be reached; it has no end when it follows.
    ///
    /// # Errors
    /// 403, or no answer.
    pub async fn log(&self, log: LogKind, query: LogQuery) -> Result<LogStream, Error> {
        self.log_from(self.preferred.load(Ordering::Relaxed), log, query).await
    }

    /// The same after the stream of a server has ended: that one is asked last.
    ///
    /// # Errors
    /// As [`ApiClient::log`].
    pub async fn log_after(&self, lost: &Endpoint, log: LogKind, query: LogQuery) -> Result<LogStream, Error> {
        let next = self.servers.iter().position(|server| server.endpoint == *lost).map_or(0, |index| index + 1);
        self.log_from(next, log, query).await
    }

    async fn log_from(&self, first: usize, log: LogKind, query: LogQuery) -> Result<LogStream, Error> {
        let call = Call::new(Method::GET, target(log, query));
        let mut failures = Vec::new();
        for step in 0..self.servers.len() {
            let server = &self.servers[(first + step) % self.servers.len()];
            let endpoint = || server.endpoint.clone();
            let late = |_| Err(Error::TimedOut { endpoint: endpoint(), after: self.timeout, sent: false });
            match timeout(self.timeout, Box::pin(self.open_log(server, &call))).await.unwrap_or_else(late) {
                Err(error) if error.concerns_one_server() => failures.push((endpoint(), error)),
                outcome => return outcome,
            }
        }
        Err(Error::of_all(failures))
    }

    async fn open_log(&self, server: &Server, call: &Call) -> Result<LogStream, Error> {
        let endpoint = &server.endpoint;
        let broken = |source| Error::Transport { endpoint: endpoint.clone(), source, sent: false };
        let opened = Connection::open(endpoint, &self.tls).await;
        let mut connection = opened.map_err(|error| broken(error.into()))?;
        let request = call.request(endpoint, matches!(connection, Connection::Http2(_)));
        let request = request.map_err(|error| broken(error.into()))?;
        let answer = connection.send(request).await.map_err(|error| broken(error.into()))?;
        if answer.status() == StatusCode::OK {
            let (endpoint, body) = (endpoint.clone(), answer.into_body());
            return Ok(LogStream { endpoint, body, read: BytesMut::new(), _connection: connection });
        }
        let reason = "a refusal cannot be a success".to_owned();
        Err(read(answer, call)
            .await
            .map_err(broken)?
            .err()
            .unwrap_or(Error::Malformed { path: call.path.clone(), reason }))
    }
}

impl LogStream {
    /// The next event with its `\n`; none when the server has ended the stream.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.read.split_to(end + 1).freeze()));
            }
            if self.read.len() > MAX_LINE {
                return Err(self.broken(io::Error::other("an event that is longer than any").into()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => self.read.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(self.broken(error.into())),
            }
        }
    }

    /// The server that it comes from.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn broken(&self, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::Transport { endpoint: self.endpoint.clone(), source, sent: false }
    }
}

fn target(log: LogKind, LogQuery { tail, follow, cluster }: LogQuery) -> String {
    let name = match log {
        LogKind::Audit => "audit",
        LogKind::Error => "error",
    };
    // KES servers know none of these: they are left out where they say nothing.
    let mut asked = Vec::new();
    if tail > 0 {
        asked.push(format!("tail={tail}"));
    }
    if !follow {
        asked.push("follow=false".to_owned());
    }
    if cluster {
        asked.push("cluster=true".to_owned());
    }
    let query = if asked.is_empty() { String::new() } else { format!("?{}", asked.join("&")) };
    format!("/v1/log/{name}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_asks_for_no_more_than_is_wanted() {
        let query = |tail, follow, cluster| target(LogKind::Audit, LogQuery { tail, follow, cluster });
        assert_eq!(query(0, true, false), "/v1/log/audit");
        assert_eq!(query(7, false, true), "/v1/log/audit?tail=7&follow=false&cluster=true");
        assert_eq!(target(LogKind::Error, LogQuery { tail: 1, follow: true, cluster: false }), "/v1/log/error?tail=1");
    }
}
