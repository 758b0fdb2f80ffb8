//! What integration tests share: certificates, clients that show them, raw HTTP, and clusters of real nodes.

pub mod api_key;
pub mod certificates;
pub mod cluster;
pub mod connection;
pub mod consensus;
pub mod http;
pub mod http1;
pub mod http2;
pub mod links;
pub mod processes;
pub mod settings;
pub mod status;
pub mod stored;
pub mod user;
