//! From the action of a request to its handler.

pub mod identities;
pub mod keys;
pub mod listing;
pub mod policies;
pub mod streams;
pub mod system;
pub mod versions;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;

use crate::http::api::{Api, Deadline};
use crate::http::error::Refusal;
use crate::http::listener::client::ConnectedClient;
use crate::http::pipeline::guard::Caller;
use crate::http::wire::answers::Answer;
use crate::policy::{Action, ActionKind};

/// A request that got past the guard, with its body.
pub struct Asked<'a> {
    /// Where it is to be done.
    pub api: &'a Arc<Api>,
    /// The connection's other end.
    pub client: &'a ConnectedClient,
    /// Who asks.
    pub caller: Caller<'a>,
    /// What it asks for.
    pub action: Action<'a>,
    /// Method, target and headers.
    pub parts: &'a Parts,
    /// The whole body.
    pub body: Bytes,
    /// Until when.
    pub deadline: Deadline,
    /// The id under which the log speaks of it.
    pub request_id: u64,
}

/// Does what was asked. Rare operations are boxed, so that the future of the frequent ones stays small.
///
/// # Errors
/// The refusal to answer with.
pub async fn handle(asked: &Asked<'_>) -> Result<Answer, Refusal> {
    match asked.action.kind() {
        ActionKind::Key(action) => keys::handle(action, asked).await,
        ActionKind::System(action) => Ok(system::answer(action, asked.api)),
        ActionKind::Cluster(action) => Ok(system::cluster_answer(action, asked.api)),
        ActionKind::Policy(action) => Box::pin(policies::handle(action, asked)).await,
        ActionKind::Identity(action) => Box::pin(identities::handle(action, asked)).await,
        ActionKind::Log(log) => Box::pin(streams::handle(log, asked)).await,
    }
}
