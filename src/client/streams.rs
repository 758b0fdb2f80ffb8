//! The log streams: events as they happen, one a line.

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
use super::listing::path;
use super::{ApiClient, Endpoint, Error};
use crate::policy::LogAction;

/// The longest line that the client reads. Events are far shorter.
const MAX_LINE: usize = 1 << 20;

/// A log of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// The audit log: a record of every request.
    Audit,
    /// The error log.
    Error,
}

/// Which events of a log the stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// How many of the last events to begin with.
    pub tail: usize,
    /// Whether to go on with the events that happen from now on.
    pub follow: bool,
    /// Whether to show the events of every node.
    pub cluster: bool,
}

/// A stream of events.
pub struct LogStream {
    endpoint: Endpoint,
    body: Incoming,
    read: BytesMut,
    /// Keeps the stream open: dropping the connection ends it.
    _connection: Connection,
}

impl ApiClient {
    /// Opens a log of the first server that can be reached. A log that follows has no end.
    ///
    /// # Errors
    /// 403, or no answer.
    pub async fn log(&self, log: LogKind, query: LogQuery) -> Result<LogStream, Error> {
        self.log_from(self.preferred.load(Ordering::Relaxed), log, query).await
    }

    /// Opens a log again after the stream from the server `lost` ended. Asks that server last.
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
                Err(error) if error.is_worth_another_server() => failures.push((endpoint(), error)),
                outcome => return outcome,
            }
        }
        Err(Error::from_all_servers(failures))
    }

    async fn open_log(&self, server: &Server, call: &Call) -> Result<LogStream, Error> {
        let endpoint = &server.endpoint;
        let transport = |source| Error::Transport { endpoint: endpoint.clone(), source, sent: false };
        let opened = Connection::open(endpoint, &self.tls).await;
        let mut connection = opened.map_err(|error| transport(error.into()))?;
        let request = call.request(endpoint, matches!(connection, Connection::Http2(_)));
        let request = request.map_err(|error| transport(error.into()))?;
        let answer = connection.send(request).await.map_err(|error| transport(error.into()))?;
        if answer.status() == StatusCode::OK {
            let (endpoint, body) = (endpoint.clone(), answer.into_body());
            return Ok(LogStream { endpoint, body, read: BytesMut::new(), _connection: connection });
        }
        let reason = "a status other than 200 cannot be a success".to_owned();
        Err(read(answer, call)
            .await
            .map_err(transport)?
            .err()
            .unwrap_or(Error::Malformed { path: call.path.clone(), reason }))
    }
}

impl LogStream {
    /// The next event with its `\n`; `None` when the server has ended the stream.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.read.split_to(end + 1).freeze()));
            }
            if self.read.len() > MAX_LINE {
                return Err(self.transport_error(io::Error::other("a line of the log is longer than 1 MiB").into()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => self.read.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(self.transport_error(error.into())),
            }
        }
    }

    /// The server that sends it.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn transport_error(&self, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::Transport { endpoint: self.endpoint.clone(), source, sent: false }
    }
}

fn target(log: LogKind, LogQuery { tail, follow, cluster }: LogQuery) -> String {
    let action = match log {
        LogKind::Audit => LogAction::Audit,
        LogKind::Error => LogAction::Error,
    };
    // KES knows none of these parameters, so send only those that change something.
    let mut parameters = Vec::new();
    if tail > 0 {
        parameters.push(format!("tail={tail}"));
    }
    if !follow {
        parameters.push("follow=false".to_owned());
    }
    if cluster {
        parameters.push("cluster=true".to_owned());
    }
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    path(action, "") + &query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_only_the_parameters_that_change_something() {
        let query = |tail, follow, cluster| target(LogKind::Audit, LogQuery { tail, follow, cluster });
        assert_eq!(query(0, true, false), "/v1/log/audit");
        assert_eq!(query(7, false, true), "/v1/log/audit?tail=7&follow=false&cluster=true");
        assert_eq!(target(LogKind::Error, LogQuery { tail: 1, follow: true, cluster: false }), "/v1/log/error?tail=1");
    }
}
