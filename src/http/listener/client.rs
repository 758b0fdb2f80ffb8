//! The client at the other end of a connection.

use std::net::IpAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::policy::Identity;
use crate::tls::{CertificateError, PublicTls};

/// The client of a connection, as the handshake showed it.
pub struct ConnectedClient {
    /// Its address.
    pub ip: Option<IpAddr>,
    /// The identity of its certificate. `None` if the handshake allows clients without one.
    pub certificate: Result<Option<Identity>, CertificateError>,
    /// The settings of the handshake, which also verify a certificate that a proxy forwards.
    pub tls: Arc<PublicTls>,
    /// Cancelled when the server drains, which ends the client's streams.
    pub draining: CancellationToken,
}
