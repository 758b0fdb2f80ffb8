//! The client of the API: what the command line and the load generator speak to servers with.
//!
//! It works against any KES-compatible server. A request goes to one endpoint and, when that one cannot be reached
//! or answers 503, with its body to the next (wire contract, "Unavailability").

mod access;
mod answers;
mod connection;
mod ellipses;
mod endpoint;
mod error;
mod exchange;
mod hint;
mod inferred_code;
mod keys;
mod lifecycle;
mod listing;
pub mod load;
mod local;
mod server;
mod streams;
#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::Mutex;

pub use self::access::NewRole;
pub use self::answers::{
    ApiRoute, ClusterStatus, DataKey, IdentityEntry, KeyEntry, KeyVersion, KeyVersions, MemberStatus, NodeStatus,
    PolicyEntry, SelfEntry, Status, Version,
};
use self::connection::Connection;
pub use self::endpoint::{Endpoint, EndpointError, NoEndpoint};
pub use self::error::Error;
pub use self::keys::Import;
pub use self::local::local_cluster_status;
pub use self::streams::{LogKind, LogQuery, LogStream};
use crate::tls::ClientTls;

/// How long one endpoint may take to answer: longer than the 15 s after which a server itself gives up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// A client of one or more servers of the same cluster. Keeps connections for the next request; requests may be
/// made at the same time.
pub struct ApiClient {
    tls: ClientTls,
    timeout: Duration,
    servers: Vec<Server>,
    /// The server that answered last; the next request begins with it.
    preferred: AtomicUsize,
}

struct Server {
    endpoint: Endpoint,
    /// Connections that no request uses.
    idle: Mutex<Vec<Connection>>,
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
