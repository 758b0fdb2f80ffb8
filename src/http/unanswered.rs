//! Requests that no handler sees, and that are recorded all the same.

use std::future::Future;
use std::sync::Arc;

use http::Request;
use http::request::Parts;
use hyper::body::Incoming;

use super::api::Api;
use super::listener::connection::Client;
use super::wire::answers::Answer;

/// A request whose answer was not begun. Its client may be gone before that: then it is dropped, and recorded.
pub struct Unseen {
    api: Arc<Api>,
    client: Arc<Client>,
    parts: Parts,
    body: Incoming,
    begun: bool,
}

impl Unseen {
    /// A request as it came.
    pub fn new(api: Arc<Api>, client: Arc<Client>, request: Request<Incoming>) -> Self {
        let (parts, body) = request.into_parts();
        Self { api, client, parts, body, begun: false }
    }

    /// Answers it.
    #[expect(clippy::manual_async_fn, reason = "an async fn would hold the request twice, and it is moved a few times")]
    pub fn answer(mut self) -> impl Future<Output = Answer> + Send + 'static {
        async move {
            self.begun = true;
            self.api.answer(&self.client, &self.parts, &mut self.body).await
        }
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        if !self.begun {
            drop(self.api.begin_trail(&self.client, self.parts.uri.path(), &self.parts.headers).0);
        }
    }
}
