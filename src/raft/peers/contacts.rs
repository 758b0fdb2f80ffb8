//! What this node last heard of each peer: whether it answers and, if not, why and since when.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::Discriminant;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::rooms::Rooms;
use super::trouble::PeerTrouble;
use crate::raft::protocol::types::NodeId;

/// How long calls must fail before a peer counts as lost. Some calls fail whenever a node restarts.
const PATIENCE: Duration = Duration::from_secs(1);

/// What this node last heard of each peer.
#[derive(Default)]
pub(in crate::raft) struct Contacts {
    peers: Mutex<BTreeMap<NodeId, Contact>>,
    acknowledged: Mutex<BTreeMap<NodeId, Arc<Acknowledged>>>,
    rooms: Rooms,
    missing: ArcSwapOption<Missing>,
    /// The nodes whose logs lost entries and that have yet to catch up.
    in_doubt: Mutex<BTreeSet<NodeId>>,
    /// The last term whose leader handed leadership over; 0 before the first.
    handed_over: AtomicU64,
    /// The last term whose leader sent something to this node since it started.
    followed: AtomicU64,
    /// When this node last took a heartbeat: nanoseconds of `CLOCK_BOOTTIME`; 0 before the first.
    heartbeat_ns: AtomicI64,
}

/// Why a peer does not work with this node, and for how long it has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// The reason.
    pub trouble: PeerTrouble,
    /// How long that has lasted.
    pub since: Duration,
}

/// What changed with a peer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::raft) enum ContactChange {
    Lost(PeerTrouble),
    /// It is still lost, but for a reason of another kind, about which a person must do something.
    OtherReason(PeerTrouble),
    Back(Duration),
}

#[derive(Default)]
struct Contact {
    trouble: Option<(PeerTrouble, Instant)>,
    /// The kinds of reasons that were reported since the peer was lost. Empty while it is not lost.
    reported: Vec<Discriminant<PeerTrouble>>,
}

/// How far a peer acknowledged entries to this node in one term of its leadership.
#[derive(Default)]
pub(in crate::raft) struct Acknowledged(Mutex<AcknowledgedUpTo>);

#[derive(Default)]
struct AcknowledgedUpTo {
    term: u64,
    index: u64,
    /// Since when the peer has lacked an entry that it acknowledged.
    lost: Option<Instant>,
}

/// The entry that this node lacks while the leader sends the ones after it.
#[derive(Debug, Clone, Copy)]
pub(in crate::raft) struct Missing {
    /// Its index.
    pub index: u64,
    /// Since when the leader has sent the ones after it.
    pub since: Instant,
}

impl Contact {
    /// What to report about a peer that has not worked with this node for this long. Each kind of reason is news once.
    fn report(&mut self, trouble: PeerTrouble, lasted: Duration) -> Option<ContactChange> {
        let kind = std::mem::discriminant(&trouble);
        if self.reported.is_empty() {
            return (lasted >= PATIENCE).then(|| {
                self.reported.push(kind);
                ContactChange::Lost(trouble)
            });
        }
        (trouble.needs_a_person() && !self.reported.contains(&kind)).then(|| {
            self.reported.push(kind);
            ContactChange::OtherReason(trouble)
        })
    }
}

impl Contacts {
    /// Notes how a call to a peer ended at this time. Returns what this changed.
    pub(in crate::raft) fn heard(
        &self,
        peer: NodeId,
        outcome: Result<(), PeerTrouble>,
        now: Instant,
    ) -> Option<ContactChange> {
        let mut peers = self.peers.lock();
        let contact = peers.entry(peer).or_default();
        match outcome {
            Ok(()) => {
                let was_lost = !std::mem::take(&mut contact.reported).is_empty();
                let trouble = contact.trouble.take();
                trouble.filter(|_| was_lost).map(|(_, since)| ContactChange::Back(now.saturating_duration_since(since)))
            }
            Err(trouble) => {
                let since = contact.trouble.as_ref().map_or(now, |(_, since)| *since);
                contact.trouble = Some((trouble.clone(), since));
                contact.report(trouble, now.saturating_duration_since(since))
            }
        }
    }

    /// Every peer that does not work with this node, with the reason.
    pub(in crate::raft) fn away(&self) -> BTreeMap<NodeId, Away> {
        let acknowledged = self.acknowledged.lock().clone();
        let lost = acknowledged.iter().filter_map(|(id, acknowledged)| Some((*id, acknowledged.lost()?)));
        let peers = self.peers.lock();
        let away = peers.iter().filter_map(|(id, contact)| {
            let (trouble, since) = contact.trouble.clone()?;
            Some((*id, Away { trouble, since: since.elapsed() }))
        });
        lost.chain(away).collect()
    }

    /// The peers to which calls have failed for longer than a restart takes.
    pub(in crate::raft) fn lost(&self) -> BTreeSet<NodeId> {
        let peers = self.peers.lock();
        peers.iter().filter(|(_, contact)| !contact.reported.is_empty()).map(|(id, _)| *id).collect()
    }

    /// Notes whether the log of a node is in doubt, this one included. Returns whether that changed.
    pub(in crate::raft) fn note_doubt(&self, node: NodeId, is_in_doubt: bool) -> bool {
        let mut in_doubt = self.in_doubt.lock();
        if is_in_doubt { in_doubt.insert(node) } else { in_doubt.remove(&node) }
    }

    /// The nodes whose logs are in doubt, as far as this one knows.
    pub(in crate::raft) fn in_doubt(&self) -> BTreeSet<NodeId> {
        self.in_doubt.lock().clone()
    }

    /// Whether the last call to this peer failed.
    pub(in crate::raft) fn failed(&self, peer: NodeId) -> bool {
        self.peers.lock().get(&peer).is_some_and(|contact| contact.trouble.is_some())
    }

    /// Which peers lack room on their disks.
    pub(in crate::raft) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// How far a peer has acknowledged entries to this node.
    pub(in crate::raft) fn acknowledged(&self, peer: NodeId) -> Arc<Acknowledged> {
        Arc::clone(self.acknowledged.lock().entry(peer).or_default())
    }

    /// Notes that the leader sent entries after the one at this index, which this node lacks.
    pub(in crate::raft) fn entry_missing(&self, index: u64) {
        let known = self.missing.load();
        if known.as_ref().is_none_or(|known| known.index != index) {
            let since = known.as_ref().map_or_else(Instant::now, |known| known.since);
            self.missing.store(Some(Arc::new(Missing { index, since })));
        }
    }

    /// Notes that the leader sent the entries after the end of this node's log.
    pub(in crate::raft) fn entries_follow(&self) {
        if self.missing.load().is_some() {
            self.missing.store(None);
        }
    }

    /// The entry that this node lacks while the leader sends the ones after it.
    pub(in crate::raft) fn missing(&self) -> Option<Missing> {
        self.missing.load().as_deref().copied()
    }

    /// Notes that the leader of this term sent something to this node.
    pub(in crate::raft) fn follows(&self, term: u64) {
        // This runs for every batch of entries. Most find the term noted, and a load costs less than `fetch_max`.
        if self.followed.load(Ordering::Relaxed) < term {
            self.followed.fetch_max(term, Ordering::Relaxed);
        }
    }

    /// Whether the leader of this term, or of a later one, sent something to this node since it started.
    pub(in crate::raft) fn has_followed(&self, term: u64) -> bool {
        self.followed.load(Ordering::Relaxed) >= term
    }

    /// Notes that this node took a heartbeat of its leader at this time, in nanoseconds of `CLOCK_BOOTTIME`.
    pub(in crate::raft) fn hears_leader(&self, now_ns: i64) {
        self.heartbeat_ns.fetch_max(now_ns, Ordering::Relaxed);
    }

    /// When this node last took a heartbeat: nanoseconds of `CLOCK_BOOTTIME`; 0 before the first.
    pub(in crate::raft) fn heard_leader_ns(&self) -> i64 {
        self.heartbeat_ns.load(Ordering::Relaxed)
    }

    /// Notes that the leader of this term hands leadership over.
    pub(in crate::raft) fn hands_over(&self, term: u64) {
        self.handed_over.fetch_max(term, Ordering::Relaxed);
    }

    /// Whether the leader of this term handed leadership over.
    pub(in crate::raft) fn handed_over(&self, term: u64) -> bool {
        self.handed_over.load(Ordering::Relaxed) == term
    }
}

impl Acknowledged {
    /// Notes that the peer has the entries up to this index.
    pub(in crate::raft) fn matched(&self, term: u64, index: Option<u64>) {
        let mut progress = self.0.lock();
        if progress.term != term {
            *progress = AcknowledgedUpTo { term, ..AcknowledgedUpTo::default() };
        }
        progress.index = progress.index.max(index.unwrap_or(0));
        progress.lost = None;
    }

    /// Notes that the peer lacks the entry at this index. If it acknowledged that entry before, this returns the last
    /// index that it acknowledged, once.
    pub(in crate::raft) fn conflicts(&self, term: u64, index: u64) -> Option<u64> {
        let mut progress = self.0.lock();
        let lost = progress.term == term && index <= progress.index && progress.index > 0;
        if !lost || progress.lost.is_some() {
            return None;
        }
        progress.lost = Some(Instant::now());
        Some(progress.index)
    }

    /// Forgets what the peer acknowledged, because the peer said that its log lost entries.
    pub(in crate::raft) fn forget(&self) {
        *self.0.lock() = AcknowledgedUpTo::default();
    }

    /// That the peer no longer has entries that it acknowledged, if so.
    fn lost(&self) -> Option<Away> {
        let progress = self.0.lock();
        let since = progress.lost?.elapsed();
        Some(Away { trouble: PeerTrouble::LostEntries { acknowledged: progress.index }, since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_and_each_return_of_a_peer_is_reported_once() {
        let (contacts, begin) = (Contacts::default(), Instant::now());
        let heard = |outcome, after| contacts.heard(2, outcome, begin + after);
        let refused = || Err(PeerTrouble::ConnectionRefused);
        assert_eq!(heard(Ok(()), Duration::ZERO), None);
        assert_eq!(heard(refused(), Duration::ZERO), None);
        assert_eq!(heard(refused(), PATIENCE / 2), None, "a restart takes as long");
        assert_eq!(heard(refused(), PATIENCE), Some(ContactChange::Lost(PeerTrouble::ConnectionRefused)));
        assert_eq!(heard(Err(PeerTrouble::TimedOut), 2 * PATIENCE), None);
        assert_eq!(contacts.away()[&2].trouble, PeerTrouble::TimedOut, "the newest reason counts");
        assert_eq!(heard(Ok(()), 3 * PATIENCE), Some(ContactChange::Back(3 * PATIENCE)));
        assert_eq!((heard(Ok(()), 3 * PATIENCE), contacts.away().len()), (None, 0));
    }

    #[test]
    fn a_peer_that_comes_back_sealed_is_reported_once_for_that() {
        let (contacts, begin) = (Contacts::default(), Instant::now());
        let heard = |trouble, seconds| contacts.heard(2, Err(trouble), begin + Duration::from_secs(seconds));
        let sealed = || PeerTrouble::Sealed("root.key is empty".to_owned());
        assert_eq!(heard(PeerTrouble::ConnectionRefused, 0), None);
        assert!(matches!(heard(PeerTrouble::ConnectionRefused, 2), Some(ContactChange::Lost(_))));
        assert_eq!(heard(PeerTrouble::NotReady("it starts".to_owned()), 3), None);
        assert_eq!(heard(sealed(), 4), Some(ContactChange::OtherReason(sealed())));
        assert_eq!((heard(sealed(), 5), heard(PeerTrouble::TimedOut, 6), heard(sealed(), 7)), (None, None, None));
        assert!(matches!(contacts.heard(2, Ok(()), begin), Some(ContactChange::Back(_))));
    }

    #[test]
    fn a_peer_that_restarts_is_not_lost() {
        let (contacts, begin) = (Contacts::default(), Instant::now());
        assert_eq!(contacts.heard(2, Err(PeerTrouble::ConnectionRefused), begin), None);
        assert!(contacts.failed(2) && contacts.lost().is_empty());
        assert_eq!(contacts.heard(2, Ok(()), begin + PATIENCE / 2), None);
        assert!(!contacts.failed(2));
        assert_eq!(contacts.heard(2, Err(PeerTrouble::TimedOut), begin + 2 * PATIENCE), None, "the time begins anew");
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
        assert_eq!(contacts.away()[&3].trouble, PeerTrouble::LostEntries { acknowledged: 5 });
        peer.matched(1, Some(2));
        assert!(contacts.away().is_empty());
        assert_eq!(peer.conflicts(2, 5), None);
        assert!(contacts.away().is_empty(), "entries that were not committed may go in a later term");
    }
}
