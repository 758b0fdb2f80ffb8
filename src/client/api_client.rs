//! The client of the API: the servers of one cluster, and the connections to them that the next request reuses.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::Mutex;

use super::Endpoint;
use super::connection::Connection;
use crate::tls::ClientTls;

/// How long one endpoint may take to answer: longer than the 15 s after which a server itself gives up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// A client of one or more servers of the same cluster. Keeps connections for the next request; requests may be
/// made at the same time.
pub struct ApiClient {
    pub(super) tls: ClientTls,
    pub(super) timeout: Duration,
    pub(super) servers: Vec<Server>,
    /// The server that answered last; the next request begins with it.
    pub(super) preferred: AtomicUsize,
}

pub(super) struct Server {
    pub endpoint: Endpoint,
    /// Connections that no request uses.
    pub idle: Mutex<Vec<Connection>>,
}

impl ApiClient {
    /// A client of these endpoints, tried in this order.
    pub fn new(endpoints: Vec<Endpoint>, tls: ClientTls) -> Self {
        let servers = endpoints.into_iter().map(|endpoint| Server { endpoint, idle: Mutex::default() }).collect();
        Self { tls, timeout: REQUEST_TIMEOUT, servers, preferred: AtomicUsize::new(0) }
    }

    /// The same client with another limit on how long one endpoint may take.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}
