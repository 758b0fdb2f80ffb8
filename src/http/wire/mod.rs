//! The forms of what goes over the wire: queries and bodies of requests, and answers.

pub mod access_bodies;
pub mod answers;
pub mod authorship;
pub mod cluster_status;
pub mod import_body;
pub mod json;
pub mod key_version;
pub mod listing;
pub mod pattern_map;
pub mod query;
