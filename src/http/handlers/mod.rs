//! From a route's operation to its handler.

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
use crate::http::pipeline::routes::{Matched, Op};
use crate::http::wire::answers::Answer;
use crate::policy::{KeyName, NameKind, PolicyName, Prefix};

/// A request that got past the guard, with its body.
pub struct Asked<'a> {
    /// Where it is to be done.
    pub api: &'a Arc<Api>,
    /// The connection's other end.
    pub client: &'a ConnectedClient,
    /// Who asks.
    pub caller: Caller<'a>,
    /// The name in the path.
    pub name: &'a str,
    /// Method, target and headers.
    pub parts: &'a Parts,
    /// The whole body.
    pub body: Bytes,
    /// The decoded path.
    pub path: &'a str,
    /// Until when.
    pub deadline: Deadline,
    /// The id under which the log speaks of it.
    pub request_id: u64,
}

/// Checks the grammar of the name in the path, before the body is looked at.
///
/// # Errors
/// The name or prefix is none.
pub fn check_name(matched: &Matched<'_>) -> Result<(), Refusal> {
    let name = matched.name;
    match matched.route.op {
        Op::Key(_) => KeyName::parse(name).map(drop)?,
        Op::Policy(_) => PolicyName::parse(name).map(drop)?,
        Op::Identity(_) if matched.route.takes_name => {
            NameKind::Identity.check(name)?;
        }
        Op::List(_) => Prefix::parse(name).map(drop)?,
        Op::System(_) | Op::Identity(_) | Op::Stream(_) => {}
    }
    Ok(())
}

/// Does what was asked. Whatever is rare is boxed, so that the frequent operations stay small.
///
/// # Errors
/// What the answer then tells.
pub async fn handle(op: Op, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    match op {
        Op::Key(op) => keys::handle(op, asked).await,
        Op::System(op) => Ok(system::answer(op, asked.api)),
        Op::Policy(op) => Box::pin(policies::handle(op, asked)).await,
        Op::Identity(op) => Box::pin(identities::handle(op, asked)).await,
        Op::List(kind) => Box::pin(listing::handle(kind, asked)).await,
        Op::Stream(log) => Box::pin(streams::handle(log, asked)).await,
    }
}
