//! The leader's side of leases: it answers ReadIndex, records each lease that it grants, and waits for revocations.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use openraft::raft::linearizable_read::LinearizerOption;
use tokio::sync::watch;

use super::ledger::{FenceState, LeaseLedger};
use super::read_index::ReadIndex;
use crate::clock;
use crate::raft::forwarding::leader::Leadership;
use crate::raft::protocol::types::{LeaderId, NodeId, from_store_id};
use crate::store::Progress;

/// The leases that this node grants while it leads.
pub(in crate::raft) struct LeaseGrants {
    leadership: Arc<Leadership>,
    progress: watch::Receiver<Progress>,
    ledger: watch::Sender<LeaseLedger>,
    /// The lease that this node asks for, and the longest one that it grants.
    lease: Duration,
    /// The longest lease that any leader grants, as far as this node has heard, in nanoseconds.
    longest_ns: AtomicI64,
}

/// A member's request for a ReadIndex and a lease.
#[derive(Debug, Clone, Copy)]
pub(in crate::raft) struct LeaseRequest {
    pub from: NodeId,
    /// The index that the member had applied when it sent this.
    pub applied: u64,
    /// The lease that it asks for.
    pub lease: Duration,
    /// Whether the answer may wait for the next heartbeat.
    pub may_wait: bool,
}

impl LeaseGrants {
    pub(in crate::raft) fn new(
        leadership: Arc<Leadership>,
        progress: watch::Receiver<Progress>,
        lease: Duration,
    ) -> Self {
        Self {
            leadership,
            progress,
            ledger: watch::Sender::default(),
            lease,
            longest_ns: AtomicI64::new(clock::signed_nanos(lease)),
        }
    }

    /// The lease that this node asks for, and grants at most.
    pub(in crate::raft) fn lease(&self) -> Duration {
        self.lease
    }

    /// How far this node has applied the log.
    pub(in crate::raft) fn applied(&self) -> u64 {
        self.progress.borrow().index()
    }

    /// The last revocation that this node has applied.
    pub(in crate::raft) fn last_revocation(&self) -> u64 {
        self.progress.borrow().last_revocation
    }

    /// Notes the longest lease that a leader grants. If this node leads next, it may have to wait for such a lease.
    pub(in crate::raft) fn note_longest_lease(&self, lease: Duration) {
        self.longest_ns.fetch_max(clock::signed_nanos(lease), Ordering::Relaxed);
    }

    /// The answer of this node to itself, if it leads a quorum now. The ledger needs no entry for this node, which
    /// knows what it has applied.
    pub(in crate::raft) async fn answer_here(&self, may_wait: bool) -> Option<ReadIndex> {
        let asked_at_ns = clock::boot_ns();
        // The sooner the ledger begins anew, the sooner the leases of earlier leaders count as over.
        self.begin_leadership();
        let (index, progress) = self.confirmed_index(may_wait).await?;
        Some(ReadIndex::at(index, &progress, asked_at_ns, self.lease))
    }

    /// The answer to a member, if this node leads a quorum now. The ledger has the lease before the member does.
    pub(in crate::raft) async fn answer(&self, request: LeaseRequest) -> Option<ReadIndex> {
        let arrived_ns = clock::boot_ns();
        self.note_applied(request.from, request.applied);
        let (index, _) = self.confirmed_index(request.may_wait).await?;
        let lease = request.lease.min(self.lease);
        let mut progress = Progress::default();
        self.ledger.send_if_modified(|ledger| {
            // Read the progress under the lock of the ledger. A revocation that was judged before this lease was
            // recorded is then part of the progress, so the lease counts only once the member has applied it.
            progress = self.progress.borrow().clone();
            ledger.note_grant(request.from, progress.last_revocation, arrived_ns, clock::signed_nanos(lease));
            // Do not wake those who wait for revocations: a new lease lets none of them end.
            false
        });
        Some(ReadIndex::at(index, &progress, arrived_ns, self.lease))
    }

    /// Notes how far a member has applied the log.
    pub(in crate::raft) fn note_applied(&self, member: NodeId, applied: u64) {
        if self.begin_leadership().is_some() {
            self.ledger.send_if_modified(|ledger| ledger.note_applied(member, applied));
        }
    }

    /// Waits until no member can serve without the revocation at `index`, which is committed. Returns the names of the
    /// members that are not known to have applied it, or `None` when this node does not lead.
    ///
    /// No quorum has to confirm the end of the wait. A later leader has the revocation in its log and grants no lease
    /// without it. No other leader came in between, because this node has applied no entry of a later leader. That may be
    /// a leader of the same term: openraft orders leaders by their terms and then by their ids.
    pub(in crate::raft) async fn wait_for_revocation(&self, index: u64) -> Option<Vec<String>> {
        let mut progress = self.progress.clone();
        let mut ledger = self.ledger.subscribe();
        let epoch = self.leadership.epoch();
        tokio::select! {
            applied = progress.wait_for(|progress| progress.reached(index)) => applied.ok().map(drop)?,
            () = self.leadership.changed_since(epoch) => return None,
        }
        loop {
            let leadership = self.begin_leadership()?;
            if progress.borrow().applied.is_none_or(|applied| from_store_id(applied).leader_id > leadership) {
                return None;
            }
            let members = self.leadership.members();
            let others: Vec<NodeId> = members.keys().copied().filter(|id| *id != self.leadership.own_id()).collect();
            let now_ns = clock::boot_ns();
            let state = ledger.borrow_and_update().fence(index, &others, now_ns);
            let until_ns = match state {
                FenceState::Over { behind } => {
                    return Some(behind.iter().filter_map(|id| members.get(id)).map(|m| m.name.clone()).collect());
                }
                FenceState::Wait { until_ns } => until_ns,
            };
            let wait = Duration::from_nanos(until_ns.saturating_sub(now_ns).unsigned_abs());
            tokio::select! {
                _ = ledger.changed() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.leadership.changed_since(epoch) => return None,
            }
        }
    }

    /// Begins the ledger of the leadership that this node holds, unless the ledger has it already. Returns the
    /// leadership, or `None` if this node does not lead.
    fn begin_leadership(&self) -> Option<LeaderId> {
        let held = self.leadership.held()?;
        self.ledger.send_if_modified(|ledger| {
            ledger.begin(held, clock::boot_ns(), self.longest_ns.load(Ordering::Relaxed));
            // Do not wake those who wait for revocations: a new leadership lets none of them end.
            false
        });
        Some(held)
    }

    /// The index that was committed when the call began, and the progress of this node once it has applied that index.
    /// `None` unless a quorum still followed this node. If the call may wait, the answers to the next heartbeat show that.
    /// Otherwise this node sends a heartbeat for it at once.
    async fn confirmed_index(&self, may_wait: bool) -> Option<(u64, Progress)> {
        // The age of zero asks for a heartbeat that is sent after this call began.
        let confirmation = LinearizerOption::new(Some(Duration::ZERO), !may_wait);
        let (read_log_id, _) = self.leadership.raft().get_read_log_id(confirmation).await.ok()?;
        let index = read_log_id.index();
        let mut progress = self.progress.clone();
        let progress = progress.wait_for(|progress| progress.reached(index)).await.ok()?.clone();
        Some((index, progress))
    }
}
