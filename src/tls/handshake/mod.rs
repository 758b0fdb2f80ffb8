//! Handshakes that failed: why, in words for an operator.

pub mod peer_failure;
pub mod refused;
