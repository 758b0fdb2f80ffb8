//! The plan of a load test: which operations to send to which servers, from how many clients, and for how long.

use std::time::Duration;

use super::Mix;
use crate::client::Endpoint;
use crate::tls::{Alpn, Credentials, Trust};

/// What a load test does.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// The servers. Connections are spread over all of them. A client whose connection is lost may go on to the next server.
    pub endpoints: Vec<Endpoint>,
    /// The client certificate to show.
    pub credentials: Credentials,
    /// The CA to trust.
    pub trust: Trust,
    /// The version of HTTP.
    pub http: Http,
    /// Which operations to send, and how often each.
    pub mix: Mix,
    /// How many clients send requests at the same time.
    pub clients: usize,
    /// How many connections they share, over HTTP/2.
    pub connections: usize,
    /// How long to send requests before they count.
    pub warm_up: Duration,
    /// How long to send requests that count.
    pub duration: Duration,
    /// Requests a second of all clients together. If absent, each client sends one as soon as the last is answered.
    pub rate: Option<f64>,
    /// How long an answer may take, and how long connecting may.
    pub timeout: Duration,
    /// How many keys to create and work on.
    pub keys: usize,
    /// Whether to leave the created keys on the server.
    pub keep: bool,
    /// Server processes on this machine, whose CPU time to report.
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
