//! What a node that takes part sees of its cluster, and what it waits for, as a pure function of that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::raft::forwarding::leader::Leadership;
use crate::raft::peers::contacts::Away;
use crate::raft::peers::trouble::PeerTrouble;
use crate::raft::protocol::types::{Member, NodeId};

/// How long a leader may take to find the end of this node's log.
const SEARCH: Duration = Duration::from_secs(2);

/// What a node that takes part sees of its cluster.
#[derive(Debug, Clone, Default)]
pub(in crate::raft) struct Situation {
    pub own: NodeId,
    /// This node's name (`cluster.name`).
    pub own_name: String,
    /// Each member's name and address.
    pub members: BTreeMap<NodeId, (String, String)>,
    pub voters: BTreeSet<NodeId>,
    pub away: BTreeMap<NodeId, Away>,
    /// The nodes whose logs lost entries and that do not vote until they have caught up, this one included.
    pub in_doubt: BTreeSet<NodeId>,
    /// The leader that this node follows, even if it does not answer.
    pub leader: Option<NodeId>,
    pub has_lease: bool,
    /// Whether the membership records this node's key.
    pub has_its_key: bool,
    /// The entry that this node lacks while the leader sends the ones after it, and for how long it has.
    pub missing: Option<(u64, Duration)>,
    /// The index of the last entry in this node's log.
    pub last: u64,
}

impl Situation {
    /// What this node sees now.
    pub(in crate::raft) fn of(leadership: &Leadership, has_lease: bool) -> Self {
        let (members, metrics, links) = (leadership.members(), leadership.metrics(), leadership.links());
        let metrics = metrics.now();
        let at = |member: &Member| (member.name.clone(), links.address_of(member).to_owned());
        let own = leadership.own_id();
        Self {
            own,
            own_name: links.own_name().to_owned(),
            members: members.iter().map(|(id, member)| (*id, at(member))).collect(),
            voters: metrics.membership_config.voter_ids().collect(),
            away: links.contacts().away(),
            in_doubt: links.contacts().in_doubt(),
            leader: metrics.current_leader,
            has_lease,
            has_its_key: members.get(&own).is_none_or(|member| member.key == links.own_key()),
            missing: links.contacts().missing().map(|missing| (missing.index, missing.since.elapsed())),
            last: metrics.last_log_index.unwrap_or(0),
        }
    }

    /// What this node waits for. While it holds a lease, only an older copy of its data matters.
    pub(in crate::raft) fn waits(&self) -> Vec<String> {
        if self.has_lease {
            return self.older_copy().into_iter().chain(self.own_doubt()).collect();
        }
        let own = self.other_data().or_else(|| self.other_key()).into_iter().chain(self.older_copy());
        let doubts = self.own_doubt().into_iter().chain(self.doubts());
        let mut waits: Vec<_> = own.chain(doubts).chain(self.majority()).chain(self.waits_of_peers()).collect();
        if waits.is_empty() {
            waits.push(self.leader_or_election());
        }
        waits
    }

    /// The voters that do not work with this node, each with the reason.
    pub(in crate::raft) fn waits_of_peers(&self) -> Vec<String> {
        self.voters.iter().filter(|id| **id != self.own).filter_map(|id| self.peer(*id)).collect()
    }

    /// How many voters answer, this node included.
    fn answering(&self) -> usize {
        self.voters.iter().filter(|id| !self.away.contains_key(id)).count()
    }

    /// How many voters must answer for the cluster to have a leader.
    pub(in crate::raft) fn needed(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// A member's name, or its id where the name is not known.
    pub(in crate::raft) fn name(&self, id: NodeId) -> String {
        self.members.get(&id).map_or_else(|| format!("node {id}"), |(name, _)| name.clone())
    }

    /// Says so if this node runs on the data folder of another one, that is, if its name is another member's.
    fn other_data(&self) -> Option<String> {
        let (owner, _) = self.members.get(&self.own)?;
        let is_anothers = self.members.iter().any(|(id, (name, _))| *id != self.own && *name == self.own_name);
        is_anothers.then(|| {
            format!(
                "the data folder (cluster.data) belongs to {owner}, but this node is {name} (cluster.name): start \
                 {name} with its own data folder",
                name = self.own_name
            )
        })
    }

    fn other_key(&self) -> Option<String> {
        let why = "this node's key for its peers is another one than the membership records for it, so the other nodes \
                   refuse it: start it with the key that it had, which is peer.key in its data folder or \
                   cluster.tls.key, and renew certificates with the same key";
        (!self.has_its_key).then(|| why.to_owned())
    }

    fn older_copy(&self) -> Option<String> {
        // A log in doubt lacks such entries, too, and the leader knows that.
        let (missing, for_long) = self.missing.filter(|_| !self.in_doubt.contains(&self.own))?;
        (for_long >= SEARCH && missing > self.last).then(|| {
            format!(
                "this node's log ends at index {}, but the leader has its acknowledgement up to index {missing}: the \
                 data folder is an older copy. Stop this node and put back its data folder as it was when it last \
                 ran. If that folder is lost, leave this node stopped",
                self.last
            )
        })
    }

    fn own_doubt(&self) -> Option<String> {
        self.in_doubt.contains(&self.own).then(|| {
            "the log of this node lost entries, so the node neither votes nor leads until it has caught up with a leader"
                .to_owned()
        })
    }

    /// The voters that cannot vote because their logs lost entries.
    fn doubts(&self) -> Option<String> {
        let cannot: Vec<_> = self.voters.intersection(&self.in_doubt).map(|id| self.name(*id)).collect();
        let (names, needed, all) = (cannot.join(", "), self.needed(), self.voters.len());
        if all - cannot.len() < needed {
            return Some(format!(
                "votes of {needed} of the {all} nodes are needed, but the logs of too many nodes lost entries: {names}. Only \
                 a node that still leads can help them. Without one this cluster cannot go on, and this version cannot \
                 recover it: keep all data folders as they are"
            ));
        }
        let others = cannot.len() > usize::from(self.in_doubt.contains(&self.own));
        others.then(|| format!("votes of {needed} of the {all} nodes are needed, and these do not vote, because their logs lost entries: {names}"))
    }

    fn majority(&self) -> Option<String> {
        let (needed, here, all) = (self.needed(), self.answering(), self.voters.len());
        let with = match here {
            1 => "only this node votes".to_owned(),
            _ => format!("only {here} nodes answer each other"),
        };
        (here < needed && all > 1).then(|| format!("votes of {needed} of the {all} nodes are needed, and {with}"))
    }

    fn peer(&self, id: NodeId) -> Option<String> {
        let Away { trouble, .. } = self.away.get(&id)?;
        // A node whose data folder is an older copy answers. It waits, and this one does not.
        let waits = !matches!(trouble, PeerTrouble::LostEntries { .. });
        let at = self.members.get(&id).map_or("?", |(_, address)| address.as_str());
        waits.then(|| format!("{} ({at}) {trouble}", self.name(id)))
    }

    fn leader_or_election(&self) -> String {
        match self.leader {
            Some(leader) if leader == self.own => "a majority of the nodes to confirm that this node leads".to_owned(),
            Some(leader) => format!("the leader, {}, to confirm how far the log is committed", self.name(leader)),
            None => "the election of a leader".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three(away: &[(NodeId, PeerTrouble)]) -> Situation {
        let members = (1..=3).map(|id| (id, (format!("node-{id}"), format!("10.0.0.{id}:7473"))));
        let away = away.iter().map(|(id, trouble)| (*id, Away { trouble: trouble.clone(), since: Duration::ZERO }));
        Situation {
            own: 1,
            own_name: "node-1".to_owned(),
            members: members.collect(),
            voters: (1..=3).collect(),
            away: away.collect(),
            has_its_key: true,
            last: 7,
            ..Situation::default()
        }
    }

    #[test]
    fn a_node_without_a_quorum_says_whose_votes_are_missing_and_why() {
        let unresolved = PeerTrouble::NameNotResolved("no such name".to_owned());
        let waits = three(&[(2, PeerTrouble::ConnectionRefused), (3, unresolved)]).waits();
        assert_eq!(
            waits,
            [
                "votes of 2 of the 3 nodes are needed, and only this node votes",
                "node-2 (10.0.0.2:7473) cannot be reached: connection refused",
                "node-3 (10.0.0.3:7473) cannot be reached: the name in its address does not resolve (no such name)",
            ]
        );
    }

    #[test]
    fn a_node_that_the_others_refuse_repeats_their_words() {
        let words = "the caller belongs to another cluster";
        let refused = || PeerTrouble::Refuses(words.to_owned());
        let waits = three(&[(2, refused()), (3, refused())]).waits();
        assert!(waits[1..].iter().all(|wait| wait.ends_with(&format!("refuses this node: {words}"))), "{waits:?}");
    }

    #[test]
    fn a_node_that_works_waits_for_nothing() {
        let working = Situation { has_lease: true, ..three(&[(2, PeerTrouble::TimedOut)]) };
        assert!(working.waits().is_empty());
    }

    #[test]
    fn a_node_names_those_whose_logs_lost_entries() {
        let in_doubt = |ids: &[NodeId]| Situation { in_doubt: ids.iter().copied().collect(), ..three(&[]) };
        let other = in_doubt(&[2]).waits();
        assert!(other[0].ends_with("because their logs lost entries: node-2") && other.len() == 1, "{other:?}");
        let own = in_doubt(&[1]).waits();
        assert!(own[0].contains("until it has caught up with a leader") && own.len() == 1, "{own:?}");
        let under_lease = Situation { has_lease: true, ..in_doubt(&[1, 2]) }.waits();
        assert_eq!(under_lease, own, "it serves, and does not vote");
        let too_many = in_doubt(&[2, 3]).waits();
        assert!(too_many[0].contains("too many nodes lost entries: node-2, node-3. Only"), "{too_many:?}");
    }

    #[test]
    fn a_node_with_an_older_copy_of_its_data_says_so_once_the_search_is_over() {
        let after = |since| Situation { leader: Some(2), missing: Some((9, since)), ..three(&[]) };
        let searching = after(Duration::ZERO).waits();
        assert!(searching[0].starts_with("the leader, node-2"), "{searching:?}");
        let stuck = after(SEARCH).waits();
        assert!(stuck[0].contains("ends at index 7") && stuck[0].contains("older copy"), "{stuck:?}");
        let in_doubt = Situation { in_doubt: [1].into(), ..after(SEARCH) }.waits();
        assert!(!in_doubt.iter().any(|wait| wait.contains("older copy")), "{in_doubt:?}");
    }

    #[test]
    fn a_node_with_a_new_certificate_key_says_so() {
        let waits = Situation { has_its_key: false, ..three(&[]) }.waits();
        assert!(waits[0].contains("another one than the membership records"), "{waits:?}");
    }

    #[test]
    fn a_node_with_the_data_folder_of_another_says_whose_it_is() {
        let swapped = Situation { own_name: "node-2".to_owned(), has_its_key: false, ..three(&[]) };
        let waits = swapped.waits();
        assert!(waits[0].contains("belongs to node-1, but this node is node-2"), "{waits:?}");
        assert!(!waits.iter().any(|wait| wait.contains("another key")), "the cause alone: {waits:?}");
    }

    #[test]
    fn a_node_whose_peers_all_answer_waits_for_a_leader() {
        assert_eq!(three(&[]).waits(), ["the election of a leader"]);
        let own = Situation { leader: Some(1), ..three(&[]) }.waits();
        assert_eq!(own, ["a majority of the nodes to confirm that this node leads"]);
    }
}
