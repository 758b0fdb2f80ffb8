//! The client of the API: the servers of one cluster, and the connections to them that the next request reuses.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::Mutex;

use super::Endpoint;
use super::connection::Connection;
use crate::tls::ClientTls;

/// How long one endpoint may take to answer. A server itself gives up after 15 s, so its own answer arrives in time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// A client of one or more servers of the same cluster. It keeps connections for the next request, and sends requests at
/// the same time if they are made at the same time.
pub struct ApiClient {
    pub(super) tls: ClientTls,
    pub(super) timeout: Duration,
    pub(super) servers: Vec<Server>,
    /// The index of the server that answered last. The next request goes there first.
    pub(super) preferred: AtomicUsize,
}

pub(super) struct Server {
    pub endpoint: Endpoint,
    /// Open connections that no request uses at the moment.
    pub idle: Mutex<Vec<Connection>>,
}

impl ApiClient {
    /// A client of these endpoints, which it tries in this order.
    pub fn new(endpoints: Vec<Endpoint>, tls: ClientTls) -> Self {
        let servers = endpoints.into_iter().map(|endpoint| Server { endpoint, idle: Mutex::default() }).collect();
        Self { tls, timeout: REQUEST_TIMEOUT, servers, preferred: AtomicUsize::new(0) }
    }

    /// The same client with another limit on how long one endpoint may take to answer.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}
