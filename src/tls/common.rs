//! What all TLS connections have in common: the cryptography, the names of protocols, and no resumption.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::server::NoServerSessionStorage;

/// The ALPN name of HTTP/2.
pub const H2: &[u8] = b"h2";
/// The ALPN name of the protocol between nodes: prefaces, and then HTTP/2.
pub const KEYRAFT_PEER: &[u8] = b"keyraft-peer/1";
/// The ALPN name of HTTP/1.1.
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// aws-lc-rs, with the post-quantum hybrid exchange preferred (design, "TLS and HTTP").
pub fn provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    Arc::new(CryptoProvider { kx_groups, ..default_provider() })
}

/// Turns off tickets, session storage and early data: a resumed session would skip the certificate verifier (design,
/// "TLS and HTTP").
pub fn without_resumption(server: &mut ServerConfig) {
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server.max_early_data_size = 0;
}
