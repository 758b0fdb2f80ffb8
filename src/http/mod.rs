//! The KES HTTP API: listener, route table, guard, handlers, JSON and status codes.
//!
//! [`Api::answer`] takes a request from top to bottom: it decodes the path, finds the route, asks the guard, reads the
//! body, and lets a handler call [`crate::kms`]. It records every request, however it ends.

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
pub use listener::server::ApiServer;
pub use pipeline::routes::{Auth, Method, ROUTES, Route};
pub use wire::answers::{Answer, AnswerBody};
pub use wire::cluster_status::{levels_json, status_json};
