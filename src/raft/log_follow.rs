//! Log follow: streams this node's log events to its peers, and follows theirs, so that a client of one node sees all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tonic::{Status, Streaming};

use super::cluster::Cluster;
use super::peers::links::Links;
use super::protocol::types::Member;
use super::protocol::wire::{FollowLogRequest, LogLines};

/// How many streams this node serves to its peers at a time.
const STREAMS: usize = 64;
/// How long a peer may take to begin a stream.
const PATIENCE: Duration = Duration::from_secs(3);
/// The pause between two attempts to reach a peer that does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Which events of a node's logs a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowLog {
    /// Events of the error log. Otherwise, those of the audit log.
    pub errors: bool,
    /// How many of the last events come first.
    pub tail: usize,
    /// Whether the stream goes on with events as they happen.
    pub follow: bool,
}

/// Makes a stream of this node's own events: whole lines, each with its line feed.
pub type LogSource = Arc<dyn Fn(FollowLog) -> BoxStream<'static, Bytes> + Send + Sync>;

/// An item of a peer's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerLog {
    /// The peer has begun the stream. Events there are part of it from now on. This item comes first, or never.
    Here,
    /// Whole lines, each with its line feed.
    Lines(Bytes),
    /// The peer does not answer, and why. If the client follows events, this node tries again.
    Away(String),
    /// The peer answers again. Events that happened meanwhile are not part of the stream.
    Back,
}

/// This node's logs, for its peers.
#[derive(Clone)]
pub(super) struct OwnLogs {
    source: LogSource,
    streams: Arc<Semaphore>,
}

impl OwnLogs {
    pub(super) fn new(source: LogSource) -> Self {
        Self { source, streams: Arc::new(Semaphore::new(STREAMS)) }
    }

    /// A stream for a peer.
    ///
    /// # Errors
    /// Too many streams are open.
    pub(super) fn stream(
        &self,
        asked: &FollowLogRequest,
    ) -> Result<BoxStream<'static, Result<LogLines, Status>>, Status> {
        let permit = Arc::clone(&self.streams).try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted("its log has too many readers already"))?;
        let tail = usize::try_from(asked.tail).unwrap_or(usize::MAX);
        let lines = (self.source)(FollowLog { errors: asked.errors, tail, follow: asked.follow });
        let held = lines.map(move |lines| {
            let _held = &permit;
            Ok(LogLines { lines })
        });
        Ok(held.boxed())
    }
}

impl Cluster {
    /// The logs of all other members, each with the member's name. A stream asks its peer when it is polled first. It
    /// lacks events from before [`PeerLog::Here`].
    pub fn peer_logs(&self, asked: FollowLog) -> Vec<(String, BoxStream<'static, PeerLog>)> {
        let links = self.leadership.links();
        let members = links.members();
        let others = members.iter().filter(|(id, _)| **id != links.owner.node_id);
        let stream = |member: &Member| FollowedLog::new(Arc::clone(links), member.clone(), asked).stream();
        others.map(|(_, member)| (member.name.clone(), stream(member))).collect()
    }
}

/// Follows one peer's log, also over restarts of the peer.
struct FollowedLog {
    links: Arc<Links>,
    member: Member,
    asked: FollowLog,
    state: FollowState,
}

enum FollowState {
    /// The peer is asked next. `away` says whether the stream has reported that the peer does not answer.
    Asking {
        away: bool,
    },
    Reading(Box<Streaming<LogLines>>),
    Done,
}

impl FollowedLog {
    fn new(links: Arc<Links>, member: Member, asked: FollowLog) -> Self {
        Self { links, member, asked, state: FollowState::Asking { away: false } }
    }

    fn stream(self) -> BoxStream<'static, PeerLog> {
        stream::unfold(self, |mut following| async move { Some((following.next().await?, following)) }).boxed()
    }

    async fn next(&mut self) -> Option<PeerLog> {
        loop {
            match &mut self.state {
                FollowState::Done => return None,
                FollowState::Reading(lines) => match lines.message().await {
                    Ok(Some(LogLines { lines })) => return Some(PeerLog::Lines(lines)),
                    Ok(None) if !self.asked.follow => return None,
                    Ok(None) => return Some(self.away("it ended the stream")),
                    Err(status) => return Some(self.away(status.message())),
                },
                FollowState::Asking { away } => {
                    let away = *away;
                    if away {
                        sleep(RETRY).await;
                    }
                    match self.ask().await {
                        Ok(lines) => {
                            self.state = FollowState::Reading(Box::new(lines));
                            // After a break, do not send the last events again.
                            self.asked.tail = 0;
                            return Some(if away { PeerLog::Back } else { PeerLog::Here });
                        }
                        Err(why) if !away => return Some(self.away(&why)),
                        Err(_) => {}
                    }
                }
            }
        }
    }

    fn away(&mut self, why: &str) -> PeerLog {
        self.state = if self.asked.follow { FollowState::Asking { away: true } } else { FollowState::Done };
        PeerLog::Away(why.to_owned())
    }

    async fn ask(&self) -> Result<Streaming<LogLines>, String> {
        let FollowLog { errors, tail, follow } = self.asked;
        let request = FollowLogRequest { errors, tail: tail as u64, follow };
        let mut client = self.links.client(&self.member).map_err(|error| error.to_string())?;
        match timeout(PATIENCE, client.follow_log(request)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err("it does not answer in time".to_owned()),
        }
    }
}
