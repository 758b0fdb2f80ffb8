//! The ledger of leases that a leader keeps: which members may still serve without a revocation. It reads no clock.

use std::collections::BTreeMap;

use crate::raft::protocol::types::{LeaderId, NodeId};

/// Grants that the ledger keeps apart for one member. Above this number it merges the oldest two into one that is at
/// least as long as either.
const GRANTS_KEPT: usize = 8;

/// What one node, while it holds one leadership, knows about the leases that the members may hold.
///
/// A member's lease counts once it has applied the last revocation that the leader knew when it granted the lease. So
/// only two kinds of leases let a member serve without the revocation at some index:
///
/// - Leases that this leader granted before it had applied that index. The ledger has them.
/// - Leases of earlier leaders. A quorum confirmed each of them before this leader was elected, so each began before.
///   The ledger assumes that they all began when it began the leadership, which is after the election.
///
/// Later leaders have the revocation in their logs before they lead. All times are nanoseconds of this node's
/// `CLOCK_BOOTTIME`.
#[derive(Debug, Default)]
pub(in crate::raft) struct LeaseLedger {
    leadership: Option<LeaderId>,
    /// Until when any member may hold a lease of an earlier leader.
    assumed_until_ns: i64,
    members: BTreeMap<NodeId, MemberLeases>,
}

/// What the ledger has about one member.
#[derive(Debug, Default)]
struct MemberLeases {
    /// The index up to which it reported to have applied the log.
    applied: u64,
    /// Sorted by revocation.
    grants: Vec<Grant>,
}

/// A lease until this time, which the member may hold once it has applied `revocation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grant {
    revocation: u64,
    until_ns: i64,
}

/// Whether the leader may acknowledge a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::raft) enum FenceState {
    /// A member may serve without it, until then at most.
    Wait { until_ns: i64 },
    /// No member can serve without it. These are not known to have applied it, but their leases have run out.
    Over { behind: Vec<NodeId> },
}

impl LeaseLedger {
    /// Begins a leadership, unless the ledger has it already. At its beginning the ledger does not know what the members
    /// have applied, and assumes that each holds a lease that began at `now_ns`.
    pub(in crate::raft) fn begin(&mut self, leadership: LeaderId, now_ns: i64, lease_ns: i64) {
        let leadership = Some(leadership);
        if leadership > self.leadership {
            *self = Self { leadership, assumed_until_ns: end_of(now_ns, lease_ns), members: BTreeMap::new() };
        }
    }

    /// Notes how far a member has applied the log. Returns whether that is further than the ledger had it.
    pub(in crate::raft) fn note_applied(&mut self, member: NodeId, applied: u64) -> bool {
        let noted = self.members.entry(member).or_default();
        let news = applied > noted.applied;
        if news {
            noted.applied = applied;
            noted.merge();
        }
        news
    }

    /// Notes the lease that a member may hold once it has applied `revocation`. The leader calls this before it answers
    /// the member. The member's question arrived at `arrived_ns`. For the member the lease began earlier, when it
    /// asked.
    pub(in crate::raft) fn note_grant(&mut self, member: NodeId, revocation: u64, arrived_ns: i64, lease_ns: i64) {
        let noted = self.members.entry(member).or_default();
        let at = noted.grants.partition_point(|grant| grant.revocation <= revocation);
        noted.grants.insert(at, Grant { revocation, until_ns: end_of(arrived_ns, lease_ns) });
        noted.merge();
    }

    /// Whether the leader may acknowledge the revocation at `index`, which it has applied. It waits for former members,
    /// too, if they were granted a lease.
    pub(in crate::raft) fn fence(&self, index: u64, members: &[NodeId], now_ns: i64) -> FenceState {
        let mut behind = Vec::new();
        let mut until_ns = now_ns;
        let former = self.members.keys().filter(|id| !members.contains(id));
        for id in members.iter().chain(former) {
            let noted = self.members.get(id);
            if noted.is_some_and(|noted| noted.applied >= index) {
                continue;
            }
            let granted = noted.into_iter().flat_map(|noted| &noted.grants).filter(|grant| grant.revocation < index);
            let member_until_ns = granted.map(|grant| grant.until_ns).fold(self.assumed_until_ns, i64::max);
            until_ns = until_ns.max(member_until_ns);
            behind.extend(members.contains(id).then_some(*id));
        }
        if until_ns > now_ns { FenceState::Wait { until_ns } } else { FenceState::Over { behind } }
    }
}

impl MemberLeases {
    /// Merges grants that need not be kept apart: all up to what the member has applied, and the oldest two while there
    /// are too many. The merged grant counts from the earliest revocation, and as long as the longest.
    fn merge(&mut self) {
        while let [first, second, ..] = self.grants[..]
            && (second.revocation <= self.applied || self.grants.len() > GRANTS_KEPT)
        {
            self.grants[1] = Grant { revocation: first.revocation, until_ns: first.until_ns.max(second.until_ns) };
            self.grants.remove(0);
        }
    }
}

/// When a lease has run out even by a clock that is a tenth slower than this one.
fn end_of(began_ns: i64, lease_ns: i64) -> i64 {
    began_ns.saturating_add(lease_ns).saturating_add(lease_ns / 10).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    const LEASE_NS: i64 = 1_000;

    #[test]
    fn the_fence_waits_for_a_member_until_it_reports_or_its_lease_ends() {
        let mut leases = LeaseLedger::default();
        leases.begin(leader(1, 1), 0, LEASE_NS);
        leases.begin(leader(1, 1), 500, LEASE_NS);
        assert_eq!(leases.fence(7, &[2, 3], 500), FenceState::Wait { until_ns: 1_101 }, "a leadership begins once");
        assert!(leases.note_applied(2, 7) && !leases.note_applied(2, 6));
        leases.note_grant(3, 6, 600, LEASE_NS);
        leases.note_grant(3, 7, 5_000, LEASE_NS);
        leases.note_grant(2, 6, 6_000, LEASE_NS);
        assert_eq!(leases.fence(7, &[2, 3], 1_700), FenceState::Wait { until_ns: 1_701 });
        assert_eq!(leases.fence(7, &[2, 3], 1_701), FenceState::Over { behind: vec![3] });
        assert_eq!(leases.fence(8, &[2, 3], 1_701), FenceState::Wait { until_ns: 7_101 });
        assert_eq!(leases.fence(8, &[3], 1_701), FenceState::Wait { until_ns: 7_101 }, "a former member counts, too");
        assert_eq!(leases.fence(8, &[3, 4], 7_101), FenceState::Over { behind: vec![3, 4] });
        leases.begin(leader(2, 1), 7_101, LEASE_NS);
        assert_eq!(leases.fence(7, &[2, 3], 7_101), FenceState::Wait { until_ns: 8_202 });
    }

    fn leader(term: u64, node_id: NodeId) -> LeaderId {
        LeaderId { term, node_id }
    }

    #[test]
    fn merging_many_grants_keeps_the_longest_one() {
        let mut leases = LeaseLedger::default();
        for revocation in 1..100 {
            leases.note_grant(2, revocation, 10_000 - 10 * i64::try_from(revocation).unwrap(), LEASE_NS);
        }
        assert!(leases.members[&2].grants.len() <= GRANTS_KEPT);
        assert_eq!(leases.fence(100, &[2], 0), FenceState::Wait { until_ns: 9_990 + 1_101 });
        leases.note_applied(2, 99);
        assert_eq!(leases.members[&2].grants.len(), 1);
        assert_eq!(leases.fence(100, &[2], 0), FenceState::Wait { until_ns: 9_990 + 1_101 });
    }

    /// A ReadIndex on its way. Each step that it has passed fills in a field.
    #[derive(Debug, Clone, Default)]
    struct Question {
        from: usize,
        to: usize,
        applied: u64,
        sent_ns: i64,
        /// When it arrived, by the clock of the asked node, and the leadership of that node.
        arrived: Option<(i64, LeaderId)>,
        /// The index that the node has to apply, once a quorum has confirmed that it still leads.
        confirmed: Option<u64>,
        /// The last revocation that the node knew when it granted the lease.
        granted: Option<u64>,
        /// How often `from` had restarted when it asked.
        restarts: u64,
    }

    #[derive(Debug, Default)]
    struct Node {
        offset_ns: i64,
        /// The speed of its clock, in thousandths of the slowest: at most a tenth faster.
        rate: i64,
        restarts: u64,
        applied: u64,
        /// The end of its lease, by its own clock.
        lease_until_ns: i64,
        leads: Option<LeaderId>,
        ledger: LeaseLedger,
    }

    /// A cluster in which every entry is a revocation. Each step may take any time.
    struct SimulatedCluster {
        random: StdRng,
        now_ns: i64,
        nodes: Vec<Node>,
        /// The leaders of the committed entries, from index 1.
        log: Vec<LeaderId>,
        /// The leader that was elected last.
        leader: LeaderId,
        questions: Vec<Question>,
        /// A node that applies few entries.
        lagging: usize,
        acknowledged: u64,
        acknowledgements: BTreeMap<bool, usize>,
    }

    impl SimulatedCluster {
        fn new(seed: u64) -> Self {
            let mut random = StdRng::seed_from_u64(seed);
            let node = |random: &mut StdRng| Node {
                offset_ns: random.random_range(0..1_000_000),
                rate: if random.random() { 1_000 } else { random.random_range(1_000..=1_100) },
                ..Node::default()
            };
            let nodes = (0..random.random_range(2..=4)).map(|_| node(&mut random)).collect();
            Self {
                random,
                now_ns: 0,
                nodes,
                log: Vec::new(),
                leader: leader(0, 0),
                questions: Vec::new(),
                lagging: 0,
                acknowledged: 0,
                acknowledgements: BTreeMap::new(),
            }
        }

        fn any(&mut self) -> usize {
            self.random.random_range(0..self.nodes.len())
        }

        fn committed(&self) -> u64 {
            self.log.len() as u64
        }

        fn clock_ns(&self, node: usize) -> i64 {
            self.nodes[node].offset_ns + self.now_ns * self.nodes[node].rate / 1_000
        }

        fn step(&mut self) {
            match self.random.random_range(0..200) {
                0..40 => self.now_ns += self.random.random_range(1..LEASE_NS / 16),
                40 => self.now_ns += self.random.random_range(1..2 * LEASE_NS),
                41..43 => self.elect(),
                43 => self.restart(),
                44..46 => self.lagging = self.any(),
                46..52 => self.commit(),
                52..72 => self.apply(),
                72..92 => self.ask(),
                92..112 => self.fence(),
                _ => self.pass_on(),
            }
        }

        /// The new leader has every committed entry. The old one may not hear of the election for long. A node with a
        /// higher id may become leader in the same term.
        fn elect(&mut self) {
            let (before, node) = (self.leader, self.any());
            let same_term = leader(before.term, node as u64);
            self.leader = if same_term > before { same_term } else { leader(before.term + 1, node as u64) };
            let committed = self.committed();
            let elected = &mut self.nodes[node];
            (elected.leads, elected.applied) = (Some(self.leader), committed);
        }

        /// The node applies again what it had not written. Leases and ledgers are not on disk.
        fn restart(&mut self) {
            let node = self.any();
            let applied = self.random.random_range(0..=self.nodes[node].applied);
            let Node { offset_ns, rate, restarts, .. } = self.nodes[node];
            self.nodes[node] = Node { offset_ns, rate, restarts: restarts + 1, applied, ..Node::default() };
        }

        fn commit(&mut self) {
            if self.leads_now(self.leader) {
                self.log.push(self.leader);
            }
        }

        /// Whether this leader still believes to lead, and was elected last.
        fn leads_now(&self, leader: LeaderId) -> bool {
            let node = usize::try_from(leader.node_id).unwrap();
            leader == self.leader && self.nodes[node].leads == Some(leader)
        }

        fn apply(&mut self) {
            let node = self.any();
            let committed = self.committed();
            if node == self.lagging && self.random.random_bool(0.9) {
                return;
            }
            self.nodes[node].applied = (self.nodes[node].applied + 1).min(committed);
            let applied = self.nodes[node].applied;
            // An entry of a later leader shows that this node no longer leads. It may notice late.
            let leader = applied.checked_sub(1).and_then(|at| self.log.get(usize::try_from(at).unwrap())).copied();
            if self.nodes[node].leads < leader && self.random.random_bool(0.2) {
                self.nodes[node].leads = None;
            }
        }

        fn ask(&mut self) {
            let leaders: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].leads.is_some()).collect();
            let (from, to) = (self.any(), leaders.get(self.random.random_range(0..self.nodes.len())));
            let Some(&to) = to else { return };
            let (sent_ns, applied, restarts) =
                (self.clock_ns(from), self.nodes[from].applied, self.nodes[from].restarts);
            self.questions.push(Question { from, to, applied, sent_ns, restarts, ..Question::default() });
        }

        /// Moves a random question on by one step.
        fn pass_on(&mut self) {
            if self.questions.is_empty() {
                return;
            }
            let at = self.random.random_range(0..self.questions.len());
            let mut question = self.questions.swap_remove(at);
            let done = match question {
                Question { arrived: None, .. } => self.arrive(&mut question),
                Question { confirmed: None, .. } => self.confirm(&mut question),
                Question { granted: None, .. } => self.grant(&mut question),
                _ => self.hold(&question),
            };
            if let Some(false) = done {
                self.questions.push(question);
            }
        }

        /// `None` when the question is lost, and otherwise whether it is answered.
        fn arrive(&mut self, question: &mut Question) -> Option<bool> {
            let now_ns = self.clock_ns(question.to);
            let leader = &mut self.nodes[question.to];
            let leadership = leader.leads?;
            question.arrived = Some((now_ns, leadership));
            if question.from != question.to {
                leader.ledger.begin(leadership, now_ns, LEASE_NS);
                leader.ledger.note_applied(u64::try_from(question.from).unwrap(), question.applied);
            }
            Some(false)
        }

        /// A quorum still follows a leader if no other one was elected since.
        fn confirm(&mut self, question: &mut Question) -> Option<bool> {
            question.arrived.filter(|(_, leadership)| self.leads_now(*leadership))?;
            question.confirmed = Some(self.committed());
            Some(false)
        }

        fn grant(&mut self, question: &mut Question) -> Option<bool> {
            let leader = &mut self.nodes[question.to];
            if question.confirmed > Some(leader.applied) {
                return Some(false);
            }
            question.granted = Some(leader.applied);
            if question.from != question.to {
                let (arrived_ns, _) = question.arrived?;
                leader.ledger.note_grant(u64::try_from(question.from).unwrap(), leader.applied, arrived_ns, LEASE_NS);
            }
            Some(false)
        }

        fn hold(&mut self, question: &Question) -> Option<bool> {
            let node = &mut self.nodes[question.from];
            if node.restarts != question.restarts {
                return None;
            }
            if question.granted > Some(node.applied) {
                return Some(false);
            }
            node.lease_until_ns = node.lease_until_ns.max(question.sent_ns + LEASE_NS);
            Some(true)
        }

        /// Asks a random node that believes to lead about a random index that it has applied.
        fn fence(&mut self) {
            let node = self.any();
            let (now_ns, applied) = (self.clock_ns(node), self.nodes[node].applied);
            let Some(leadership) = self.nodes[node].leads else { return };
            if applied <= self.acknowledged || self.log[usize::try_from(applied).unwrap() - 1] > leadership {
                return;
            }
            let index = self.random.random_range(self.acknowledged + 1..=applied);
            let others: Vec<u64> = (0u64..).take(self.nodes.len()).filter(|id| *id != node as u64).collect();
            let ledger = &mut self.nodes[node].ledger;
            ledger.begin(leadership, now_ns, LEASE_NS);
            if let FenceState::Over { behind } = ledger.fence(index, &others, now_ns) {
                self.acknowledged = index;
                *self.acknowledgements.entry(behind.is_empty()).or_default() += 1;
            }
        }

        fn assert_no_node_serves_without_what_was_acknowledged(&self, seed: u64) {
            for (number, node) in self.nodes.iter().enumerate() {
                let holds = self.clock_ns(number) < node.lease_until_ns;
                let knows = node.applied >= self.acknowledged;
                assert!(knows || !holds, "seed {seed}: {} at {}: {number} {node:?}", self.acknowledged, self.now_ns);
            }
        }
    }

    #[test]
    fn no_node_serves_without_an_acknowledged_revocation() {
        let mut acknowledged = BTreeMap::new();
        for seed in 0..1_000 {
            let mut cluster = SimulatedCluster::new(seed);
            for _ in 0..2_000 {
                cluster.step();
                cluster.assert_no_node_serves_without_what_was_acknowledged(seed);
            }
            for (by_all, count) in cluster.acknowledgements {
                *acknowledged.entry(by_all).or_default() += count;
            }
        }
        assert!(
            acknowledged.values().all(|count: &usize| *count > 1_000) && acknowledged.len() == 2,
            "{acknowledged:?}"
        );
    }
}
