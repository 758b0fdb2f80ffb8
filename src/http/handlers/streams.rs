//! The log streams: the last events of a log and the new ones, one a line (wire contract, "Streams, metrics and
//! status").

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::{io, iter};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::join_all;
use futures::stream::{self, BoxStream, StreamExt, select_all};
use hyper::body::Frame;
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::request::AuthorisedRequest;
use crate::clock;
use crate::http::error::ApiError;
use crate::http::wire::answers::{self, Answer};
use crate::http::wire::query;
use crate::kms::{FollowLog, Kms, PeerLog};
use crate::policy::{Action, Identity, LogAction, Rules};
use crate::telemetry::{Audit, ErrorLog, joined};

/// How often the stream checks whether the client may still read it, because the rules may change while it lasts.
const CHECK: Duration = Duration::from_secs(1);
/// How long the head of an answer waits for the other nodes whose events it has.
const OPENING: Duration = Duration::from_secs(1);

/// The events of this node.
#[derive(Clone, Copy)]
pub struct Feeds<'a> {
    /// The records of requests.
    pub audit: &'a Audit,
    /// The errors of the program.
    pub errors: &'a ErrorLog,
}

/// Answers with a stream.
///
/// The audit record is written when the stream begins, as for any answer. So a reader of the log sees at once that
/// somebody reads it, and a crash cannot lose that.
///
/// # Errors
/// The query has a bad value, or the client may not read the log.
pub async fn handle(
    log: LogAction,
    kms: &Arc<Kms>,
    feeds: Feeds<'_>,
    request: &AuthorisedRequest<'_>,
) -> Result<Answer, ApiError> {
    let query::StreamQuery { tail, follow, cluster } = query::stream(request.parts.uri.query())?;
    let wanted = FollowLog { errors: log == LogAction::Error, tail, follow };
    let mut lines = own_lines(feeds, wanted);
    if cluster {
        let own = tagged(kms.name().to_owned(), log, lines.map(PeerLog::Lines).boxed());
        let peers = match log {
            LogAction::Audit => kms.peer_audit_trails(&request.caller.permit()?, tail, follow),
            LogAction::Error => kms.peer_error_logs(&request.caller.permit()?, tail, follow),
        };
        lines = merged(own, peers, log, follow).boxed().await;
        if !follow {
            lines = stream::iter([in_order(lines.collect().await)]).boxed();
        }
    }
    if !follow {
        return Ok(answers::lines(lines.map(|lines| io::Result::Ok(Frame::data(lines))).boxed()));
    }
    let mut check = interval(CHECK);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The stream repeats the check from here on: the rules may have changed since the guard looked at them.
    let (rules, file_admin) = (kms.rules(), kms.file_admin());
    let identity = request.caller.identity()?;
    // The same action without the borrowed path, because the stream outlasts its request.
    let action = request.action.kind().on("");
    rules.permit(identity, file_admin, action)?;
    let (kms, draining) = (Arc::clone(kms), request.draining.clone());
    let following = FollowingStream { lines, kms, identity, action, rules, file_admin, check, draining };
    let lines = stream::unfold(following, |mut following| async move {
        let lines = following.next().await?;
        Some((io::Result::Ok(Frame::data(lines)), following))
    });
    Ok(answers::lines(lines.boxed()))
}

fn own_lines(feeds: Feeds<'_>, FollowLog { errors, tail, follow }: FollowLog) -> BoxStream<'static, Bytes> {
    match (errors, follow) {
        (false, true) => feeds.audit.feed().listen(tail).into_stream(),
        (true, true) => feeds.errors.feed().listen(tail).into_stream(),
        (false, false) => stream::iter([joined(feeds.audit.feed().tail(tail))]).boxed(),
        (true, false) => stream::iter([joined(feeds.errors.feed().tail(tail))]).boxed(),
    }
}

/// A stream that goes on with new events.
struct FollowingStream {
    lines: BoxStream<'static, Bytes>,
    kms: Arc<Kms>,
    identity: Identity,
    action: Action<'static>,
    /// The rules that permitted it last.
    rules: Arc<Rules>,
    /// The admin of this node's file at that time.
    file_admin: Option<Identity>,
    check: Interval,
    draining: CancellationToken,
}

impl FollowingStream {
    /// The next lines. `None` if the client may no longer read the log, or if the node drains.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let lines = tokio::select! {
                biased;
                () = self.draining.cancelled() => return None,
                _ = self.check.tick() => None,
                lines = self.lines.next() => Some(lines?),
            };
            // No line may go out after the node acknowledged the revocation of the permission.
            if !self.is_permitted().await {
                return None;
            }
            if lines.is_some() {
                return lines;
            }
        }
    }

    async fn is_permitted(&mut self) -> bool {
        let kms = &self.kms;
        if kms.are_in_force(&self.rules) && kms.file_admin() == self.file_admin {
            return true;
        }
        let Ok(rules) = kms.rules_in_force().await else { return false };
        (self.rules, self.file_admin) = (rules, kms.file_admin());
        self.rules.permit(self.identity, self.file_admin, self.action).is_ok()
    }
}

/// The events of this node and its peers, once every peer has begun or has used up its time.
async fn merged(
    own: BoxStream<'static, Bytes>,
    peers: Vec<(String, BoxStream<'static, PeerLog>)>,
    log: LogAction,
    follow: bool,
) -> BoxStream<'static, Bytes> {
    let (names, streams): (Vec<_>, Vec<_>) = peers.into_iter().unzip();
    let streams = join_all(streams.into_iter().map(|lines| opened(lines, follow))).await;
    let peers = names.into_iter().zip(streams).map(|(name, lines)| tagged(name, log, lines));
    select_all(iter::once(own).chain(peers)).boxed()
}

/// A peer's events, once the peer has begun or has used up its time. Events after the head of the answer are in the
/// stream, or a notice says that they may be missing.
async fn opened(lines: BoxStream<'static, PeerLog>, follow: bool) -> BoxStream<'static, PeerLog> {
    if !follow {
        // The last events are the same, whenever the peer begins.
        return lines.filter(is_event).boxed();
    }
    let mut lines = lines.peekable();
    // If the time is over first, the stream goes on with what the peer sends later.
    if let Ok(Some(PeerLog::Here)) = timeout(OPENING, Pin::new(&mut lines).peek()).await {
        lines.next().await;
    }
    lines.boxed()
}

fn is_event(lines: &PeerLog) -> Ready<bool> {
    ready(*lines != PeerLog::Here)
}

/// The events of a node, each with the node's name.
fn tagged(node: String, log: LogAction, lines: BoxStream<'static, PeerLog>) -> BoxStream<'static, Bytes> {
    let tagged = move |lines| match lines {
        PeerLog::Lines(lines) => tag(&node, &lines),
        PeerLog::Here => notice(&node, log, "the node begins late: what happened before is not shown"),
        PeerLog::Away(why) => notice(&node, log, &format!("the node is away: {why}")),
        PeerLog::Back => notice(&node, log, "the node is back: what happened meanwhile is not shown"),
    };
    lines.map(tagged).boxed()
}

/// The lines with one more field at the beginning of each object.
fn tag(node: &str, lines: &[u8]) -> Bytes {
    // The name of a node needs no escapes in JSON.
    let field = format!(r#"{{"node":"{node}","#);
    let mut out = Vec::with_capacity(lines.len() + 4 * field.len());
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(field.as_bytes());
        out.extend_from_slice(line.strip_prefix(b"{").unwrap_or(line));
    }
    out.into()
}

/// A line about the node itself, in the form of the log's events.
fn notice(node: &str, log: LogAction, text: &str) -> Bytes {
    let line = match log {
        LogAction::Error => json!({ "node": node, "message": text }),
        LogAction::Audit => json!({
            "node": node,
            "time": clock::rfc3339(Some(clock::unix_ns())),
            "request": {"ip": "", "path": "", "identity": ""},
            "response": {"code": 0, "time": 0},
            "notice": text,
        }),
    };
    (line.to_string() + "\n").into()
}

/// The lines of several nodes, sorted by time if they have one. The lines of one node keep their order.
fn in_order(batches: Vec<Bytes>) -> Bytes {
    let mut lines: Vec<&[u8]> = batches.iter().flat_map(|batch| batch.split_inclusive(|byte| *byte == b'\n')).collect();
    lines.sort_by_cached_key(|line| {
        let event: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        // Without the `Z`, a longer fraction of the same second sorts later.
        event["time"].as_str().unwrap_or_default().trim_end_matches('Z').to_owned()
    });
    lines.concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_their_nodes_name_and_are_sorted_by_time() {
        let a = tag("a", b"{\"time\":\"2026-01-01T00:00:00Z\"}\n{\"time\":\"2026-01-01T00:00:01.5Z\"}\n");
        let b = tag("b", b"{\"time\":\"2026-01-01T00:00:00.25Z\"}\n{\"time\":\"2026-01-01T00:00:01Z\"}\n");
        let expected = "{\"node\":\"a\",\"time\":\"2026-01-01T00:00:00Z\"}\n\
                        {\"node\":\"b\",\"time\":\"2026-01-01T00:00:00.25Z\"}\n\
                        {\"node\":\"b\",\"time\":\"2026-01-01T00:00:01Z\"}\n\
                        {\"node\":\"a\",\"time\":\"2026-01-01T00:00:01.5Z\"}\n";
        assert_eq!(in_order(vec![a, b]), expected);
    }

    #[tokio::test]
    async fn a_notice_says_which_peer_began_late() {
        let event = PeerLog::Lines(Bytes::from_static(b"{}\n"));
        let events = [PeerLog::Here, event.clone()];
        for follow in [true, false] {
            let in_time = opened(stream::iter(events.clone()).boxed(), follow).await;
            assert_eq!(in_time.collect::<Vec<_>>().await, std::slice::from_ref(&event));
        }
        // The peer begins after the head of the answer is sent.
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let late = stream::once(begun).then(|_| ready(PeerLog::Here)).chain(stream::iter([event]));
        let late = opened(late.boxed(), true).await;
        begin.send(()).unwrap();
        let lines: Vec<_> = tagged("a".to_owned(), LogAction::Error, late).collect().await;
        let notice = r#"{"message":"the node begins late: what happened before is not shown","node":"a"}"#;
        assert_eq!(lines[0], format!("{notice}\n"));
        assert_eq!(lines.len(), 2);
        let away = opened(stream::iter([PeerLog::Away("gone".to_owned())]).boxed(), true).await;
        assert_eq!(away.collect::<Vec<_>>().await, [PeerLog::Away("gone".to_owned())]);
    }

    #[test]
    fn a_notice_has_the_form_of_its_log() {
        let parse = |log| -> serde_json::Value { serde_json::from_slice(&notice("a", log, "gone \"\n")).unwrap() };
        assert_eq!(parse(LogAction::Error), json!({"node": "a", "message": "gone \"\n"}));
        let audit = parse(LogAction::Audit);
        assert_eq!((&audit["notice"], &audit["response"]["code"]), (&json!("gone \"\n"), &json!(0)));
    }
}
