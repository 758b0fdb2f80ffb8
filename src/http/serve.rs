//! Serves the API on a listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt;

use super::api::Api;
use super::listener::client::ConnectedClient;
use super::listener::connection::MalformedRequests;
use super::listener::server::ApiServer;
use super::unanswered::UnansweredRequest;
use crate::config::LimitsConfig;
use crate::tls::PublicTls;

impl ApiServer {
    /// Opens a listener and serves the API on it.
    ///
    /// # Errors
    /// The system does not let the node listen on the address.
    pub fn bind(address: SocketAddr, api: Arc<Api>, tls: Arc<PublicTls>, limits: LimitsConfig) -> io::Result<Self> {
        let recorder = Arc::clone(&api);
        let ids = api.request_ids.clone();
        let record = move |client: Arc<ConnectedClient>, status, id| {
            let api = Arc::clone(&recorder);
            async move { api.record_malformed(&client, status, id).await }.boxed()
        };
        let malformed = MalformedRequests { ids, record: Arc::new(record) };
        let handler = move |client: Arc<ConnectedClient>, request| {
            UnansweredRequest::new(Arc::clone(&api), client, request).answer()
        };
        Self::open(address, tls, limits, handler, malformed)
    }
}
