//! The API: what a request passes through, from its path to its answer.

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

use super::error::Refusal;
use super::handlers;
use super::handlers::request::AuthorisedRequest;
use super::handlers::services::Services;
use super::listener::client::ConnectedClient;
use super::pipeline::deadline::Deadline;
use super::pipeline::guard::{self, Caller};
use super::pipeline::routes::{self, Matched};
use super::pipeline::settings::Settings;
use super::pipeline::trail::Trail;
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
    /// The Unix second in which a failure was logged last.
    failure_told: AtomicI64,
}

impl Api {
    /// The API to the given operations, as the configuration wants it.
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
        let (request_ids, failure_told) = (RequestIds::default(), AtomicI64::new(0));
        Self { services, request_ids, failure_told }
    }

    /// Goes over to another configuration; requests in flight keep the old one.
    pub fn reconfigure(&self, config: &Config) {
        self.services.settings.store(Arc::new(Settings::of(config)));
    }

    /// Answers a request, and records that it did.
    pub async fn answer<B>(&self, client: &ConnectedClient, parts: &Parts, body: &mut B) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (mut trail, begun) = self.begin_trail(client, parts.uri.path(), &parts.headers);
        let request_id = trail.request_id();
        let span = span(request_id);
        // Pinned here, as what is awaited below: a future that is wrapped is moved, and these are large.
        let done = pin!(self.attempt(client, begun, parts, body, &trail)).instrument(span).await;
        let refused = done.is_err();
        let mut answer = done.unwrap_or_else(|refusal| {
            let answer = answers::refusal(&refusal);
            if answer.status().is_server_error() {
                self.tell_failure(&refusal, &trail);
            }
            answer
        });
        if let Some(behind) = answer.extensions_mut().remove() {
            trail.revoked(behind);
        }
        trail.isolated(!self.services.kms.holds_lease());
        let answer = if parts.method == Method::HEAD { answers::without_body(answer) } else { answer };
        let recorded = trail.finish(answer.status().as_u16()).await;
        if refused {
            Box::pin(body::discard(parts, body, routes::MAX_BODY)).await;
        }
        let mut answer = match recorded {
            Ok(()) => answer,
            Err(Unrecorded) => answers::refusal(&Refusal::Unaudited { done: true }),
        };
        answer.headers_mut().insert(REQUEST_ID, request_id::value(request_id));
        answer
    }

    /// Logs what this node could not do, though not the client's doing, once a second at most: an outage fails every
    /// request alike.
    fn tell_failure(&self, refusal: &Refusal, trail: &Trail<'_>) {
        let second = clock::unix_ns() / 1_000_000_000;
        if self.failure_told.swap(second, Relaxed) != second {
            let (status, _, text) = refusal.answer();
            let (request_id, path) = (format_args!("{:016x}", trail.request_id()), trail.path());
            tracing::error!(%request_id, ?path, status = status.as_u16(), "a request failed: {text}");
        }
    }

    /// Takes a request past the guard, and does what it asks for.
    async fn attempt<B>(
        &self,
        client: &ConnectedClient,
        begun: Begun,
        parts: &Parts,
        body: &mut B,
        trail: &Trail<'_>,
    ) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if self.services.audit.refuses() {
            return Err(Refusal::Unaudited { done: false });
        }
        if begun.bad_path {
            return Err(Refusal::BadPath);
        }
        let matched = routes::find(trail.path()).ok_or(Refusal::UnknownPath)?;
        let Begun { settings, identity, file_admin, .. } = begun;
        let rules = async || self.services.kms.rules_in_force().await;
        let caller = guard::check(&settings, file_admin, rules, &matched, &parts.method, identity).await?;
        let deadline = Deadline::after(trail.started(), settings.route(matched.index).timeout);
        self.act((client, caller), &matched, parts, body, trail, deadline).await
    }

    /// Begins the trail of a request; dropped, it says that its client is gone.
    pub(in crate::http) fn begin_trail(
        &self,
        client: &ConnectedClient,
        raw_path: &str,
        headers: &HeaderMap,
    ) -> (Trail<'_>, Begun) {
        let request_id = self.request_ids.next();
        let decoded = path::decode(raw_path);
        let bad_path = decoded.is_err();
        let path = decoded.unwrap_or_else(|_| raw_path.to_owned());
        let mut trail = Trail::begin(&self.services.audit, &self.services.metrics, request_id, client.ip, path);
        let settings = self.services.settings.load_full();
        let identity = guard::identify(&settings, client, headers);
        let file_admin = self.services.kms.file_admin();
        trail.identified(identity.as_ref().ok().copied().flatten(), file_admin);
        (trail, Begun { bad_path, settings, identity, file_admin })
    }

    /// Records a request that is none in HTTP, and that was answered with this status and id already. Its path is
    /// unknown.
    pub async fn record_malformed(&self, client: &ConnectedClient, status: u16, request_id: u64) {
        let mut trail =
            Trail::begin(&self.services.audit, &self.services.metrics, request_id, client.ip, String::new());
        trail.identified(client.certificate.ok().flatten(), self.services.kms.file_admin());
        trail.isolated(!self.services.kms.holds_lease());
        // The client has its answer; where no record can be made, the next request is refused.
        let _ = trail.finish(status).await;
    }

    /// What is left after the guard: the name, the body, the operation.
    async fn act<B>(
        &self,
        (client, caller): (&ConnectedClient, Caller<'_>),
        matched: &Matched<'_>,
        parts: &Parts,
        body: &mut B,
        trail: &Trail<'_>,
        deadline: Deadline,
    ) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (action, request_id) = (matched.action, trail.request_id());
        action.check_name()?;
        let body = timeout_at(deadline.answer_by.into(), pin!(take_body(body, matched.route.max_body)))
            .await
            .map_err(|_| Refusal::BodyTooSlow)??;
        // A body may take its time, and a revocation must not wait for it.
        caller.check_again(&self.services.kms, action).await?;
        let draining = &client.draining;
        let request = AuthorisedRequest { caller, action, parts, body, deadline, request_id, draining };
        timeout_at(deadline.answer_by.into(), pin!(handlers::handle(&self.services, &request)))
            .await
            .map_err(|_| Refusal::TimedOut { writes: matched.route.writes() })?
    }
}

/// The body, as far as its route reads one; what is sent to the others all the same is counted and dropped.
async fn take_body<B>(body: &mut B, max_body: usize) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    if max_body == 0 {
        body::skip(body, routes::MAX_BODY).await.map(|()| Bytes::new())
    } else {
        body::read(body, max_body).await
    }
}

/// What is known of a request when its trail begins.
pub(in crate::http) struct Begun {
    bad_path: bool,
    settings: Arc<Settings>,
    identity: Result<Option<Identity>, Refusal>,
    file_admin: Option<Identity>,
}

/// A span that names the request in the log, where anybody reads that closely.
fn span(request_id: u64) -> tracing::Span {
    if tracing::enabled!(tracing::Level::DEBUG) {
        tracing::debug_span!("request", request_id = format_args!("{request_id:016x}"))
    } else {
        tracing::Span::none()
    }
}
