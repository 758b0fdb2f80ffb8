//! A request as its handler gets it.

use bytes::Bytes;
use http::request::Parts;
use tokio_util::sync::CancellationToken;

use crate::http::pipeline::deadline::Deadline;
use crate::http::pipeline::guard::Caller;
use crate::policy::Action;

/// A request that the guard let pass, with its body.
pub struct AuthorisedRequest<'a> {
    /// Who sent it, and what they may do.
    pub caller: Caller<'a>,
    /// What it asks for.
    pub action: Action<'a>,
    /// Method, target and headers.
    pub parts: &'a Parts,
    /// The whole body.
    pub body: Bytes,
    /// When the answer is due, and when the operation must have ended.
    pub deadline: Deadline,
    /// The id of the request in the log.
    pub request_id: u64,
    /// Cancelled when the server drains, which ends the streams.
    pub draining: &'a CancellationToken,
}
