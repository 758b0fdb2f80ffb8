//! What a load test does to which servers, and for how long.

use std::time::Duration;

use super::Mix;
use crate::client::Endpoint;
use crate::tls::{Alpn, Credentials, Trust};

/// What to do to a server, and for how long.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Where; connections are spread over all, and go on to the next one when they are lost.
    pub endpoints: Vec<Endpoint>,
    /// As whom.
    pub credentials: Credentials,
    /// Whom to trust.
    pub trust: Trust,
    /// Over which HTTP.
    pub http: Http,
    /// Which operations, how often each.
    pub mix: Mix,
    /// Clients that ask at the same time.
    pub clients: usize,
    /// Connections they share, over HTTP/2.
    pub connections: usize,
    /// Time before anything counts.
    pub warm_up: Duration,
    /// Time that counts.
    pub duration: Duration,
    /// Requests a second in all; as many as there can be when absent.
    pub rate: Option<f64>,
    /// How long an answer, or a connection, may take.
    pub timeout: Duration,
    /// Keys to work on.
    pub keys: usize,
    /// Whether keys that were made are kept.
    pub keep: bool,
    /// Server processes on this machine whose CPU time is of interest.
    pub pids: Vec<u32>,
}

/// The version of HTTP to load a server with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1: each client has a connection of its own.
    One,
    /// HTTP/2: clients share connections.
    Two,
}

impl Http {
    pub(super) fn alpn(self) -> Alpn {
        match self {
            Self::One => Alpn::Http1,
            Self::Two => Alpn::Http2,
        }
    }
}
