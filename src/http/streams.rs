//! The log streams: the last events of a log and those to come, one a line (contract, section 9).

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt};
use hyper::body::Frame;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::answers::{self, Answer};
use super::api::Api;
use super::error::Refusal;
use super::handlers::Asked;
use super::query;
use super::routes::Log;
use crate::policy::Identity;
use crate::telemetry::Listener;

/// Lines go out together while they take fewer bytes than this.
const CHUNK: usize = 64 * 1024;
/// Between two looks at whether the client may still listen: a stream outlasts changes of the rules.
const CHECK: Duration = Duration::from_secs(1);

/// Answers with a stream.
///
/// Its audit record is made when it begins, as for any answer: whoever reads the log sees at once that somebody
/// listens to it, and no crash can lose that.
///
/// # Errors
/// The query makes no sense.
pub fn handle(log: Log, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    let query = query::stream(asked.parts.uri.query())?;
    let api = Arc::clone(asked.api);
    if !query.follow {
        let tail = match log {
            Log::Audit => api.audit.feed().tail(query.tail),
            Log::Error => api.errors.feed().tail(query.tail),
        };
        return Ok(answers::lines(stream::iter([Ok(Frame::data(joined(tail)))]).boxed()));
    }
    let listener = match log {
        Log::Audit => api.audit.feed().listen(query.tail),
        Log::Error => api.errors.feed().listen(query.tail),
    };
    let mut check = interval(CHECK);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let following = Following {
        listener,
        api,
        identity: asked.caller.identity()?,
        path: asked.path.to_owned(),
        check,
        draining: asked.client.draining.clone(),
    };
    let lines = stream::unfold(following, |mut following| async move {
        let lines = following.next().await?;
        Some((io::Result::Ok(Frame::data(lines)), following))
    });
    Ok(answers::lines(lines.boxed()))
}

/// A stream that goes on.
struct Following {
    listener: Listener,
    api: Arc<Api>,
    identity: Identity,
    path: String,
    check: Interval,
    draining: CancellationToken,
}

impl Following {
    /// The next lines; none when the client may listen no longer, or the node drains.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = self.draining.cancelled() => return None,
                _ = self.check.tick() => self.permitted().then_some(())?,
                line = self.listener.next() => return line.map(|line| self.gather(line)),
            }
        }
    }

    fn permitted(&self) -> bool {
        self.api.kms.rules().permit(self.identity, self.api.kms.file_admin(), &self.path).is_ok()
    }

    /// The line with those that are at hand: a client that was slow catches up in larger steps.
    fn gather(&mut self, first: Bytes) -> Bytes {
        let Some(second) = self.listener.next_at_hand() else { return first };
        let mut lines = BytesMut::from(first);
        lines.extend_from_slice(&second);
        while lines.len() < CHUNK
            && let Some(line) = self.listener.next_at_hand()
        {
            lines.extend_from_slice(&line);
        }
        lines.freeze()
    }
}

fn joined(lines: VecDeque<Bytes>) -> Bytes {
    lines.into_iter().flatten().collect()
}
