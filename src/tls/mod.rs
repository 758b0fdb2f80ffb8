//! TLS: certificates and their reload, the public acceptor, mutual TLS between peers, and who a certificate is.

mod api_key;
mod authority;
mod certificates;
mod certified;
mod chain;
mod client;
mod content;
mod dates;
mod encrypted_key;
mod error;
mod failure;
mod files;
mod identity_file;
mod material;
mod odd_chain;
mod peer;
mod peer_verifier;
mod proxied;
mod public;
mod public_verifier;
mod purpose;
mod refused;
mod reload;
mod signature;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};

pub use api_key::{ApiKey, ApiKeyError, ClientCertificate};
pub use authority::{Authority, AuthorityError, Issued};
pub use chain::CertificateError;
pub use client::{Alpn, ClientStream, ClientTls, ClientTlsError, Credentials, Refusal, Trust};
pub use content::Content;
pub use dates::{CertificateUsage, DateTrouble, DateWarning, DatedCertificate, date_warnings, log_date_warnings};
pub use error::{SettingError, TlsError};
pub use failure::handshake_failure;
pub use identity_file::{CertificateIdentity, NoIdentity, certificate_identity};
pub use material::{Inspection, inspect_api, inspect_peer, is_for_host};
pub use peer::{PeerStream, PeerTls};
pub use proxied::{ForwardedError, proxied_identity};
pub use public::{Accepted, PublicStream, PublicTls};
pub use refused::{Port, Refused, RefusedLog};

/// The ALPN name of HTTP/2.
const H2: &[u8] = b"h2";
/// The ALPN name of HTTP/1.1.
const HTTP_1_1: &[u8] = b"http/1.1";

/// aws-lc-rs, with the post-quantum hybrid exchange preferred (design, "TLS and HTTP").
fn provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    Arc::new(CryptoProvider { kx_groups, ..default_provider() })
}
