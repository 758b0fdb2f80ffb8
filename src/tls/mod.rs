//! TLS: the acceptor of the public API, mutual TLS between nodes, the client's side, and the files that all of them
//! read.
//!
//! `certificate` reads what a certificate says, `files` reads what settings name, and `verify` checks chains.

mod api_key;
mod authority;
mod certificate;
mod certified;
mod client;
mod common;
mod ed25519;
mod files;
mod handshake;
mod peer;
mod peer_key;
mod public;
mod reload;
#[cfg(test)]
pub(crate) mod testing;
mod verify;

pub use api_key::{ApiKey, ApiKeyError, ClientCertificate};
pub use authority::{Authority, AuthorityError, Issued};
pub use certificate::dates::{
    CertificateUsage, DateProblem, DateWarning, DatedCertificate, date_warnings, log_date_warnings,
};
pub use certificate::identity::CertificateError;
pub use client::{Alpn, CertificateRefusal, ClientStream, ClientTls, ClientTlsError, Credentials, Trust};
pub use files::content::Content;
pub use files::error::{SettingError, TlsError};
pub use files::identity_file::{CertificateIdentity, NoIdentity, certificate_identity};
pub use files::material::{Inspection, inspect_api, inspect_peer, is_for_host};
pub use handshake::peer_failure::handshake_failure;
pub use handshake::refused::{Port, Refused, RefusedLog};
pub use peer::{PeerSession, PeerStream, PeerTls};
pub use peer_key::{PeerKey, PeerKeyError};
pub use public::proxied::ForwardedError;
pub use public::{Accepted, PublicStream, PublicTls};
