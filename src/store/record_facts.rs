//! What the node record holds, and its encoded form.

use bytes::Bytes;
use prost::Message;

use super::chain::Anchor;
use super::log_types::{LogId, Vote};
use super::starts::StartHistory;
use super::wire;

/// What the node record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordFacts {
    /// The last vote.
    pub vote: Option<Vote>,
    /// The last position that the node knows to be committed. The log need not be durable up to there.
    pub committed: Option<LogId>,
    /// The last position up to which the log was flushed, and that was not removed since.
    pub flushed: Option<LogId>,
    /// Where the chain of the log begins.
    pub anchor: Anchor,
    /// The starts of this node and of its peers.
    pub starts: StartHistory,
}

impl RecordFacts {
    /// The facts of a node that has done nothing yet.
    pub fn new(anchor: Anchor) -> Self {
        Self { vote: None, committed: None, flushed: None, anchor, starts: StartHistory::default() }
    }

    /// Whether the node has neither voted nor written to its log. It may have begun to start.
    pub fn are_unused(&self) -> bool {
        self.vote.is_none() && self.committed.is_none() && self.flushed.is_none() && self.anchor.position.is_none()
    }

    /// The committed position, but no further than the log is durable: after a power cut the log must reach it.
    pub fn durably_committed(&self) -> Option<LogId> {
        // The log has all three positions, or had them, so the lower one is committed, too.
        self.committed.min(self.flushed.max(self.anchor.position))
    }

    /// The body of a slot whose tag this version of the integrity keys makes.
    pub fn encode(&self, key_version: u32) -> Vec<u8> {
        let vote =
            self.vote.map(|vote| wire::NotedVote { term: vote.term, node: vote.node, committed: vote.committed });
        let anchor = wire::ChainAnchor {
            key_version: self.anchor.key_version,
            position: self.anchor.position.map(Into::into),
            tag: Bytes::copy_from_slice(&self.anchor.tag),
        };
        wire::TaggedRecord {
            key_version,
            vote,
            flushed: self.flushed.map(Into::into),
            committed: self.durably_committed().map(Into::into),
            anchor: Some(anchor),
            starts: Some(self.starts.to_wire()),
        }
        .encode_to_vec()
    }

    /// Reads a body. `None` when it lacks something that every node writes.
    pub fn from_wire(wire: wire::TaggedRecord) -> Option<Self> {
        let anchor = wire.anchor?;
        Some(Self {
            vote: wire.vote.map(|vote| Vote { term: vote.term, node: vote.node, committed: vote.committed }),
            committed: wire.committed.map(Into::into),
            flushed: wire.flushed.map(Into::into),
            anchor: Anchor {
                position: anchor.position.map(Into::into),
                tag: anchor.tag.as_ref().try_into().ok()?,
                key_version: anchor.key_version,
            },
            starts: StartHistory::from_wire(&wire.starts?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u64) -> LogId {
        LogId { term: 1, node: 1, index }
    }

    #[test]
    fn facts_round_trip_and_never_claim_more_committed_than_the_log_holds() {
        let anchor = Anchor { position: Some(id(3)), tag: [7; 16], key_version: 2 };
        let facts = RecordFacts {
            vote: Some(Vote { term: 4, node: 2, committed: true }),
            committed: Some(id(9)),
            flushed: Some(id(8)),
            ..RecordFacts::new(anchor)
        };
        let read = wire::TaggedRecord::decode(&facts.encode(5)[..]).unwrap();
        assert_eq!(read.key_version, 5);
        assert_eq!(RecordFacts::from_wire(read), Some(RecordFacts { committed: Some(id(8)), ..facts.clone() }));
        let unflushed = RecordFacts { flushed: None, ..facts };
        assert_eq!(unflushed.durably_committed(), Some(id(3)), "a purged entry was durable elsewhere");
    }
}
