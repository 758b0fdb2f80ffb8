//! What goes over the wire: the bodies and queries of requests, and the answers.

pub mod answers;
pub mod bodies;
pub mod cluster;
pub mod imports;
pub mod json;
pub mod key_version;
pub mod query;
