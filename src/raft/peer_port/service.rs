//! The peer service: what this node does when another one calls.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendError};

use super::connection::ConnectedPeer;
use super::heartbeats::HeartbeatAnswers;
use super::refusals::{Caller, Refusals};
use super::room::AppendRoom;
use super::statuses::{malformed, no_room, not_leading, refused, stopped};
use crate::blocking;
use crate::clock;
use crate::raft::adapter::metrics::{Metrics, Raft};
use crate::raft::adapter::state_machine::as_openraft;
use crate::raft::doubt::bar;
use crate::raft::doubt::log_doubt::LogDoubt;
use crate::raft::failure::Failure;
use crate::raft::forwarding::proposals::{NotTaken, propose};
use crate::raft::forwarding::room_gate::RoomGate;
use crate::raft::integrity::comparison::answer_record;
use crate::raft::integrity::digest_check::PEER_CATCH_UP;
use crate::raft::joining::local::{LocalFounder, NotNoted};
use crate::raft::leases::digest_exchange::{DigestExchange, from_wire, to_wire};
use crate::raft::leases::grants::{LeaseGrants, LeaseRequest};
use crate::raft::leases::held::HeldLease;
use crate::raft::log_follow::OwnLogs;
use crate::raft::peers::links::Links;
use crate::raft::peers::snapshot_stream;
use crate::raft::peers::trouble::sealed_status;
use crate::raft::preface::hello::Purpose;
use crate::raft::protocol::entry::EntryError;
use crate::raft::protocol::rpc::{
    append_reply_of, append_request_from, stream_reply_of, transfer_reply_of, transfer_request_from, vote_reply_of,
    vote_request_from,
};
use crate::raft::protocol::types::{NodeId, RaftVote, TypeConfig};
use crate::raft::protocol::wire::peer_server::Peer;
use crate::raft::protocol::wire::{
    AppendReply, AppendRequest, CatchUpReply, CatchUpRequest, DigestReply, DigestRequest, FenceReply, FenceRequest,
    FetchRequest, FollowLogRequest, FoundReply, FoundRequest, FounderAnswer, FounderQuestion, HeartbeatReply,
    HeartbeatRequest, InstallReply, LogLines, Proposals, ProposalsReply, ReadIndexReply, ReadIndexRequest, RecordReply,
    RecordRequest, SnapshotPart, TransferReply, TransferRequest, VoteReply, VoteRequest, WrapsReply, WrapsRequest,
};
use crate::state::ClusterState;
use crate::store::{Progress, Snapshots, View};

/// How many batches of one forwarding peer the node proposes at a time.
const BATCHES_AT_A_TIME: usize = 64;
/// How long a call for a snapshot waits until one is built.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(60);

/// What the service needs once the node takes part in consensus.
pub(in crate::raft) struct Running {
    pub raft: Raft,
    pub gate: Arc<RoomGate>,
    pub append_room: AppendRoom,
    pub grants: Arc<LeaseGrants>,
    pub lease: Arc<HeldLease>,
    pub digests: Arc<DigestExchange>,
    pub progress: tokio::sync::watch::Receiver<Progress>,
    pub view: Arc<View>,
    pub snapshots: Snapshots,
    pub doubt: Arc<LogDoubt>,
}

/// The service. It answers other founders from the start, and all other calls once the node takes part.
#[derive(Clone)]
pub(in crate::raft) struct PeerService {
    pub links: Arc<Links>,
    pub local: Arc<LocalFounder>,
    pub running: Arc<OnceLock<Running>>,
    pub failure: Failure,
    pub logs: OwnLogs,
    pub refusals: Arc<Refusals>,
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl PeerService {
    /// The member that sent this call, and what answers it.
    ///
    /// # Errors
    /// This node does not take part yet, or the call does not come from a member.
    fn check_sender<T>(&self, request: &Request<T>) -> Result<(NodeId, &Running), Status> {
        let peer = caller(request, Purpose::Member)?;
        // A node that does not take part yet may not know its members.
        let running = self.running.get().ok_or_else(|| self.takes_no_part())?;
        let sender = self.links.sender(peer.key, &peer.preface);
        let sender = sender.inspect_err(|status| {
            let caller = Caller { key: peer.key, is_stranger: !self.links.is_member(peer.key) };
            self.refusals.log_call(caller, status.message());
        })?;
        Ok((sender, running))
    }

    /// The refusal of a call while this node takes no part in consensus.
    fn takes_no_part(&self) -> Status {
        match self.local.seal.sealed() {
            Some(why) => sealed_status(&why),
            None => Status::unavailable("it does not take part in the cluster yet"),
        }
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type AppendStream = Replies<AppendReply>;
    type FetchSnapshotStream = Replies<SnapshotPart>;
    type FollowLogStream = Replies<LogLines>;
    type HeartbeatStream = Replies<HeartbeatReply>;
    type ProposeStream = Replies<ProposalsReply>;

    async fn ask_founder(&self, request: Request<FounderQuestion>) -> Result<Response<FounderAnswer>, Status> {
        // Founders that know the cluster key ask as members, so that they also reach a node whose cluster has begun.
        if caller(&request, Purpose::Founder).is_err() {
            // A founder that was replaced before the cluster began holds the cluster key, too, with an older document.
            // It must not learn from the newer one's founders that it may begin.
            let peer = caller(&request, Purpose::Member)?;
            self.links.sender(peer.key, &peer.preface)?;
        }
        Ok(Response::new(self.local.answer()))
    }

    async fn found(&self, request: Request<FoundRequest>) -> Result<Response<FoundReply>, Status> {
        let from = caller(&request, Purpose::Founder)?.key;
        let local = Arc::clone(&self.local);
        let noted = blocking::spawn(move || local.take(request.into_inner().document, from)).await;
        match noted.map_err(|panic| Status::internal(panic.to_string()))? {
            Ok(()) => Ok(Response::new(FoundReply {})),
            Err(NotNoted::Sealed(why)) => Err(sealed_status(&why)),
            Err(error @ NotNoted::NotReady) => Err(Status::unavailable(error.to_string())),
            Err(error) => Err(refused(&error)),
        }
    }

    async fn fetch_wraps(&self, request: Request<WrapsRequest>) -> Result<Response<WrapsReply>, Status> {
        let peer = caller(&request, Purpose::Sealed)?;
        self.links.sender(peer.key, &peer.preface)?;
        let applied = self.running.get().and_then(|running| running.view.cluster());
        let cluster = applied.map(|cluster| ClusterState::clone(&cluster)).or_else(|| self.local.open_cluster());
        let cluster = cluster.ok_or_else(|| self.takes_no_part())?;
        // A sealed node needs one answer. A limit for each key would let a thief of that key use up the node's share.
        if peer.has_wraps.swap(true, Ordering::Relaxed) {
            return Err(Status::resource_exhausted("it has sent its wraps on this connection already"));
        }
        Ok(Response::new(WrapsReply { cluster: ClusterState { time_ns: 0, ..cluster }.into_stored().bytes }))
    }

    async fn append(&self, request: Request<Streaming<AppendRequest>>) -> Result<Response<Self::AppendStream>, Status> {
        let (_, running) = self.check_sender(&request)?;
        let (failure, raft) = (self.failure.clone(), running.raft.clone());
        let (links, doubt) = (Arc::clone(&self.links), Arc::clone(&running.doubt));
        let refusal = Arc::new(OnceLock::new());
        let refused = Arc::clone(&refusal);
        let readable = move |message: Result<AppendRequest, Status>| {
            let request = readable_append(message.ok()?, &raft, &failure).ok()?;
            // The cell is empty: the stream ends with the first refusal.
            doubt.check_leader(&request.vote).map_err(|status| drop(refused.set(status))).ok()?;
            links.contacts().follows(request.vote.leader_id.term);
            Some(request)
        };
        let requests = request.into_inner().map(readable);
        let requests =
            requests.take_while(|request| std::future::ready(request.is_some())).filter_map(std::future::ready);
        let room = running.append_room.clone();
        let requests = requests.then(move |request| room.clone().wait_for(request));
        let links = Arc::clone(&self.links);
        let replies = running.raft.stream_append(requests).map(move |result| match result {
            Ok(result) => {
                match &result {
                    Err(StreamAppendError::Conflict(at)) => links.contacts().entry_missing(at.index),
                    Err(StreamAppendError::HigherVote(_)) => {}
                    Ok(_) => links.contacts().entries_follow(),
                }
                Ok(stream_reply_of(result))
            }
            Err(fatal) => Err(stopped(&fatal)),
        });
        let refusals = stream::once(async move { refusal.get().cloned() }).filter_map(std::future::ready);
        Ok(Response::new(replies.chain(refusals.map(Err)).boxed()))
    }

    async fn append_once(&self, request: Request<AppendRequest>) -> Result<Response<AppendReply>, Status> {
        let (_, running) = self.check_sender(&request)?;
        let append = readable_append(request.into_inner(), &running.raft, &self.failure)?;
        running.doubt.check_leader(&append.vote)?;
        self.links.contacts().follows(append.vote.leader_id.term);
        if !running.append_room.may_append(&append) {
            return Err(no_room());
        }
        let previous = append.prev_log_id.map_or(0, |id| id.index);
        let response = running.raft.append_entries(append).await.map_err(|error| stopped(&error))?;
        match &response {
            AppendEntriesResponse::Conflict => self.links.contacts().entry_missing(previous),
            AppendEntriesResponse::Success => self.links.contacts().entries_follow(),
            AppendEntriesResponse::PartialSuccess(_) | AppendEntriesResponse::HigherVote(_) => {}
        }
        Ok(Response::new(append_reply_of(response)))
    }

    async fn heartbeat(
        &self,
        request: Request<Streaming<HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let (_, running) = self.check_sender(&request)?;
        let sender = caller(&request, Purpose::Member)?.clone();
        let (raft, links, lease) = (running.raft.clone(), Arc::clone(&self.links), Arc::clone(&running.lease));
        let (doubt, room) = (Arc::clone(&running.doubt), Arc::clone(&running.append_room.room));
        let answers = HeartbeatAnswers { raft, links, lease, doubt, room, sender };
        Ok(Response::new(answers.stream(request.into_inner()).boxed()))
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
        let (_, running) = self.check_sender(&request)?;
        let message = request.into_inner();
        let vote = vote_request_from(&message).ok_or_else(malformed)?;
        if let Some(refused) = running.doubt.refused_vote() {
            return Ok(Response::new(refused));
        }
        let raft = &running.raft;
        let response = if message.pre_vote { raft.pre_vote(vote).await } else { raft.vote(vote).await };
        Ok(Response::new(vote_reply_of(&response.map_err(|error| stopped(&error))?)))
    }

    async fn transfer_leader(&self, request: Request<TransferRequest>) -> Result<Response<TransferReply>, Status> {
        let (_, running) = self.check_sender(&request)?;
        let transfer = transfer_request_from(request.into_inner()).ok_or_else(malformed)?;
        if running.doubt.is_open() {
            return Err(Status::unavailable("its log lost entries, and it has yet to catch up"));
        }
        self.links.contacts().hands_over(transfer.from_leader().leader_id.term);
        let response = running.raft.handle_transfer_leader(transfer).await.map_err(|error| stopped(&error))?;
        Ok(Response::new(transfer_reply_of(response)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotPart>>,
    ) -> Result<Response<InstallReply>, Status> {
        let (_, running) = self.check_sender(&request)?;
        if running.append_room.room.lacks_room() {
            return Err(no_room());
        }
        let cluster = running.view.cluster().map(|cluster| cluster.id);
        let received = snapshot_stream::receive(&running.snapshots, cluster, request.into_inner()).await;
        let (snapshot, vote) = received.map_err(|e| refused(&e))?;
        let vote = vote.ok_or_else(malformed)?.into();
        running.doubt.check_leader(&vote)?;
        let snapshot = as_openraft(snapshot).map_err(|e| refused(&e))?;
        let response = running.raft.install_full_snapshot(vote, snapshot).await.map_err(|error| stopped(&error))?;
        Ok(Response::new(InstallReply { vote: Some(response.vote.into()) }))
    }

    async fn fetch_snapshot(
        &self,
        request: Request<FetchRequest>,
    ) -> Result<Response<Self::FetchSnapshotStream>, Status> {
        let (_, running) = self.check_sender(&request)?;
        if running.digests.dispute.is_open() {
            return Err(Status::failed_precondition("its own state differs from another node's, and may be wrong"));
        }
        let at_least = request.get_ref().at_least;
        let snapshot = newest_or_new(&running.raft, &running.snapshots, at_least).await.map_err(|e| refused(&e))?;
        let parts = snapshot_stream::send(&running.snapshots, &snapshot, None).map_err(|e| refused(&e))?;
        Ok(Response::new(parts.map(|part| part.map_err(|e| refused(&e))).boxed()))
    }

    async fn follow_log(&self, request: Request<FollowLogRequest>) -> Result<Response<Self::FollowLogStream>, Status> {
        self.check_sender(&request)?;
        Ok(Response::new(self.logs.stream(request.get_ref())?))
    }

    async fn propose(&self, request: Request<Streaming<Proposals>>) -> Result<Response<Self::ProposeStream>, Status> {
        let (_, running) = self.check_sender(&request)?;
        let (raft, view, gate) = (running.raft.clone(), Arc::clone(&running.view), Arc::clone(&running.gate));
        let replies = request
            .into_inner()
            .take_while(|message| std::future::ready(message.is_ok()))
            .filter_map(|message| std::future::ready(message.ok()))
            .map(move |Proposals { batch, commands }| {
                let (raft, level, has_room) = (raft.clone(), view.level(), gate.is_open());
                async move {
                    let NotTaken { rejected, no_room } = propose(&raft, has_room, level, commands).await;
                    Ok(ProposalsReply { batch, rejected, no_room })
                }
            })
            .buffer_unordered(BATCHES_AT_A_TIME);
        Ok(Response::new(replies.boxed()))
    }

    async fn read_index(&self, request: Request<ReadIndexRequest>) -> Result<Response<ReadIndexReply>, Status> {
        let (from, running) = self.check_sender(&request)?;
        let ReadIndexRequest { applied, lease_ns, digest, may_wait } = request.into_inner();
        let question = LeaseRequest { from, applied, lease: Duration::from_nanos(lease_ns), may_wait };
        let read = running.grants.answer(question).await.ok_or_else(not_leading)?;
        // By now this node has applied as much as the member had.
        let theirs = digest.as_ref().and_then(from_wire);
        if let Some(theirs) = theirs {
            running.digests.compare(from, theirs);
        }
        Ok(Response::new(ReadIndexReply {
            index: read.index,
            last_revocation: read.last_revocation,
            digest: running.digests.answer(theirs).map(to_wire),
            lease_ns: clock::nanos(read.lease),
        }))
    }

    async fn fence(&self, request: Request<FenceRequest>) -> Result<Response<FenceReply>, Status> {
        let (from, running) = self.check_sender(&request)?;
        let FenceRequest { index, applied } = request.into_inner();
        running.grants.note_applied(from, applied);
        let behind = running.grants.wait_for_revocation(index).await.ok_or_else(not_leading)?;
        Ok(Response::new(FenceReply { behind }))
    }

    async fn fetch_record(&self, request: Request<RecordRequest>) -> Result<Response<RecordReply>, Status> {
        let (_, running) = self.check_sender(&request)?;
        let answer = answer_record(&running.view, running.progress.clone(), request.get_ref()).await;
        answer
            .map(Response::new)
            .ok_or_else(|| Status::unavailable("this node did not apply the index of the call in time"))
    }

    async fn fetch_mark(&self, request: Request<DigestRequest>) -> Result<Response<DigestReply>, Status> {
        let (from, running) = self.check_sender(&request)?;
        let Some(theirs) = request.get_ref().own.as_ref().and_then(from_wire) else {
            return Ok(Response::new(DigestReply { digest: None, in_doubt: running.doubt.is_open() }));
        };
        running.digests.compare(from, theirs);
        let own = running.digests.at(theirs.index, PEER_CATCH_UP).await;
        Ok(Response::new(DigestReply { digest: own.map(to_wire), in_doubt: running.doubt.is_open() }))
    }

    async fn catch_up(&self, request: Request<CatchUpRequest>) -> Result<Response<CatchUpReply>, Status> {
        let (from, running) = self.check_sender(&request)?;
        // The end of the doubt of one start says nothing about the next one.
        if !self.links.is_of_newest_start(&caller(&request, Purpose::Member)?.preface) {
            return Err(Status::aborted("the caller has started anew since it sent this call"));
        }
        Ok(Response::new(bar::answer(&running.raft, &self.links, from, request.into_inner()).await?))
    }
}

/// The node that sent this call, if it connected for this purpose.
fn caller<T>(request: &Request<T>, purpose: Purpose) -> Result<&ConnectedPeer, Status> {
    let peer = request.extensions().get::<ConnectedPeer>();
    let peer = peer.ok_or_else(|| Status::unauthenticated("the call did not come over the peer port"))?;
    let may_call = peer.purpose == purpose;
    may_call.then_some(peer).ok_or_else(|| Status::permission_denied("the caller connected for other calls"))
}

/// Reads a request to append. If this version cannot read the level of an entry, the node ends before it appends the
/// entry, unless a later election has replaced the leader that sends it.
fn readable_append(
    request: AppendRequest,
    raft: &Raft,
    failure: &Failure,
) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
    let vote = request.vote.map(RaftVote::from);
    append_request_from(request).map_err(|error| {
        let leads = vote.is_some_and(|vote| vote >= Metrics::of(raft).now().vote);
        match error {
            EntryError::LevelAbove(_) if leads => failure.report_lasting(&error.to_string()),
            EntryError::LevelAbove(_) | EntryError::Damaged => {
                tracing::error!(%error, "a peer sent entries that this node refuses to append");
            }
        }
        Status::failed_precondition(error.to_string())
    })
}

/// The newest snapshot, if it reaches `at_least`. Otherwise openraft builds one.
async fn newest_or_new(raft: &Raft, snapshots: &Snapshots, at_least: u64) -> io::Result<crate::store::Snapshot> {
    let reaches = |index: Option<u64>| index.is_some_and(|index| index >= at_least);
    let newest =
        || Ok::<_, io::Error>(snapshots.newest()?.filter(|s| reaches(s.header.applied.last.map(|id| id.index))));
    if let Some(snapshot) = newest()? {
        return Ok(snapshot);
    }
    raft.trigger().snapshot().await.map_err(io::Error::other)?;
    let built = |metrics: &openraft::RaftMetrics<TypeConfig>| reaches(metrics.snapshot.map(|id| id.index));
    raft.wait(Some(SNAPSHOT_WAIT)).metrics(built, "a snapshot").await.map_err(io::Error::other)?;
    newest()?.ok_or_else(|| io::Error::other("the new snapshot does not reach the index that the call asks for"))
}
