//! The listener: accepts connections, serves HTTP on each within limits, and drains.

pub mod client;
pub mod connection;
pub mod connections;
pub mod error_headers;
pub mod limits;
pub mod local_socket;
pub mod monitored_socket;
pub mod monitored_stream;
pub mod plain_http;
pub mod server;
pub mod state;
pub mod tracked_body;
