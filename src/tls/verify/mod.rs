//! Verifying what the other side of a handshake shows: its chain, its purpose, and its signature.

pub mod lenient_chain;
pub mod peers;
pub mod purpose;
pub mod signature;
