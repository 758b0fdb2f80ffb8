//! The KES HTTP API: route table, guard, handlers, JSON shapes and status codes.
//!
//! A request runs top to bottom through [`Api::answer`]: decoded once, matched against the route table, checked
//! by the guard, its body read, its operation done by [`crate::kms`], and its end recorded whatever happens.

mod api;
mod error;
mod handlers;
mod listener;
mod openapi;
mod pipeline;
mod request_id;
mod serve;
#[cfg(test)]
mod testing;
mod unanswered;
mod wire;

pub use api::Api;
pub use listener::client::ConnectedClient;
pub use listener::local_socket::{LOCAL_SOCKET, LocalStatus, serve_local};
pub use listener::server::Server;
pub use pipeline::routes::{Auth, Method, ROUTES, Route};
pub use wire::answers::{Answer, AnswerBody};
pub use wire::cluster::status_json;
