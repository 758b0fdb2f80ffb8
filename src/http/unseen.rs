//! Requests that no handler sees, and that are recorded all the same.

use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;

use super::answers::Answer;
use super::api::Api;
use super::connection::Client;

/// A request whose answer was not begun. Its client may be gone before that: then it is dropped, and recorded.
pub struct Unseen(Option<(Arc<Api>, Arc<Client>, Request<Incoming>)>);

impl Unseen {
    /// A request as it came.
    pub fn new(api: Arc<Api>, client: Arc<Client>, request: Request<Incoming>) -> Self {
        Self(Some((api, client, request)))
    }

    /// Answers it.
    pub async fn answer(mut self) -> Answer {
        let (api, client, request) = self.0.take().expect("it is answered once");
        api.answer(&client, request).await
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        if let Some((api, client, request)) = self.0.take() {
            drop(api.begin_trail(&client, request.uri().path(), request.headers()).0);
        }
    }
}
