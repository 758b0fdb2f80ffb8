//! The starts of this node and of its peers: by them a node notices that its data folder is an older copy.
//!
//! Each start of a node has the next number and a random id. Both are durable before the node names the start to a peer.
//! At the beginning of a connection each node names its own start, and the newest start that it noted of the other. If the
//! other one does not know that start as its own, its folder is from before that start, or a copy of the folder was used
//! since.
//!
//! This is a value. The code that owns it makes each change durable before it answers a peer.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::{StoreId, wire};

/// How many of its own newest starts a node remembers. It believes a peer that noted an older one.
const KEPT: usize = 64;
/// How many stores that do not belong to a member the node remembers.
const KEPT_STRANGERS: usize = 64;

/// One start of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StartId {
    /// It counts up from 1.
    pub number: u64,
    /// Random, so that two copies of one folder have different starts of the same number.
    pub random: [u8; 16],
}

/// A start of another node that a node noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotedStart {
    /// The start.
    pub start: StartId,
    /// When the node noted it, in Unix seconds.
    pub at: u64,
}

/// What a node remembers of its own starts and of those of its peers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartHistory {
    /// Oldest first, with consecutive numbers.
    own: Vec<StartId>,
    /// Whether the node may have named the last one to a peer.
    spoken: bool,
    /// The newest start that this node noted of each peer.
    peers: BTreeMap<StoreId, NotedStart>,
}

/// What noting the start of a peer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noting {
    /// The history has this start already.
    Known,
    /// The history has changed, and must become durable.
    Changed,
    /// This node has noted another start of the peer since it said which one it had noted, or a newer one. Nothing has
    /// changed.
    Superseded,
}

impl StartHistory {
    /// Begins a start. It takes the place of the last one if that was never named to a peer.
    pub fn begin(&mut self, random: [u8; 16]) -> StartId {
        if !self.spoken {
            self.own.pop();
        }
        let number = self.own.last().map_or(1, |last| last.number + 1);
        let start = StartId { number, random };
        self.own.push(start);
        self.own.drain(..self.own.len().saturating_sub(KEPT));
        self.spoken = false;
        start
    }

    /// The start that began last. `None` before the first.
    pub fn current(&self) -> Option<StartId> {
        self.own.last().copied()
    }

    /// Notes that the node will name the current start to a peer. Returns whether that is new, and must become durable
    /// first.
    pub fn speak(&mut self) -> bool {
        !self.own.is_empty() && !std::mem::replace(&mut self.spoken, true)
    }

    /// Whether a peer may have heard of the current start.
    pub fn has_spoken(&self) -> bool {
        self.spoken
    }

    /// Whether this folder is an older copy, or a copy of it was used, because a peer noted this start of it. The node
    /// believes a peer that noted a start from before the ones that it remembers.
    pub fn is_copy(&self, noted: StartId) -> bool {
        let (Some(oldest), Some(current)) = (self.own.first(), self.own.last()) else { return true };
        let of_same_number = self.own.iter().find(|start| start.number == noted.number);
        noted.number > current.number || (noted.number >= oldest.number && of_same_number != Some(&noted))
    }

    /// The newest start that this node noted of the node with this store.
    pub fn noted_of(&self, peer: StoreId) -> Option<NotedStart> {
        self.peers.get(&peer).copied()
    }

    /// Notes the start of the node with this store. `said` is what this node said before, on the same connection, which
    /// start it had noted. If that is no longer so, another connection was faster, and this one must not override it.
    pub fn note(&mut self, peer: StoreId, start: StartId, said: Option<StartId>, now: u64) -> Noting {
        let noted = self.noted_of(peer).map(|noted| noted.start);
        if noted == Some(start) {
            return Noting::Known;
        }
        if noted != said || noted.is_some_and(|noted| noted.number >= start.number) {
            return Noting::Superseded;
        }
        self.peers.insert(peer, NotedStart { start, at: now });
        Noting::Changed
    }

    /// Forgets the stores that do not belong to a member, except for those that it noted last.
    pub fn forget_strangers(&mut self, is_member: impl Fn(StoreId) -> bool) {
        let strangers = self.peers.iter().filter(|(store, _)| !is_member(**store));
        let mut strangers: Vec<_> = strangers.map(|(store, noted)| (noted.at, *store)).collect();
        strangers.sort_unstable();
        for (_, store) in strangers.iter().rev().skip(KEPT_STRANGERS) {
            self.peers.remove(store);
        }
    }

    /// The message that the node record holds.
    pub fn to_wire(&self) -> wire::StartHistory {
        let own = self.own.iter().map(|start| (*start).into());
        let peers = self.peers.iter().map(|(store, noted)| wire::PeerStart {
            store_id: Bytes::copy_from_slice(&store.0),
            start: Some(noted.start.into()),
            noted_at_s: noted.at,
        });
        wire::StartHistory { own: own.collect(), spoken: self.spoken, peers: peers.collect() }
    }

    /// Reads that message. `None` when something in it is damaged.
    pub fn from_wire(wire: &wire::StartHistory) -> Option<Self> {
        let own: Vec<_> = wire.own.iter().map(StartId::from_wire).collect::<Option<_>>()?;
        let peers = wire.peers.iter().map(|peer| {
            let start = StartId::from_wire(peer.start.as_ref()?)?;
            Some((StoreId(peer.store_id.as_ref().try_into().ok()?), NotedStart { start, at: peer.noted_at_s }))
        });
        let consecutive = own.windows(2).all(|pair| pair[0].number.checked_add(1) == Some(pair[1].number));
        let history = Self { own, spoken: wire.spoken, peers: peers.collect::<Option<_>>()? };
        consecutive.then_some(history)
    }
}

impl StartId {
    fn from_wire(wire: &wire::NodeStart) -> Option<Self> {
        Some(Self { number: wire.number, random: wire.random.as_ref().try_into().ok()? })
    }
}

impl From<StartId> for wire::NodeStart {
    fn from(start: StartId) -> Self {
        Self { number: start.number, random: Bytes::copy_from_slice(&start.random) }
    }
}

impl fmt::Debug for StartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StartId({self})")
    }
}

impl fmt::Display for StartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, hex::encode(&self.random[..4]))
    }
}

#[cfg(test)]
mod tests;
