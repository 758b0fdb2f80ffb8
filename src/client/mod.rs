//! The client of the API, which the command line and the load generator use.
//!
//! It works with every KES-compatible server. It sends a request to one endpoint. If that one cannot be reached or answers
//! 503, it sends the request to the next one (wire contract, "Unavailability").

mod access;
mod answers;
mod api_client;
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

pub use self::access::NewRole;
pub use self::answers::{
    ApiRoute, ClusterStatus, DataKey, IdentityEntry, KeyEntry, KeyVersion, KeyVersions, LevelRange, MemberStatus,
    NodeStatus, PolicyEntry, SelfEntry, Status, Version,
};
pub use self::api_client::ApiClient;
pub use self::endpoint::{Endpoint, EndpointError, EndpointProblem};
pub use self::error::Error;
pub use self::keys::Import;
pub use self::local::local_cluster_status;
pub use self::streams::{LogKind, LogQuery, LogStream};
