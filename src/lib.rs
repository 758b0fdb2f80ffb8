//! Keyraft: a key management server that speaks the KES HTTP API and replicates its keys, policies and identities
//! with Raft.
//!
//! A request flows one way: it arrives over [`tls`] and [`http`], and [`policy`] permits it. Then [`kms`] carries it
//! out with [`crypto`]. It reads from the [`store`], or writes through [`raft`], which applies commands with [`state`].

#![deny(unsafe_code)]

pub mod blocking;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod disk;
pub mod error_code;
pub mod failpoint;
pub mod file;
pub mod http;
pub mod kms;
pub mod node;
pub mod policy;
pub mod raft;
pub mod socket;
pub mod state;
pub mod store;
pub mod telemetry;
#[cfg(test)]
mod test_vectors;
pub mod tls;
