//! The KES HTTP API: route table, guard, handlers, JSON shapes and status codes.
//!
//! A request runs top to bottom through [`Api::answer`]: decoded once, matched against the route table, checked
//! by the guard, its body read, its operation done by [`crate::kms`], and its end recorded whatever happens.

mod answers;
mod api;
mod bodies;
mod body;
mod cluster;
mod connection;
mod connections;
mod error;
mod guard;
mod handlers;
mod identities;
mod imports;
mod json;
mod keys;
mod listing;
mod local;
mod marked;
mod openapi;
mod path;
mod patience;
mod plain;
mod policies;
mod query;
mod reins;
mod request_id;
mod routes;
mod sent;
mod serve;
mod settings;
mod streams;
mod system;
#[cfg(test)]
mod testing;
mod trail;
mod unseen;
mod versions;
mod watched;

pub use answers::{Answer, AnswerBody};
pub use api::Api;
pub use cluster::status_json;
pub use connection::Client;
pub use local::{LOCAL_SOCKET, LocalStatus, serve_local};
pub use routes::{Auth, Method, ROUTES, Route};
pub use serve::Server;
