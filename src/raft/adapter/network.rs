//! openraft's network: calls to one peer, each purpose on a connection of its own.

#![expect(clippy::result_large_err, reason = "the error types are openraft's")]

use std::collections::HashMap;
use std::future::{Future, ready};
use std::io;
use std::sync::Arc;

use futures::{FutureExt, Stream, StreamExt, stream};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tonic::{Code, Status};

use super::heartbeats::HeartbeatStream;
use crate::raft::dispute::Dispute;
use crate::raft::peers::contacts::Acknowledged;
use crate::raft::peers::links::{Links, NodeClient};
use crate::raft::peers::snapshot_stream;
use crate::raft::protocol::rpc::{
    append_reply, append_request, stream_reply, transfer_reply, transfer_request, vote_reply, vote_request,
};
use crate::raft::protocol::types::{Member, NodeId, RaftSnapshot, RaftVote, TypeConfig};
use crate::raft::protocol::wire;
use crate::store::{self, Snapshots};

type RpcError = RPCError<TypeConfig>;

/// Makes openraft's clients of the peers.
pub(in crate::raft) struct Network {
    links: Arc<Links>,
    dispute: Dispute,
    snapshots: Snapshots,
    /// One client for each purpose and peer. openraft asks for a new one for every vote, and a vote must not wait for a
    /// handshake.
    clients: HashMap<(Purpose, NodeId), (Member, NodeClient)>,
}

/// What a connection is for. A heartbeat has one of its own, so that it never waits behind entries or a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Purpose {
    Replication,
    Heartbeats,
    Snapshots,
}

impl Network {
    pub(in crate::raft) fn new(links: Arc<Links>, dispute: Dispute, snapshots: Snapshots) -> Self {
        Self { links, dispute, snapshots, clients: HashMap::new() }
    }

    fn peer(&mut self, purpose: Purpose, target: NodeId, member: &Member) -> PeerNetwork {
        let key = (purpose, target);
        let known = self.clients.get(&key).filter(|(known, _)| known == member).map(|(_, client)| Ok(client.clone()));
        let client = known.unwrap_or_else(|| self.links.client(member).map_err(|error| error.to_string()));
        if let Ok(client) = &client {
            self.clients.insert(key, (member.clone(), client.clone()));
        }
        let acknowledged = self.links.contacts().acknowledged(target);
        let (dispute, snapshots) = (self.dispute.clone(), self.snapshots.clone());
        let heartbeats = (purpose == Purpose::Heartbeats).then(HeartbeatStream::default);
        PeerNetwork { links: Arc::clone(&self.links), target, client, heartbeats, acknowledged, dispute, snapshots }
    }
}

/// A client of one peer, for one purpose.
pub(in crate::raft) struct PeerNetwork {
    links: Arc<Links>,
    target: NodeId,
    client: Result<NodeClient, String>,
    /// Present for the purpose of heartbeats.
    heartbeats: Option<HeartbeatStream>,
    acknowledged: Arc<Acknowledged>,
    dispute: Dispute,
    snapshots: Snapshots,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: NodeId, member: &Member) -> PeerNetwork {
        self.peer(Purpose::Replication, target, member)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, member: &Member) -> PeerNetwork {
        self.peer(Purpose::Heartbeats, target, member)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, member: &Member) -> PeerNetwork {
        self.peer(Purpose::Snapshots, target, member)
    }
}

impl PeerNetwork {
    fn client(&self) -> Result<NodeClient, RpcError> {
        self.client.clone().map_err(|error| RPCError::Unreachable(Unreachable::from_string(error)))
    }

    async fn call<T>(
        &self,
        action: RPCTypes,
        option: &RPCOption,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, RpcError> {
        let timeout = option.soft_ttl();
        match tokio::time::timeout(timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(rpc_error(&status)),
            Err(_) => {
                Err(RPCError::Timeout(Timeout { action, id: self.links.owner.node_id, target: self.target, timeout }))
            }
        }
    }

    /// Sends a heartbeat.
    async fn heartbeat(
        &mut self,
        request: &AppendEntriesRequest<TypeConfig>,
    ) -> Result<StreamAppendResult<TypeConfig>, RpcError> {
        let client = self.client()?;
        let heartbeats = self.heartbeats.get_or_insert_default();
        let (reply, has_room) = heartbeats.send(client, request).await.map_err(|status| rpc_error(&status))?;
        self.links.contacts().rooms().note(self.target, has_room);
        let reply = stream_reply(reply).ok_or_else(malformed)?;
        note_reply(self.target, &self.acknowledged, request.vote.leader_id.term, &reply);
        Ok(reply)
    }

    async fn ask_vote(
        &self,
        request: wire::VoteRequest,
        option: &RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let mut client = self.client()?;
        let reply = self.call(RPCTypes::Vote, option, client.vote(request)).await?;
        vote_reply(reply).ok_or_else(malformed)
    }
}

impl RaftNetworkV2<TypeConfig> for PeerNetwork {
    type SnapshotData = store::Snapshot;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let mut client = self.client()?;
        let call = client.append_once(append_request(&request));
        let reply = self.call(RPCTypes::AppendEntries, &option, call).await?;
        let reply = append_reply(reply).ok_or_else(malformed)?;
        let (term, previous) = (request.vote.leader_id.term, request.prev_log_id.map_or(0, |id| id.index));
        match &reply {
            AppendEntriesResponse::Success => self.acknowledged.matched(term, None),
            AppendEntriesResponse::Conflict => conflict(self.target, &self.acknowledged, term, previous),
            AppendEntriesResponse::PartialSuccess(_) | AppendEntriesResponse::HigherVote(_) => {}
        }
        Ok(reply)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        async move {
            // Connect only once there is something to send. Otherwise openraft would open streams to a dead follower in a
            // tight loop.
            let Some(first) = input.next().await else { return Ok(stream::empty().boxed()) };
            if self.heartbeats.is_some() {
                // openraft sends each heartbeat as a stream of one request.
                let reply = self.heartbeat(&first).await?;
                return Ok(stream::once(ready(Ok(reply))).boxed());
            }
            let (term, target, acknowledged) = (first.vote.leader_id.term, self.target, Arc::clone(&self.acknowledged));
            let requests = stream::once(async { first }).chain(input).map(|request| append_request(&request));
            let mut client = self.client()?;
            let replies = client.append(requests).await.map_err(|status| rpc_error(&status))?.into_inner();
            let replies = replies.map(move |reply| match reply {
                Ok(reply) => stream_reply(reply)
                    .inspect(|reply| note_reply(target, &acknowledged, term, reply))
                    .ok_or_else(malformed),
                Err(status) => Err(rpc_error(&status)),
            });
            Ok(replies.boxed())
        }
        .boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask_vote(vote_request(&request, false), &option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask_vote(vote_request(&request, true), &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: RaftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        if self.dispute.is_open() {
            // The state in the snapshot may be wrong, and the peer may be the one that decides which state is right.
            return Err(unreachable(&io::Error::other("this node's state differs from another node's")));
        }
        let mut client = self.client()?;
        let parts = snapshot_stream::send(&self.snapshots, &snapshot.snapshot, Some(vote.into()));
        let parts = parts.map_err(|error| unreachable(&error))?;
        // A part that cannot be read ends the stream early. The receiver then finds the snapshot cut short and drops
        // it.
        let parts = parts.take_while(|part| ready(part.is_ok()));
        tokio::select! {
            closed = cancel => Err(closed.into()),
            reply = client.install_snapshot(parts.filter_map(|part| ready(part.ok()))) => {
                let reply = reply.map_err(|status| rpc_error(&status))?.into_inner();
                let vote = reply.vote.ok_or_else(|| unreachable(&io::Error::other("a malformed reply")))?;
                let index = snapshot.meta.last_log_id.map_or(0, |id| id.index);
                tracing::info!(peer = self.target, index, "this node sent a snapshot to a peer");
                Ok(SnapshotResponse::new(vote.into()))
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let mut client = self.client()?;
        let call = client.transfer_leader(transfer_request(&request));
        let reply = self.call(RPCTypes::TransferLeader, &option, call).await?;
        Ok(transfer_reply(reply).map_or(Ok(()), Err::<(), TransferLeaderError<TypeConfig>>))
    }
}

fn note_reply(peer: NodeId, acknowledged: &Acknowledged, term: u64, reply: &StreamAppendResult<TypeConfig>) {
    match reply {
        Ok(upto) => acknowledged.matched(term, upto.as_ref().map(|id| id.index)),
        Err(StreamAppendError::Conflict(at)) => conflict(peer, acknowledged, term, at.index),
        Err(StreamAppendError::HigherVote(_)) => {}
    }
}

fn conflict(peer: NodeId, acknowledged: &Acknowledged, term: u64, index: u64) {
    if let Some(acknowledged) = acknowledged.conflicts(term, index) {
        tracing::warn!(
            peer,
            acknowledged,
            "a peer no longer has entries that it acknowledged: its data folder is an older copy. Stop that node and \
             put back its data folder as it was when it last ran; if that folder is lost, leave the node stopped"
        );
    }
}

fn rpc_error(status: &Status) -> RpcError {
    match status.code() {
        Code::Unavailable | Code::PermissionDenied | Code::FailedPrecondition | Code::Unauthenticated => {
            RPCError::Unreachable(Unreachable::new(status))
        }
        _ => RPCError::Network(NetworkError::new(status)),
    }
}

fn unreachable(error: &io::Error) -> StreamingError<TypeConfig> {
    StreamingError::Unreachable(Unreachable::new(error))
}

fn malformed() -> RpcError {
    RPCError::Network(NetworkError::from_string("a malformed reply"))
}
