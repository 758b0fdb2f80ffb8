//! What the node record holds, and its encoded form.

use bytes::Bytes;
use prost::Message;

use super::chain::Anchor;
use super::doubt::Doubt;
use super::log_types::{LogId, Vote};
use super::starts::StartHistory;
use super::wire;

/// How far the log goes. The record on the disk may be a little older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogProgress {
    flushed: Option<LogId>,
    committed: Option<LogId>,
}

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
    /// Present from the moment at which the node finds that its log lost entries, until it has caught up.
    pub doubt: Option<Doubt>,
}

impl RecordFacts {
    /// The facts of a node that has done nothing yet.
    pub fn new(anchor: Anchor) -> Self {
        Self { vote: None, committed: None, flushed: None, anchor, starts: StartHistory::default(), doubt: None }
    }

    /// Whether the node has neither voted nor written to its log. It may have begun to start.
    pub fn are_unused(&self) -> bool {
        let positions = [self.committed, self.flushed, self.anchor.position];
        self.vote.is_none() && positions.iter().all(Option::is_none) && self.doubt.is_none()
    }

    /// How far the log is flushed and durably committed.
    pub fn progress(&self) -> LogProgress {
        LogProgress { flushed: self.flushed, committed: self.durably_committed() }
    }

    /// Notes how far a flush has made the log durable. Flushes end in order, and a truncation waits for them. So the note of
    /// the last one counts, unless it comes from before the anchor moved on.
    pub fn note_flushed(&mut self, flushed: Option<LogId>) {
        // Behind the anchor, an entry of an earlier term can follow one of a later term that a snapshot has replaced. So
        // only the index says which of two positions is further.
        if index_of(flushed) >= index_of(self.flushed) {
            self.flushed = flushed;
        }
    }

    /// Notes that the log loses the entries after `last`. Returns whether that changed something.
    pub fn lower_flushed(&mut self, last: Option<LogId>) -> bool {
        let lower = index_of(self.flushed) > index_of(last);
        if lower {
            self.flushed = last;
        }
        lower
    }

    /// Notes that the log lost entries. What the node noted of its end no longer holds.
    pub fn enter_doubt(&mut self) {
        let flushed = self.flushed.take().max(self.doubt.and_then(|doubt| doubt.flushed));
        self.committed = None;
        self.doubt = Some(Doubt { flushed });
    }

    /// Whether the node had more in its log than these facts say, because its log has this entry: then the facts are from an
    /// earlier moment, and the vote may be an older one.
    pub fn are_older_than(&self, entry: LogId) -> bool {
        let leader = |id: LogId| (id.term, id.node);
        // The node saves a vote before it takes an entry of that leader. The first entry needs no vote.
        let voted = self.vote.map_or(entry.term == 0, |vote| leader(entry) <= (vote.term, vote.node));
        // Along a log, leaders never become older.
        let follows = |noted: LogId| entry.index <= noted.index && leader(entry) > leader(noted);
        let is_kept = Some(entry.index) > index_of(self.anchor.position);
        !voted || (is_kept && [self.flushed, self.committed].into_iter().flatten().any(follows))
    }

    /// Ends the doubt if everything up to this index is committed, and the log is durable up to there. Returns whether that
    /// changed something.
    pub fn end_doubt(&mut self, bar: u64) -> bool {
        // A node purges committed entries only.
        let reached = index_of(self.durably_committed()).max(index_of(self.anchor.position));
        let ends = self.doubt.is_some() && reached >= Some(bar);
        if ends {
            self.doubt = None;
        }
        ends
    }

    /// Moves the anchor. Returns whether that changed something.
    pub fn move_anchor(&mut self, anchor: Anchor) -> bool {
        std::mem::replace(&mut self.anchor, anchor) != anchor
    }

    /// The position that a log must have which begins after `purged`, because it was flushed up to there. `None` if it need
    /// not have any.
    pub fn flushed_after(&self, purged: Option<LogId>) -> Option<LogId> {
        self.flushed.filter(|flushed| Some(flushed.index) > index_of(purged))
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
            doubt: self.doubt.map(|doubt| wire::LogDoubt { flushed: doubt.flushed.map(Into::into) }),
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
            doubt: wire.doubt.map(|doubt| Doubt { flushed: doubt.flushed.map(Into::into) }),
        })
    }
}

fn index_of(position: Option<LogId>) -> Option<u64> {
    position.map(|id| id.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u64) -> LogId {
        LogId { term: 1, node: 1, index }
    }

    /// A snapshot can end with an entry of an earlier term than what it replaces.
    #[test]
    fn a_flush_behind_a_new_anchor_counts_although_the_log_had_a_later_term() {
        let later = |index| LogId { term: 9, ..id(index) };
        let mut facts = RecordFacts::new(Anchor { position: None, tag: [7; 16], key_version: 1 });
        facts.note_flushed(Some(later(5)));
        assert!(facts.move_anchor(Anchor { position: Some(id(20)), ..facts.anchor }));
        facts.note_flushed(Some(later(6)));
        facts.note_flushed(Some(id(21)));
        assert_eq!(facts.flushed_after(facts.anchor.position), Some(id(21)));
        assert!(!facts.lower_flushed(Some(id(21))) && facts.lower_flushed(Some(id(20))));
        assert_eq!(facts.flushed, Some(id(20)));
    }

    /// Such facts may have an older vote, so the node must not go on with them.
    #[test]
    fn an_entry_that_these_facts_could_not_know_shows_that_they_are_older_than_the_log() {
        let of = |term, node, index| LogId { term, node, index };
        let vote = Some(Vote { term: 7, node: 2, committed: true });
        let new = RecordFacts::new(Anchor { position: Some(id(3)), tag: [7; 16], key_version: 1 });
        let facts = RecordFacts { vote, flushed: Some(of(5, 2, 70)), ..new.clone() };
        assert!([of(5, 2, 70), of(4, 3, 60), of(7, 2, 71)].iter().all(|entry| !facts.are_older_than(*entry)));
        assert!(facts.are_older_than(of(8, 1, 71)), "it took an entry without a vote for that leader");
        assert!(facts.are_older_than(of(7, 3, 71)));
        assert!(facts.are_older_than(of(7, 2, 61)), "a later leader cut the log off since");
        assert!(!facts.are_older_than(of(7, 2, 2)), "it is purged");
        assert!(
            !new.are_older_than(of(0, 1, 0)) && new.are_older_than(of(1, 1, 4)),
            "only the first entry needs no vote"
        );
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
        assert_eq!(facts.flushed_after(Some(id(7))), Some(id(8)));
        assert_eq!(facts.flushed_after(Some(id(8))), None, "a snapshot has what the log had");
        let unflushed = RecordFacts { flushed: None, ..facts };
        assert_eq!(unflushed.durably_committed(), Some(id(3)), "a purged entry was durable elsewhere");
    }
}
