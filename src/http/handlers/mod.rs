//! From the action of a request to its handler.

pub mod identities;
pub mod keys;
pub mod listing;
pub mod policies;
pub mod request;
pub mod services;
pub mod streams;
pub mod system;
pub mod versions;

use self::request::AuthorisedRequest;
use self::services::Services;
use self::streams::Feeds;
use crate::http::error::ApiError;
use crate::http::wire::answers::Answer;
use crate::policy::ActionKind;

/// Does what the request asks for. The futures of rare operations are boxed, so that those of frequent ones stay small.
///
/// # Errors
/// The error to answer with.
pub async fn handle(services: &Services, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let Services { kms, audit, errors, .. } = services;
    match request.action.kind() {
        ActionKind::Key(action) => keys::handle(action, kms, request).await,
        ActionKind::System(action) => Ok(system::answer(action, services)),
        ActionKind::Cluster(action) => Ok(system::cluster_answer(action, services)),
        ActionKind::Policy(action) => Box::pin(policies::handle(action, kms, request)).await,
        ActionKind::Identity(action) => Box::pin(identities::handle(action, kms, request)).await,
        ActionKind::Log(log) => Box::pin(streams::handle(log, kms, Feeds { audit, errors }, request)).await,
    }
}
