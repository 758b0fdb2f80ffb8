//! Listings: all matching names in one answer if they fit, otherwise a page of them, or all of them line by line.
//!
//! Old clients read only the first page, so a page is as long as an answer may be (wire contract, "Names and
//! listings").

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use hyper::body::Frame;

use super::request::AuthorisedRequest;
use crate::http::error::ApiError;
use crate::http::pipeline::deadline::Deadline;
use crate::http::wire::answers::{self, Answer};
use crate::http::wire::listing::{Listing, ListingPage, as_lines, wants_lines};
use crate::http::wire::query;
use crate::kms::Kms;
use crate::policy::permitted::{ListIdentities, ListKeys, ListPolicies};
use crate::policy::{Action, ActionKind, Allowed, Identity, IdentityAction, KeyAction, PolicyAction};

/// How many names one batch has at most.
const BATCH: usize = 4096;

/// Lists names.
///
/// # Errors
/// The error to answer with.
pub async fn handle(kind: Listing, kms: &Arc<Kms>, request: &AuthorisedRequest<'_>) -> Result<Answer, ApiError> {
    let query = query::listing(request.parts.uri.query())?;
    let mut names = RemainingNames {
        kms: Arc::clone(kms),
        kind,
        identity: request.caller.identity()?,
        prefix: request.action.name().to_owned(),
        next: NextBatch::From(query.continue_at),
        left: query.limit.unwrap_or(usize::MAX),
    };
    if wants_lines(&request.parts.headers) {
        let first = names.batch(request.deadline).await?;
        return Ok(answers::lines(lines(kind, first, names)));
    }
    let mut page = ListingPage::new(kind);
    while page.has_room() {
        let batch = names.batch(request.deadline).await?;
        if batch.is_empty() {
            break;
        }
        page.add(batch);
    }
    Ok(answers::written_json(page.finish(names.rest())))
}

/// The names that the listing has not returned yet.
struct RemainingNames {
    kms: Arc<Kms>,
    kind: Listing,
    identity: Identity,
    /// As it stands in the path: policies are about the path.
    prefix: String,
    next: NextBatch,
    left: usize,
}

/// Where the next batch begins.
enum NextBatch {
    /// At this name, or at the first one.
    From(Option<String>),
    /// All names are returned.
    Done,
}

impl RemainingNames {
    /// The next names. Empty if all are returned, or as many as the client wants.
    ///
    /// The policy check is repeated for each batch, because the rules may change while a stream lasts.
    async fn batch(&mut self, deadline: Deadline) -> Result<Vec<String>, ApiError> {
        let NextBatch::From(from) = &self.next else { return Ok(Vec::new()) };
        let wanted = self.left.min(BATCH);
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let kms = &self.kms;
        let rules = kms.rules_in_force().await?;
        let allowed = rules.permit(self.identity, kms.file_admin(), self.action())?;
        let mut names = self.fetch(allowed, from.as_deref(), wanted + 1, deadline).await?;
        // The rules may have changed while the names were read, so they must still permit it.
        kms.rules().permit(self.identity, kms.file_admin(), self.action())?;
        self.next =
            names.split_off(wanted.min(names.len())).pop().map_or(NextBatch::Done, |name| NextBatch::From(Some(name)));
        self.left -= names.len();
        Ok(names)
    }

    async fn fetch(
        &self,
        allowed: Allowed<'_>,
        from: Option<&str>,
        limit: usize,
        deadline: Deadline,
    ) -> Result<Vec<String>, ApiError> {
        let (kms, by) = (&self.kms, deadline.act_by);
        Ok(match self.kind {
            Listing::Keys => kms.key_names(&allowed.permit::<ListKeys>()?, from, limit, by).await?,
            Listing::Policies => kms.policy_names(&allowed.permit::<ListPolicies>()?, from, limit, by).await?,
            Listing::Identities => kms.identity_names(&allowed.permit::<ListIdentities>()?, from, limit, by).await?,
        })
    }

    fn action(&self) -> Action<'_> {
        let kind = match self.kind {
            Listing::Keys => ActionKind::Key(KeyAction::List),
            Listing::Policies => ActionKind::Policy(PolicyAction::List),
            Listing::Identities => ActionKind::Identity(IdentityAction::List),
        };
        kind.on(&self.prefix)
    }

    /// The first name that is not returned, if there is one.
    fn rest(self) -> Option<String> {
        match self.next {
            NextBatch::From(name) => name,
            NextBatch::Done => None,
        }
    }
}

/// All names as JSON lines. A failure breaks the stream off, so that the client does not take it for the whole list.
fn lines(kind: Listing, first: Vec<String>, names: RemainingNames) -> BoxStream<'static, io::Result<Frame<Bytes>>> {
    let rest = stream::try_unfold(names, |mut names| async move {
        let batch = names.batch(Deadline::of_batch()).await.map_err(|refusal| {
            tracing::warn!("the node broke off a listing that it sends line by line: {}", refusal.answer().2);
            io::Error::other("the listing broke off")
        })?;
        Ok::<_, io::Error>(if batch.is_empty() { None } else { Some((batch, names)) })
    });
    stream::once(async { Ok(first) }).chain(rest).map(move |batch| Ok(Frame::data(as_lines(kind, &batch?)))).boxed()
}
