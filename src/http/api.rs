//! The API of a node: the way of a request from its path to its answer.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};
use hyper::body::Body;
use tokio::time::timeout_at;
use tracing::Instrument;

use super::error::ApiError;
use super::handlers;
use super::handlers::request::AuthorisedRequest;
use super::handlers::services::Services;
use super::listener::client::ConnectedClient;
use super::pipeline::deadline::Deadline;
use super::pipeline::guard::{self, Caller};
use super::pipeline::record::RequestRecord;
use super::pipeline::routes::{self, MatchedRoute};
use super::pipeline::settings::Settings;
use super::pipeline::{body, path};
use super::request_id::{self, REQUEST_ID, RequestIds};
use super::wire::answers::{self, Answer};
use crate::clock;
use crate::config::Config;
use crate::kms::Kms;
use crate::policy::Identity;
use crate::telemetry::{Audit, ErrorLog, HttpMetrics, Unrecorded};
use crate::tls::PublicTls;

/// The API of a node.
pub struct Api {
    services: Services,
    pub(in crate::http) request_ids: RequestIds,
    /// The Unix second of the last failure that the node logged.
    last_logged_failure: AtomicI64,
}

impl Api {
    /// The API of these services, with the settings of the configuration.
    pub fn new(
        kms: Arc<Kms>,
        audit: Arc<Audit>,
        metrics: Arc<HttpMetrics>,
        errors: Arc<ErrorLog>,
        tls: Arc<PublicTls>,
        config: &Config,
    ) -> Self {
        let settings = ArcSwap::from_pointee(Settings::of(config));
        let services = Services { kms, audit, metrics, errors, tls, settings };
        let (request_ids, last_logged_failure) = (RequestIds::default(), AtomicI64::new(0));
        Self { services, request_ids, last_logged_failure }
    }

    /// Takes the settings of another configuration. Requests in flight keep the old ones.
    pub fn reconfigure(&self, config: &Config) {
        self.services.settings.store(Arc::new(Settings::of(config)));
    }

    /// Answers a request and records it.
    pub async fn answer<B>(&self, client: &ConnectedClient, parts: &Parts, body: &mut B) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (mut record, received) = self.begin_record(client, parts.uri.path(), &parts.headers);
        let request_id = record.request_id();
        let span = span(request_id);
        // Pinned here, like the futures below: a combinator moves its future, and these are large.
        let done = pin!(self.attempt(client, received, parts, body, &record)).instrument(span).await;
        let failed = done.is_err();
        let mut answer = done.unwrap_or_else(|error| {
            let answer = answers::error(&error);
            if answer.status().is_server_error() {
                self.log_failure(&error, &record);
            }
            answer
        });
        if let Some(behind) = answer.extensions_mut().remove() {
            record.set_not_applied(behind);
        }
        record.set_isolated(!self.services.kms.holds_lease());
        let answer = if parts.method == Method::HEAD { answers::without_body(answer) } else { answer };
        let recorded = record.finish(answer.status().as_u16()).await;
        if failed {
            Box::pin(body::discard(parts, body, routes::MAX_BODY)).await;
        }
        let mut answer = match recorded {
            Ok(()) => answer,
            Err(Unrecorded) => answers::error(&ApiError::Unaudited { done: true }),
        };
        answer.headers_mut().insert(REQUEST_ID, request_id::value(request_id));
        answer
    }

    /// Logs an error that is not the client's fault, at most once a second: in an outage every request fails alike.
    fn log_failure(&self, error: &ApiError, record: &RequestRecord<'_>) {
        let second = clock::unix_ns() / 1_000_000_000;
        if self.last_logged_failure.swap(second, Relaxed) != second {
            let (status, _, text) = error.answer();
            let (request_id, path) = (format_args!("{:016x}", record.request_id()), record.path());
            tracing::error!(%request_id, ?path, status = status.as_u16(), "a request failed: {text}");
        }
    }

    /// Checks a request, and does what it asks for if the checks pass.
    async fn attempt<B>(
        &self,
        client: &ConnectedClient,
        received: ReceivedRequest,
        parts: &Parts,
        body: &mut B,
        record: &RequestRecord<'_>,
    ) -> Result<Answer, ApiError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if self.services.audit.refuses() {
            return Err(ApiError::Unaudited { done: false });
        }
        if received.bad_path {
            return Err(ApiError::BadPath);
        }
        let matched = routes::find(record.path()).ok_or(ApiError::UnknownPath)?;
        let ReceivedRequest { settings, identity, file_admin, .. } = received;
        let rules = async || self.services.kms.rules_in_force().await;
        let caller = guard::check(&settings, file_admin, rules, &matched, &parts.method, identity).await?;
        let deadline = Deadline::after(record.started(), settings.route(matched.index).timeout);
        self.act((client, caller), &matched, parts, body, record, deadline).await
    }

    /// Begins the record of a request. If the record is dropped, it says that the client left.
    pub(in crate::http) fn begin_record(
        &self,
        client: &ConnectedClient,
        raw_path: &str,
        headers: &HeaderMap,
    ) -> (RequestRecord<'_>, ReceivedRequest) {
        let request_id = self.request_ids.next();
        let decoded = path::decode(raw_path);
        let bad_path = decoded.is_err();
        let path = decoded.unwrap_or_else(|_| raw_path.to_owned());
        let mut record =
            RequestRecord::begin(&self.services.audit, &self.services.metrics, request_id, client.ip, path);
        let settings = self.services.settings.load_full();
        let identity = guard::identify(&settings, client, headers);
        let file_admin = self.services.kms.file_admin();
        record.set_identity(identity.as_ref().ok().copied().flatten(), file_admin);
        (record, ReceivedRequest { bad_path, settings, identity, file_admin })
    }

    /// Records bytes that were not an HTTP request, after the server answered them with this status and id. Their path
    /// is unknown.
    pub async fn record_malformed(&self, client: &ConnectedClient, status: u16, request_id: u64) {
        let mut record =
            RequestRecord::begin(&self.services.audit, &self.services.metrics, request_id, client.ip, String::new());
        record.set_identity(client.certificate.ok().flatten(), self.services.kms.file_admin());
        record.set_isolated(!self.services.kms.holds_lease());
        // The client has its answer already. If the node cannot write the record, it refuses the next request.
        let _ = record.finish(status).await;
    }

    /// Does what the request asks for, once the guard let it pass: checks the name, reads the body, calls the handler.
    async fn act<B>(
        &self,
        (client, caller): (&ConnectedClient, Caller<'_>),
        matched: &MatchedRoute<'_>,
        parts: &Parts,
        body: &mut B,
        record: &RequestRecord<'_>,
        deadline: Deadline,
    ) -> Result<Answer, ApiError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (action, request_id) = (matched.action, record.request_id());
        action.check_name()?;
        let body = timeout_at(deadline.answer_by.into(), pin!(take_body(body, matched.route.max_body)))
            .await
            .map_err(|_| ApiError::BodyTooSlow)??;
        // The rules may have changed while the body arrived: a revocation must not wait for a slow body.
        caller.check_again(&self.services.kms, action).await?;
        let draining = &client.draining;
        let request = AuthorisedRequest { caller, action, parts, body, deadline, request_id, draining };
        timeout_at(deadline.answer_by.into(), pin!(handlers::handle(&self.services, &request)))
            .await
            .map_err(|_| ApiError::TimedOut { writes: matched.route.writes() })?
    }
}

/// Reads the body if the route takes one. Otherwise counts and drops what the client sends.
async fn take_body<B>(body: &mut B, max_body: usize) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes> + Unpin,
{
    if max_body == 0 {
        body::skip(body, routes::MAX_BODY).await.map(|()| Bytes::new())
    } else {
        body::read(body, max_body).await
    }
}

/// What the node knows of a request when its record begins.
pub(in crate::http) struct ReceivedRequest {
    /// Whether the path does not decode.
    bad_path: bool,
    settings: Arc<Settings>,
    identity: Result<Option<Identity>, ApiError>,
    /// The admin that this node's configuration file names.
    file_admin: Option<Identity>,
}

/// A span that adds the request's id to the lines of the log, at the level `debug`.
fn span(request_id: u64) -> tracing::Span {
    if tracing::enabled!(tracing::Level::DEBUG) {
        tracing::debug_span!("request", request_id = format_args!("{request_id:016x}"))
    } else {
        tracing::Span::none()
    }
}
