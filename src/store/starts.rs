//! The starts of this node and of its peers: by them a node notices that its data folder is an older copy.
//!
//! Each start of a node has a random id, which is durable before the node names it to a peer. At the beginning of a
//! connection each node names its own start, and the newest start that it noted of the other. A node whose history lacks
//! what the other one noted runs on a folder from before that start.
//!
//! This is a value. `raft` makes each change of it durable in the node record before it answers a peer.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::{StoreId, wire};

/// How many of its own newest starts a node remembers in any case.
const KEPT: usize = 512;

/// The random id of one start of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StartId(pub [u8; 16]);

/// What a node remembers of its own starts and of those of its peers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartHistory {
    /// Oldest first.
    own: Vec<OwnStart>,
    peers: BTreeMap<StoreId, PeerStarts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OwnStart {
    id: StartId,
    /// Whether the node may have named it to a peer.
    spoken: bool,
}

/// What this node and the node with another store know of each other's starts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PeerStarts {
    /// The newest start of the peer that this node noted.
    newest: StartId,
    /// The starts of this node of which one is the newest that the peer noted: the one that it named last, and the one
    /// that this node has named to it since.
    noted_by_peer: Vec<StartId>,
}

/// What two nodes said about their starts when one connected to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartsSaid {
    /// The start of the peer.
    pub start: StartId,
    /// The newest start of the peer that this node had noted, as it said.
    pub noted_here: Option<StartId>,
    /// The newest start of this node that the peer had noted, as it said.
    pub noted_there: Option<StartId>,
}

/// What noting the start of a peer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noting {
    /// The history says it already.
    Known,
    /// The history has changed, and must become durable.
    Changed,
    /// This node has noted another start of the peer since it said which one it had noted. Nothing has changed.
    Superseded,
    /// The peer noted a start of this node that the history lacks, so this is an older copy. Nothing has changed.
    OlderCopy,
}

impl StartHistory {
    /// Begins a start. It takes the place of the last one if that was never named to a peer.
    pub fn begin(&mut self, id: StartId) {
        self.own.pop_if(|last| !last.spoken);
        self.own.push(OwnStart { id, spoken: false });
        let beyond = self.own.len().saturating_sub(KEPT);
        let noted: Vec<StartId> = self.peers.values().flat_map(|peer| &peer.noted_by_peer).copied().collect();
        let mut position = 0;
        self.own.retain(|start| {
            position += 1;
            position > beyond || noted.contains(&start.id)
        });
    }

    /// The start that began last. `None` before the first.
    pub fn current(&self) -> Option<StartId> {
        self.own.last().map(|start| start.id)
    }

    /// Notes that the node will name the current start to a peer. Returns whether that is new, and must become durable
    /// first.
    pub fn speak(&mut self) -> bool {
        self.own.last_mut().is_some_and(|current| !std::mem::replace(&mut current.spoken, true))
    }

    /// Whether a peer may have heard of the current start.
    pub fn has_spoken(&self) -> bool {
        self.own.last().is_some_and(|current| current.spoken)
    }

    /// Whether the node remembers this start as its own and named it to peers.
    pub fn knows(&self, id: StartId) -> bool {
        self.own.iter().any(|start| start.id == id && start.spoken)
    }

    /// The newest start that this node noted of the node with this store.
    pub fn noted_of(&self, peer: StoreId) -> Option<StartId> {
        self.peers.get(&peer).map(|starts| starts.newest)
    }

    /// Notes what the node with this store said. It compares first: a start counts only if this node has noted no other
    /// one since it said which one it had noted. So a connection that was slow never overrides a newer one.
    pub fn note(&mut self, peer: StoreId, said: StartsSaid) -> Noting {
        if said.noted_there.is_some_and(|noted| !self.knows(noted)) {
            return Noting::OlderCopy;
        }
        let noted = self.noted_of(peer);
        if noted != Some(said.start) && noted != said.noted_here {
            return Noting::Superseded;
        }
        let mut noted_by_peer: Vec<StartId> = said.noted_there.into_iter().chain(self.current()).collect();
        noted_by_peer.dedup();
        let starts = PeerStarts { newest: said.start, noted_by_peer };
        if self.peers.get(&peer) == Some(&starts) {
            return Noting::Known;
        }
        self.peers.insert(peer, starts);
        Noting::Changed
    }

    /// The message that the node record holds.
    pub fn to_wire(&self) -> wire::StartHistory {
        let bytes = |id: &StartId| Bytes::copy_from_slice(&id.0);
        let own = self.own.iter().map(|start| wire::NodeStart { id: bytes(&start.id), spoken: start.spoken });
        let peers = self.peers.iter().map(|(store, starts)| wire::PeerStarts {
            store_id: Bytes::copy_from_slice(&store.0),
            newest: bytes(&starts.newest),
            noted_by_peer: starts.noted_by_peer.iter().map(bytes).collect(),
        });
        wire::StartHistory { own: own.collect(), peers: peers.collect() }
    }

    /// Reads that message. `None` when an id in it is damaged.
    pub fn from_wire(wire: &wire::StartHistory) -> Option<Self> {
        let own = wire.own.iter().map(|start| Some(OwnStart { id: start_id(&start.id)?, spoken: start.spoken }));
        let peers = wire.peers.iter().map(|starts| {
            let noted_by_peer = starts.noted_by_peer.iter().map(start_id).collect::<Option<_>>()?;
            let store = StoreId(starts.store_id.as_ref().try_into().ok()?);
            Some((store, PeerStarts { newest: start_id(&starts.newest)?, noted_by_peer }))
        });
        Some(Self { own: own.collect::<Option<_>>()?, peers: peers.collect::<Option<_>>()? })
    }
}

fn start_id(bytes: &Bytes) -> Option<StartId> {
    bytes.as_ref().try_into().ok().map(StartId)
}

impl fmt::Debug for StartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StartId({})", hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests;
