//! TLS: certificates and their reload, the public acceptor, mutual TLS between peers, and who a certificate is.

mod api_key;
mod authority;
mod certificate;
mod certified;
mod client;
mod files;
mod handshake;
mod peer;
mod public;
mod reload;
#[cfg(test)]
pub(crate) mod testing;
mod verify;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};

pub use api_key::{ApiKey, ApiKeyError, ClientCertificate};
pub use authority::{Authority, AuthorityError, Issued};
pub use certificate::dates::{
    CertificateUsage, DateTrouble, DateWarning, DatedCertificate, date_warnings, log_date_warnings,
};
pub use certificate::identity::CertificateError;
pub use client::{Alpn, ClientStream, ClientTls, ClientTlsError, Credentials, Refusal, Trust};
pub use files::content::Content;
pub use files::error::{SettingError, TlsError};
pub use files::identity_file::{CertificateIdentity, NoIdentity, certificate_identity};
pub use files::material::{Inspection, inspect_api, inspect_peer, is_for_host};
pub use handshake::peer_failure::handshake_failure;
pub use handshake::refused::{Port, Refused, RefusedLog};
pub use peer::{PeerStream, PeerTls};
pub use public::proxied::{ForwardedError, proxied_identity};
pub use public::{Accepted, PublicStream, PublicTls};

/// The ALPN name of HTTP/2.
const H2: &[u8] = b"h2";
/// The ALPN name of HTTP/1.1.
const HTTP_1_1: &[u8] = b"http/1.1";

/// aws-lc-rs, with the post-quantum hybrid exchange preferred (design, "TLS and HTTP").
fn provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    Arc::new(CryptoProvider { kx_groups, ..default_provider() })
}
