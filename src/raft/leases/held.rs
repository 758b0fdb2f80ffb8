//! The lease that this node holds: how long it may serve the keys it knows without asking the leader. A revocation can
//! wait for the end of it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::clock_watch::ClockWatch;
use super::read_index::ReadIndex;
use super::reads::Reads;
use crate::clock::{self, ClockPair};
use crate::config::ConsistencyConfig;
use crate::raft::forwarding::leader::Leadership;
use crate::store::Progress;

/// How long a request waits for one renewal after the lease has run out.
const HOLD: Duration = Duration::from_millis(500);
/// How long a request waits while the node knows of a revocation that it has yet to receive and apply.
pub const CATCHING_UP: Duration = Duration::from_secs(2);
/// The pause between two questions while a request waits.
const RETRY: Duration = Duration::from_millis(5);
/// How often the node renews within the length of a lease.
const RENEWALS: u32 = 4;

/// What a node may do with the keys it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It holds a lease, so it has applied every revocation that was acknowledged.
    Held,
    /// Its lease ran out this long ago. It still serves the keys it knows, and says so.
    Offline(Duration),
    /// It has been offline for longer than `consistency.offline`, or has not reached a leader since it started.
    Over,
    /// Its lease has run out. For this long it has known of a revocation that it has not applied.
    Behind(Duration),
}

/// The lease of this node. The leader holds one, too.
pub(in crate::raft) struct HeldLease {
    /// The end of the lease: nanoseconds of `CLOCK_BOOTTIME`; 0 before the first lease.
    until_ns: AtomicI64,
    /// The length of the lease that a leader granted last.
    length_ns: AtomicU64,
    /// The end of the lease for which a renewal failed while a request waited. Later requests do not wait for it again.
    given_up_on_ns: AtomicI64,
    /// The index of the last revocation that a leader reported, whether this node has applied it or not.
    reported_revocation: AtomicU64,
    /// Since when this node has known of a revocation that it has not applied.
    behind_since_ns: AtomicI64,
    /// Compares the clocks, because the one of leases may stand still while the machine is paused.
    clocks: ClockWatch,
    /// Notified when a clock has jumped.
    jumped: Notify,
    config: ConsistencyConfig,
    reads: Reads,
    progress: watch::Receiver<Progress>,
}

impl HeldLease {
    pub(in crate::raft) fn new(
        config: ConsistencyConfig,
        reads: Reads,
        progress: watch::Receiver<Progress>,
    ) -> Arc<Self> {
        Arc::new(Self {
            until_ns: AtomicI64::new(0),
            length_ns: AtomicU64::new(clock::nanos(config.lease)),
            given_up_on_ns: AtomicI64::new(-1),
            reported_revocation: AtomicU64::new(0),
            behind_since_ns: AtomicI64::new(0),
            clocks: ClockWatch::new(config.lease, ClockPair::now()),
            jumped: Notify::new(),
            config,
            reads,
            progress,
        })
    }

    /// Renews the lease again and again, as long as the store is open.
    ///
    /// Each renewal reports to the leader how far this node has applied the log. So this node renews at once after a
    /// revocation, because a client waits for its acknowledgement, and after a change of leader, because the new leader
    /// knows nothing about this node yet. Other renewals may wait for the leader's next heartbeat, while the lease holds.
    pub(in crate::raft) async fn keep(self: Arc<Self>, leadership: Arc<Leadership>) {
        loop {
            let (known, epoch) = (self.progress.borrow().last_revocation, leadership.epoch());
            self.renew().await;
            if self.renew_patiently(known, leadership.changed_since(epoch)).await.is_none() {
                return;
            }
        }
    }

    /// Renews the lease after each pause, until a renewal is due at once: this node has applied a revocation after the one at
    /// `known`, follows another leader, or may lose its lease. `None` once the store is closed.
    async fn renew_patiently(&self, known: u64, led_anew: impl Future<Output = ()>) -> Option<()> {
        let mut progress = self.progress.clone();
        let renewals = async {
            loop {
                let pause = Duration::from_nanos(self.length_ns.load(Ordering::Relaxed)) / RENEWALS;
                tokio::time::sleep(pause).await;
                if !self.holds() {
                    return;
                }
                match tokio::time::timeout(pause, self.reads.ask_patiently()).await {
                    Ok(Some(answer)) => self.take(answer).await,
                    Ok(None) => {}
                    // The next heartbeat may come after the end of the lease.
                    Err(_) => return,
                }
            }
        };
        tokio::select! {
            () = renewals => Some(()),
            revoked = progress.wait_for(|progress| progress.last_revocation > known) => revoked.ok().map(drop),
            () = led_anew => Some(()),
            () = self.jumped.notified() => Some(()),
        }
    }

    /// The end of the lease: nanoseconds of `CLOCK_BOOTTIME`; 0 before the first lease.
    pub(in crate::raft) fn until_ns(&self) -> i64 {
        self.until_ns.load(Ordering::Acquire)
    }

    /// Whether this node has held a lease since it started.
    pub(in crate::raft) fn has_been_held(&self) -> bool {
        self.until_ns() > 0
    }

    /// Whether the lease holds now. Each request asks this once.
    pub(in crate::raft) fn holds(&self) -> bool {
        let now = ClockPair::now();
        now.boot_ns < self.checked_until_ns(now)
    }

    /// The end of the lease: before now if a clock has jumped since the last look.
    fn checked_until_ns(&self, now: ClockPair) -> i64 {
        if self.clocks.has_jumped(now) {
            self.compare_clocks(now);
        }
        self.until_ns.load(Ordering::Acquire)
    }

    /// Ends the lease if a clock has jumped since the last look.
    pub(in crate::raft) fn look_at_clocks(&self) {
        self.compare_clocks(ClockPair::now());
    }

    fn compare_clocks(&self, now: ClockPair) {
        let mut held = false;
        let end_lease = || held = self.until_ns.fetch_min(now.boot_ns, Ordering::AcqRel) > now.boot_ns;
        let Some(moved) = self.clocks.look(now, end_lease) else { return };
        self.jumped.notify_one();
        tracing::warn!(
            moved_ms = clock::nanos(moved) / 1_000_000,
            held_lease = held,
            "the wall clock was set, or this machine stood still for a while: the node gives up its lease and asks for a new \
             one"
        );
    }

    /// What the node may do now, without a renewal.
    pub(in crate::raft) fn standing(&self) -> Standing {
        let clocks = ClockPair::now();
        let (until, now) = (self.checked_until_ns(clocks), clocks.boot_ns);
        match u64::try_from(now.saturating_sub(until)) {
            Err(_) => Standing::Held,
            // A node that knows of a revocation must not serve without it, as an offline node may.
            Ok(_) if self.is_behind() => {
                let since = now.saturating_sub(self.behind_since_ns.load(Ordering::Acquire));
                Standing::Behind(Duration::from_nanos(u64::try_from(since).unwrap_or(0)))
            }
            Ok(over) if until > 0 && Duration::from_nanos(over) < self.config.offline => {
                Standing::Offline(Duration::from_nanos(over))
            }
            Ok(_) => Standing::Over,
        }
    }

    /// Whether a leader reported a revocation that this node has not applied.
    fn is_behind(&self) -> bool {
        self.reported_revocation.load(Ordering::Acquire) > self.progress.borrow().index()
    }

    /// What the node may do, after one attempt to renew a lease that has run out. Once that attempt has failed, later
    /// requests do not wait, and the node goes on asking in the background. While it catches up, they do wait.
    pub(in crate::raft) async fn standing_after_renewal(&self) -> Standing {
        let lease = self.until_ns.load(Ordering::Acquire);
        if !self.holds() && (self.is_behind() || self.given_up_on_ns.load(Ordering::Acquire) != lease) {
            let renewed = async {
                while !self.holds() {
                    self.renew().await;
                    tokio::time::sleep(RETRY).await;
                }
            };
            let mut renewed = pin!(renewed);
            if tokio::time::timeout(HOLD, &mut renewed).await.is_err() && self.is_behind() {
                drop(tokio::time::timeout(CATCHING_UP - HOLD, renewed).await);
            }
            if !self.holds() {
                self.given_up_on_ns.store(lease, Ordering::Release);
            }
        }
        self.standing()
    }

    /// Asks the leader once.
    async fn renew(&self) {
        if let Some(answer) = self.reads.ask_once().await {
            self.take(answer).await;
        }
    }

    /// Takes the lease in an answer. It runs from when this node sent the question, and counts only once this node has
    /// applied the last revocation.
    async fn take(&self, answer: ReadIndex) {
        let mut progress = self.progress.clone();
        let was_behind = self.is_behind();
        self.reported_revocation.fetch_max(answer.last_revocation, Ordering::AcqRel);
        if !was_behind {
            self.behind_since_ns.store(clock::boot_ns(), Ordering::Release);
        }
        if progress.wait_for(|progress| progress.reached(answer.last_revocation)).await.is_err() {
            return;
        }
        let lease = clock::signed_nanos(answer.lease);
        if lease == 0 {
            // The leader's reply lacks the field, or this node asked for none. Otherwise this node would renew without a
            // pause, and count as one that has held a lease.
            return;
        }
        // The machine may have stood still since the node asked. Answers to questions from before that do not count.
        self.look_at_clocks();
        self.clocks.unless_jumped_since(answer.asked_at_ns, || {
            self.length_ns.store(lease.unsigned_abs(), Ordering::Relaxed);
            self.until_ns.fetch_max(answer.asked_at_ns.saturating_add(lease), Ordering::AcqRel);
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_node_that_knows_what_it_lacks_does_not_count_as_offline() {
        let config = ConsistencyConfig { lease: Duration::from_secs(1), offline: Duration::from_secs(3600) };
        let (applied, progress) = watch::channel(Progress::default());
        let (reads, _asked) = Reads::unanswered();
        let lease = HeldLease::new(config, reads, progress);
        lease.until_ns.store(clock::boot_ns() - 1, Ordering::Release);
        lease.reported_revocation.store(7, Ordering::Release);
        assert!(matches!(lease.standing(), Standing::Behind(_)));
        let last = crate::store::LogId { term: 1, node: 1, index: 7 };
        applied.send_modify(|progress| progress.applied = Some(last));
        assert!(matches!(lease.standing(), Standing::Offline(_)));
        lease.reported_revocation.store(8, Ordering::Release);
        lease.until_ns.store(i64::MAX, Ordering::Release);
        assert_eq!(lease.standing(), Standing::Held, "a lease counts although a later revocation is not applied");
    }

    #[tokio::test]
    async fn a_jump_of_a_clock_ends_the_lease_and_later_answers_to_earlier_questions_do_not_count() {
        let config = ConsistencyConfig { lease: Duration::from_secs(60), offline: Duration::from_secs(3600) };
        let last = crate::store::LogId { term: 1, node: 1, index: 7 };
        let (_applied, progress) = watch::channel(Progress { applied: Some(last), ..Progress::default() });
        let (reads, _asked) = Reads::unanswered();
        let lease = HeldLease::new(config, reads, progress);
        let answer = |asked_at_ns| ReadIndex { index: 0, last_revocation: 0, asked_at_ns, lease: config.lease };
        let asked_before = clock::boot_ns();
        lease.take(answer(asked_before)).await;
        lease.look_at_clocks();
        assert_eq!(lease.standing(), Standing::Held);
        let now = ClockPair::now();
        lease.compare_clocks(ClockPair { unix_ns: now.unix_ns + 7_000_000_000, ..now });
        assert!(matches!(lease.standing(), Standing::Offline(_)), "the wall clock jumped by 7 seconds");
        lease.take(answer(asked_before)).await;
        assert!(matches!(lease.standing(), Standing::Offline(_)), "the node asked before the jump");
        lease.take(answer(clock::boot_ns())).await;
        assert_eq!(lease.standing(), Standing::Held);
    }

    #[tokio::test]
    async fn a_revocation_ends_patience_whatever_happens_at_the_same_time() {
        let config = ConsistencyConfig { lease: Duration::from_millis(200), offline: Duration::from_secs(3600) };
        let (applied, progress) = watch::channel(Progress::default());
        let (reads, mut asked) = Reads::unanswered();
        let lease = HeldLease::new(config, reads, progress);
        lease.until_ns.store(i64::MAX, Ordering::Release);
        let mut patient = pin!(lease.renew_patiently(0, std::future::pending()));
        let question = tokio::select! {
            biased;
            question = asked.recv() => question.unwrap(),
            _ = &mut patient => panic!("nothing is due at once"),
        };
        applied.send_modify(|progress| progress.last_revocation = 7);
        question.send(None).unwrap();
        assert_eq!(patient.now_or_never(), Some(Some(())), "the leader learns of the revocation at once");
    }

    #[tokio::test]
    async fn a_lease_of_zero_is_no_lease() {
        let config = ConsistencyConfig { lease: Duration::from_secs(1), offline: Duration::from_secs(3600) };
        let last = crate::store::LogId { term: 1, node: 1, index: 7 };
        let (_applied, progress) = watch::channel(Progress { applied: Some(last), ..Progress::default() });
        let (reads, mut asked) = Reads::unanswered();
        let lease = HeldLease::new(config, reads, progress);
        for (granted, expected) in [(Duration::ZERO, Standing::Over), (Duration::from_secs(60), Standing::Held)] {
            let answer = ReadIndex { index: 0, last_revocation: 0, asked_at_ns: clock::boot_ns(), lease: granted };
            let answering = async { asked.recv().await.unwrap().send(Some(answer)).unwrap() };
            tokio::join!(lease.renew(), answering);
            assert_eq!(lease.standing(), expected);
            let length = Duration::from_nanos(lease.length_ns.load(Ordering::Relaxed));
            assert!(length > Duration::ZERO, "the pause between two renewals is a part of this");
        }
    }

    #[tokio::test]
    async fn only_the_first_request_after_a_lease_waits_for_a_renewal() {
        let config = ConsistencyConfig { lease: Duration::from_secs(1), offline: Duration::from_secs(3600) };
        let (_applied, progress) = watch::channel(Progress::default());
        let (reads, _asked) = Reads::unanswered();
        let lease = HeldLease::new(config, reads, progress);
        for _ in 0..2 {
            lease.until_ns.store(clock::boot_ns() - 1, Ordering::Release);
            assert!(lease.standing_after_renewal().now_or_never().is_none(), "the first request waits");
            assert!(matches!(lease.standing_after_renewal().await, Standing::Offline(_)));
            assert!(lease.standing_after_renewal().now_or_never().is_some(), "the next ones do not");
        }
    }
}
