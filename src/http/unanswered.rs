//! A request that waits for its answer, and is recorded even if its client leaves first.

use std::future::Future;
use std::sync::Arc;

use http::Request;
use http::request::Parts;
use hyper::body::Incoming;

use super::api::Api;
use super::listener::client::ConnectedClient;
use super::wire::answers::Answer;

/// A request whose answer has not begun. If its client leaves before that, the drop records it.
pub struct UnansweredRequest {
    api: Arc<Api>,
    client: Arc<ConnectedClient>,
    parts: Parts,
    body: Incoming,
    has_begun: bool,
}

impl UnansweredRequest {
    /// A request as it arrived.
    pub fn new(api: Arc<Api>, client: Arc<ConnectedClient>, request: Request<Incoming>) -> Self {
        let (parts, body) = request.into_parts();
        Self { api, client, parts, body, has_begun: false }
    }

    /// Answers the request.
    #[expect(clippy::manual_async_fn, reason = "an async fn would hold the request twice, and it moves several times")]
    pub fn answer(mut self) -> impl Future<Output = Answer> + Send + 'static {
        async move {
            self.has_begun = true;
            self.api.answer(&self.client, &self.parts, &mut self.body).await
        }
    }
}

impl Drop for UnansweredRequest {
    fn drop(&mut self) {
        if !self.has_begun {
            drop(self.api.begin_record(&self.client, self.parts.uri.path(), &self.parts.headers).0);
        }
    }
}
