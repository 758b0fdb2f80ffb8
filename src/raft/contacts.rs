//! What this node last heard of each peer: whether it answers, and since when it does not, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::trouble::Trouble;
use super::types::NodeId;

/// So many calls in a row must fail before a peer counts as lost: one is lost whenever a node restarts.
const FAILURES: u32 = 2;

/// What this node last heard of each peer.
#[derive(Default)]
pub(super) struct Contacts {
    peers: Mutex<BTreeMap<NodeId, Contact>>,
    acknowledged: Mutex<BTreeMap<NodeId, Arc<Acknowledged>>>,
    missing: ArcSwapOption<Missing>,
    /// The term whose leader handed leadership over; 0 when none did.
    handed_over: AtomicU64,
}

/// A peer that does not answer as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// Why.
    pub trouble: Trouble,
    /// For how long.
    pub since: Duration,
}

/// What changed with a peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Lost(Trouble),
    Back(Duration),
}

#[derive(Default)]
struct Contact {
    trouble: Option<(Trouble, Instant)>,
    failures: u32,
}

/// How far a peer acknowledged entries to this node in one term of its leadership.
#[derive(Default)]
pub(super) struct Acknowledged(Mutex<Progress>);

#[derive(Default)]
struct Progress {
    term: u64,
    index: u64,
    lost: Option<Instant>,
}

/// The leader sends what follows an entry that this node does not have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Missing {
    /// The index of that entry.
    pub index: u64,
    /// Since when.
    pub since: Instant,
}

impl Contacts {
    /// Notes how a call to a peer ended; returns what changed by it.
    pub(super) fn heard(&self, peer: NodeId, outcome: Result<(), Trouble>) -> Option<Change> {
        let mut peers = self.peers.lock();
        let contact = peers.entry(peer).or_default();
        match outcome {
            Ok(()) => {
                let was_lost = std::mem::take(&mut contact.failures) >= FAILURES;
                let trouble = contact.trouble.take();
                trouble.filter(|_| was_lost).map(|(_, since)| Change::Back(since.elapsed()))
            }
            Err(trouble) => {
                contact.failures = contact.failures.saturating_add(1);
                let since = contact.trouble.as_ref().map_or_else(Instant::now, |(_, since)| *since);
                contact.trouble = Some((trouble.clone(), since));
                (contact.failures == FAILURES).then_some(Change::Lost(trouble))
            }
        }
    }

    /// Every peer that does not answer as it should.
    pub(super) fn away(&self) -> BTreeMap<NodeId, Away> {
        let acknowledged = self.acknowledged.lock().clone();
        let lost = acknowledged.iter().filter_map(|(id, acknowledged)| Some((*id, acknowledged.lost()?)));
        let peers = self.peers.lock();
        let away = peers.iter().filter_map(|(id, contact)| {
            let (trouble, since) = contact.trouble.clone()?;
            Some((*id, Away { trouble, since: since.elapsed() }))
        });
        lost.chain(away).collect()
    }

    /// The peers that failed to answer more than once in a row.
    pub(super) fn lost(&self) -> BTreeSet<NodeId> {
        let peers = self.peers.lock();
        peers.iter().filter(|(_, contact)| contact.failures >= FAILURES).map(|(id, _)| *id).collect()
    }

    /// What a peer acknowledges to this node.
    pub(super) fn acknowledged(&self, peer: NodeId) -> Arc<Acknowledged> {
        Arc::clone(self.acknowledged.lock().entry(peer).or_default())
    }

    /// The leader sent what follows an entry that this node does not have.
    pub(super) fn entry_missing(&self, index: u64) {
        let known = self.missing.load();
        if known.as_ref().is_none_or(|known| known.index != index) {
            let since = known.as_ref().map_or_else(Instant::now, |known| known.since);
            self.missing.store(Some(Arc::new(Missing { index, since })));
        }
    }

    /// The leader sent what follows this node's log.
    pub(super) fn entries_follow(&self) {
        if self.missing.load().is_some() {
            self.missing.store(None);
        }
    }

    /// The entry that this node lacks although the leader goes on from it.
    pub(super) fn missing(&self) -> Option<Missing> {
        self.missing.load().as_deref().copied()
    }

    /// The leader of this term hands leadership over.
    pub(super) fn hands_over(&self, term: u64) {
        self.handed_over.fetch_max(term, Ordering::Relaxed);
    }

    /// Whether the leader of this term handed leadership over.
    pub(super) fn handed_over(&self, term: u64) -> bool {
        self.handed_over.load(Ordering::Relaxed) == term
    }
}

impl Acknowledged {
    /// The peer has this entry, and those before it.
    pub(super) fn matched(&self, term: u64, index: Option<u64>) {
        let mut progress = self.0.lock();
        if progress.term != term {
            *progress = Progress { term, ..Progress::default() };
        }
        progress.index = progress.index.max(index.unwrap_or(0));
        progress.lost = None;
    }

    /// The peer does not have this entry. Returns the last index that it acknowledged, when it turns out by this that
    /// it no longer has what it acknowledged.
    pub(super) fn conflicts(&self, term: u64, index: u64) -> Option<u64> {
        let mut progress = self.0.lock();
        let lost = progress.term == term && index <= progress.index && progress.index > 0;
        if !lost || progress.lost.is_some() {
            return None;
        }
        progress.lost = Some(Instant::now());
        Some(progress.index)
    }

    /// What is wrong when the peer no longer has what it acknowledged.
    fn lost(&self) -> Option<Away> {
        let progress = self.0.lock();
        let since = progress.lost?.elapsed();
        Some(Away { trouble: Trouble::LostEntries { acknowledged: progress.index }, since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_lost_and_back_once_each() {
        let contacts = Contacts::default();
        let refused = || Err(Trouble::ConnectionRefused);
        assert_eq!(contacts.heard(2, Ok(())), None);
        assert_eq!(contacts.heard(2, refused()), None, "one failure is a restart");
        assert_eq!(contacts.heard(2, refused()), Some(Change::Lost(Trouble::ConnectionRefused)));
        assert_eq!(contacts.heard(2, Err(Trouble::TimedOut)), None);
        assert_eq!(contacts.away()[&2].trouble, Trouble::TimedOut, "the newest reason counts");
        assert!(matches!(contacts.heard(2, Ok(())), Some(Change::Back(_))));
        assert_eq!((contacts.heard(2, Ok(())), contacts.away().len()), (None, 0));
    }

    #[test]
    fn a_peer_that_lacks_what_it_acknowledged_has_lost_entries_until_it_has_them_again() {
        let contacts = Contacts::default();
        let peer = contacts.acknowledged(3);
        assert_eq!(peer.conflicts(1, 5), None);
        assert!(contacts.away().is_empty(), "a new leader searches where a peer's log ends");
        peer.matched(1, Some(5));
        assert_eq!(peer.conflicts(1, 6), None);
        assert!(contacts.away().is_empty());
        assert_eq!((peer.conflicts(1, 5), peer.conflicts(1, 5)), (Some(5), None), "it is news once");
        assert_eq!(contacts.away()[&3].trouble, Trouble::LostEntries { acknowledged: 5 });
        peer.matched(1, Some(2));
        assert!(contacts.away().is_empty());
        assert_eq!(peer.conflicts(2, 5), None);
        assert!(contacts.away().is_empty(), "entries that were not committed may go in a later term");
    }
}
