//! The state of the cluster as this node sees it.

use std::time::Duration;

use openraft::Instant;

use super::peers::contacts::Away;
use super::peers::links::Links;
use super::preface::content::NodeVersion;
use super::protocol::types::{Member, NodeId, TypeConfig};
use crate::store::Progress;

/// The cluster as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftStatus {
    /// The id of this node.
    pub id: NodeId,
    /// The version that this node runs.
    pub version: NodeVersion,
    /// The active feature level, or `None` before the cluster's first command.
    pub level: Option<u32>,
    /// The leader, if this node knows it.
    pub leader: Option<NodeId>,
    /// The current term.
    pub term: u64,
    /// The index of the last entry in the log.
    pub last: u64,
    /// The index of the last entry that this node knows to be committed.
    pub committed: u64,
    /// The index of the last entry that this node has applied.
    pub applied: u64,
    /// The digest of the state at `applied`, in hexadecimal.
    pub digest: String,
    /// How many commands this node could not read, or found invalid, since it started.
    pub malformed: u64,
    /// Whether the log of this node lost entries, and the node has yet to catch up.
    pub in_doubt: bool,
    /// Every member, by id.
    pub members: Vec<RaftMemberStatus>,
}

/// A member as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftMemberStatus {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// `leader`, `follower` or `learner`.
    pub role: &'static str,
    /// The version that it last said it runs. `None` before the first connection with it.
    pub version: Option<NodeVersion>,
    /// `host:port` of its API.
    pub api_address: String,
    /// `host:port` of its peer listener.
    pub peer_address: String,
    /// How many log entries it lacks. Only the leader knows.
    pub lag: Option<u64>,
    /// How long ago it last answered the leader. Only the leader knows, except about itself.
    pub heard: Option<Duration>,
    /// Whether its disk lacks room, as far as this node knows. Only the leader knows it of others.
    pub lacks_room: bool,
    /// Why it does not work with this node, if so.
    pub away: Option<Away>,
}

impl RaftStatus {
    /// openraft goes on naming the last leader, or this node, when no other node answers. So the leader counts as known
    /// only under a lease.
    pub(super) fn of(
        metrics: &openraft::RaftMetrics<TypeConfig>,
        progress: &Progress,
        links: &Links,
        level: Option<u32>,
        has_lease: bool,
        lacks_room: bool,
    ) -> Self {
        let leader = metrics.current_leader.filter(|_| has_lease);
        let last = metrics.last_log_index.unwrap_or(0);
        Self {
            id: metrics.id,
            version: NodeVersion::own(),
            level,
            leader,
            term: metrics.current_term,
            last,
            committed: metrics.local_committed.map_or(0, |id| id.index),
            applied: progress.index(),
            digest: progress.digest.to_string(),
            malformed: progress.malformed,
            in_doubt: links.contacts().in_doubt().contains(&metrics.id),
            members: members(metrics, leader, last, links, lacks_room),
        }
    }
}

fn members(
    metrics: &openraft::RaftMetrics<TypeConfig>,
    leader: Option<NodeId>,
    last: u64,
    links: &Links,
    lacks_room: bool,
) -> Vec<RaftMemberStatus> {
    let rooms = links.contacts().rooms();
    let lacks = |id| if id == metrics.id { lacks_room } else { metrics.replication.is_some() && rooms.lacks(id) };
    let away = links.contacts().away();
    let version = |id, member: &Member| {
        if id == metrics.id { Some(NodeVersion::own()) } else { links.versions().of(member.key) }
    };
    let voters: Vec<NodeId> = metrics.membership_config.voter_ids().collect();
    let lag = |id: NodeId| {
        let held = metrics.replication.as_ref()?.get(&id)?;
        Some(last.saturating_sub(held.as_ref().map_or(0, |held| held.index)))
    };
    let heard = |id: NodeId| Some(metrics.heartbeat.as_ref()?.get(&id)?.as_ref()?.elapsed());
    let role = |id| match () {
        () if leader == Some(id) => "leader",
        () if voters.contains(&id) => "follower",
        () => "learner",
    };
    let members = metrics.membership_config.nodes().map(|(id, member)| RaftMemberStatus {
        id: *id,
        name: member.name.clone(),
        role: role(*id),
        version: version(*id, member),
        api_address: member.api_address.clone(),
        peer_address: member.peer_address.clone(),
        lag: if leader == Some(*id) { lag(*id).map(|_| 0) } else { lag(*id) },
        heard: heard(*id).filter(|_| *id != metrics.id),
        lacks_room: lacks(*id),
        away: away.get(id).cloned(),
    });
    members.collect()
}
