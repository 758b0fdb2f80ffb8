//! Says in plain words why a handshake failed.

pub mod peer_failure;
pub mod refused;
