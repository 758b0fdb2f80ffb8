//! Why a node refuses another one at the beginning of a connection: the rules, as a pure function of both prefaces, and
//! the refusal that it sends.

use std::fmt;

use prost::Message;

use super::content::{Preface, printable};
use super::credential::CannotProve;
use crate::clock;
use crate::raft::protocol::wire;
use crate::store::NotedStart;

/// How many characters of a reason that another node sends this one keeps.
const MAX_REASON: usize = 1024;
/// How many characters of a name that another node sends this one keeps.
const MAX_NAME: usize = 64;

/// Why a node refuses another one, for programs. The numbers are sent, so they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::raft) enum RefusalCode {
    /// It sent something else than the frame that comes next, or a damaged one.
    Malformed = 1,
    /// It belongs to another cluster.
    AnotherCluster = 2,
    /// It cannot read the level that is active in the cluster.
    LevelNotReadable = 3,
    /// It belongs to another incarnation of the cluster.
    AnotherIncarnation = 4,
    /// It did not prove that it holds the key of the connection's purpose.
    NotProven = 5,
    /// The cluster did not admit it.
    NotAdmitted = 6,
    /// The node that refuses has found that its own data folder is a copy, and ends.
    OwnCopy = 7,
    /// The node that refuses has noted another start of it meanwhile.
    NewerStart = 8,
    /// The node that refuses is sealed. The reason is why.
    Sealed = 9,
    /// The node that refuses is not ready for this. The reason is what it lacks.
    NotReady = 10,
    /// The cluster of the node that refuses has begun, so that node takes no connections of founders.
    ClusterBegun = 11,
}

impl RefusalCode {
    const ALL: [Self; 11] = [
        Self::Malformed,
        Self::AnotherCluster,
        Self::LevelNotReadable,
        Self::AnotherIncarnation,
        Self::NotProven,
        Self::NotAdmitted,
        Self::OwnCopy,
        Self::NewerStart,
        Self::Sealed,
        Self::NotReady,
        Self::ClusterBegun,
    ];

    /// The code with this number. `None` if this version does not know it.
    pub(super) fn of_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|code| *code as u32 == number)
    }
}

/// A refusal, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::raft) struct PrefaceRefusal {
    /// The number of a [`RefusalCode`], or one that this version does not know.
    pub code: u32,
    /// For a person: a sentence that names both nodes, or what the code says that it is.
    pub reason: String,
    /// The name of the node that refuses. Empty if that node says it to its members only.
    pub by: String,
}

impl std::error::Error for PrefaceRefusal {}

impl fmt::Display for PrefaceRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, by, .. } = self;
        let name = if by.is_empty() { "the node" } else { by };
        match () {
            () if self.is(RefusalCode::Sealed) => write!(f, "{name} is sealed: {reason}"),
            () if self.is(RefusalCode::NotReady) => write!(f, "{name} is not ready: {reason}"),
            () => f.write_str(reason),
        }
    }
}

impl PrefaceRefusal {
    fn new(code: RefusalCode, by: &str, reason: String) -> Self {
        Self { code: code as u32, reason, by: by.to_owned() }
    }

    /// Whether it is for this reason.
    pub(in crate::raft) fn is(&self, code: RefusalCode) -> bool {
        self.code == code as u32
    }

    /// A refusal of what is not the frame that comes next.
    pub(super) fn malformed(by: &str, what: &str) -> Self {
        let reason = format!("{by} received {what}: run versions of Keyraft that work together on both nodes");
        Self::new(RefusalCode::Malformed, by, reason)
    }

    /// A refusal for a purpose for which this node cannot prove itself. A stranger does not hear why.
    pub(super) fn cannot_prove(by: &str, cannot: CannotProve, is_member: bool) -> Self {
        let by = if is_member { by } else { "" };
        match cannot {
            CannotProve::Sealed(why) if is_member => Self::new(RefusalCode::Sealed, by, why),
            CannotProve::Sealed(_) => Self::new(RefusalCode::Sealed, by, "its own log says why".to_owned()),
            CannotProve::Starting | CannotProve::Blank => Self::new(RefusalCode::NotReady, by, cannot.to_string()),
            CannotProve::Begun | CannotProve::Open => {
                let reason = "the cluster has begun, and takes no node with an empty data folder: the log of that node says \
                              what to do";
                Self::new(RefusalCode::ClusterBegun, by, reason.to_owned())
            }
        }
    }

    /// A refusal of one stranger of many.
    pub(super) fn too_many_strangers() -> Self {
        let reason = "too many nodes that it does not know as members connect to it at once".to_owned();
        Self::new(RefusalCode::NotReady, "", reason)
    }

    pub(super) fn not_proven(own: &Preface, other: &Preface, founds: bool) -> Self {
        let (ours, theirs) = (&own.name, &other.name);
        let reason = if founds {
            format!(
                "{theirs} has another root key than {ours}, or another cluster.bootstrap_key: every node of a new cluster \
                 needs the same one (seal)"
            )
        } else {
            format!(
                "{theirs} did not prove to {ours} that it belongs to their cluster: it has another cluster key, or \
                 something between the two nodes opens their TLS connections. Check which machine listens at its \
                 address in cluster.peers"
            )
        };
        Self::new(RefusalCode::NotProven, ours, reason)
    }

    /// The membership records another TLS key for the data folder of the node that connects.
    pub(super) fn other_key(by: &str) -> Self {
        let reason = "the node that connects has another TLS key than the membership records for its data folder: start it \
                      with the key that it had, which is peer.key in that folder or cluster.tls.key";
        Self::new(RefusalCode::NotAdmitted, by, reason.to_owned())
    }

    /// The node that accepts has another TLS key than the one that this node expects at its address.
    pub(super) fn expects_other_key(by: &str) -> Self {
        let reason = format!(
            "{by} expects another TLS key at the address of this node: check that cluster.data of this node names its own \
             folder, and that the disk is mounted. Start it with the key that it had, which is peer.key in that folder or \
             cluster.tls.key. If that folder is lost, leave this node stopped"
        );
        Self::new(RefusalCode::NotAdmitted, by, reason)
    }

    pub(super) fn not_admitted(own: &Preface, other: &Preface) -> Self {
        let (ours, theirs) = (&own.name, &other.name);
        let reason = format!(
            "{theirs} did not show to {ours} that the cluster admitted it with this TLS key and this data folder: check \
             that cluster.data of {theirs} names its own folder, and that it has its own peer key (cluster.tls, or \
             peer.key in that folder)"
        );
        Self::new(RefusalCode::NotAdmitted, ours, reason)
    }

    /// This node refuses the other one because its own data folder lacks a start of it that the other one noted.
    pub(super) fn own_copy(own: &Preface, other: &Preface, noted: NotedStart) -> Self {
        let (ours, theirs) = (&own.name, &other.name);
        let at = i64::try_from(noted.at).ok().and_then(|at| at.checked_mul(1_000_000_000));
        let (start, at) = (noted.start, clock::rfc3339(at));
        let reason = format!(
            "{ours} ends: {theirs} noted start {start} of {ours} at {at}, and the data folder (cluster.data) of {ours} does \
             not know that start. So it is an older copy of the folder, or somebody has used a copy of it. An older folder \
             lacks writes that {ours} acknowledged, and using it can lose keys. If {ours} used another folder at that time, \
             put that one back. Otherwise leave {ours} stopped; this version cannot replace a node. The other nodes go on \
             without it while more than half of all nodes run"
        );
        Self::new(RefusalCode::OwnCopy, ours, reason)
    }

    /// Another connection of the other node was faster and had another start.
    pub(super) fn newer_start(own: &Preface, other: &Preface) -> Self {
        let (ours, theirs) = (&own.name, &other.name);
        let reason = format!("{ours} has noted another start of {theirs} meanwhile. {theirs} connects again by itself");
        Self::new(RefusalCode::NewerStart, ours, reason)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { code, reason, by } = self.clone();
        wire::PrefaceRefusal { code, reason, node_name: by }.encode_to_vec()
    }

    /// `None` when the content is damaged.
    pub(super) fn decode(content: &[u8]) -> Option<Self> {
        let wire::PrefaceRefusal { code, reason, node_name } = wire::PrefaceRefusal::decode(content).ok()?;
        Some(Self { code, reason: printable(&reason, MAX_REASON), by: printable(&node_name, MAX_NAME) })
    }
}

/// Why a node refuses another one for what it says, whether or not that is proven, if it does. A node that merely has not
/// applied the newest level is not refused.
pub(super) fn refusal_of(own: &Preface, other: &Preface) -> Option<PrefaceRefusal> {
    another_cluster(own, other).or_else(|| another_incarnation(own, other)).or_else(|| level_not_readable(own, other))
}

fn another_cluster(own: &Preface, other: &Preface) -> Option<PrefaceRefusal> {
    // A node that has applied nothing yet does not know its cluster. Its store shows whether it belongs to this one.
    let (ours, theirs) = (own.cluster?, other.cluster?);
    (ours != theirs).then(|| {
        let reason = format!(
            "{} belongs to the cluster {theirs}, and {} to the cluster {ours}: check the addresses in cluster.peers, \
             and that cluster.data of each names its own folder",
            other.name, own.name
        );
        PrefaceRefusal::new(RefusalCode::AnotherCluster, &own.name, reason)
    })
}

fn another_incarnation(own: &Preface, other: &Preface) -> Option<PrefaceRefusal> {
    let (ours, theirs) = (own.incarnation?, other.incarnation?);
    (ours != theirs).then(|| {
        let reason = format!(
            "{} belongs to the incarnation {theirs} of the cluster, and {} to the incarnation {ours}: one of them has \
             data from before the cluster was recovered or restored. Find out which, and keep both data folders",
            other.name, own.name
        );
        PrefaceRefusal::new(RefusalCode::AnotherIncarnation, &own.name, reason)
    })
}

fn level_not_readable(own: &Preface, other: &Preface) -> Option<PrefaceRefusal> {
    let level = own.active_level.filter(|level| !other.version.levels.contain(*level))?;
    let (name, version) = (&other.name, &other.version);
    let reason = format!(
        "{name} runs version {}, which can read {} only, and the cluster is at feature level {level}: run a version on \
         {name} that can read level {level}",
        version.release, version.levels
    );
    Some(PrefaceRefusal::new(RefusalCode::LevelNotReadable, &own.name, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::preface::content::ConnectionSide::{Acceptor, Connector};
    use crate::raft::preface::content::tests::preface;
    use crate::state::{ClusterId, IncarnationId};
    use crate::store::StartId;

    fn code_of(own: &Preface, other: &Preface) -> Option<u32> {
        refusal_of(own, other).map(|refusal| refusal.code)
    }

    #[test]
    fn only_a_node_that_is_known_to_be_of_another_cluster_is_refused() {
        let (a, mut b) = (preface("a", Acceptor), preface("b", Connector));
        assert_eq!(refusal_of(&a, &b), None);
        b.cluster = None;
        assert_eq!((refusal_of(&a, &b), refusal_of(&b, &a)), (None, None));
        b.cluster = Some(ClusterId([9; 16]));
        let refusal = refusal_of(&a, &b).unwrap();
        assert_eq!((refusal.code, refusal.by.as_str()), (2, "a"));
        assert!(refusal.reason.starts_with("b belongs to the cluster 0909"), "{refusal}");
        assert!(refusal.reason.contains(", and a to the cluster 0101"), "{refusal}");
        assert_eq!(code_of(&b, &a), Some(2));
    }

    #[test]
    fn a_node_of_another_incarnation_is_refused() {
        let incarnation = |byte| Some(IncarnationId([byte; 16]));
        let with = |incarnation| Preface { incarnation, ..preface("b", Connector) };
        let own = Preface { incarnation: incarnation(3), ..preface("a", Acceptor) };
        assert_eq!((code_of(&own, &with(None)), code_of(&own, &with(incarnation(3)))), (None, None));
        assert_eq!(code_of(&own, &with(incarnation(4))), Some(4));
    }

    #[test]
    fn only_a_member_hears_why_a_node_cannot_prove_itself() {
        let why = "/etc/keyraft/root.key is empty";
        let heard = |cannot, is_member| PrefaceRefusal::cannot_prove("a", cannot, is_member);
        let sealed = |is_member| heard(CannotProve::Sealed(why.to_owned()), is_member);
        assert_eq!((sealed(true).code, sealed(true).reason.as_str()), (9, why));
        assert_eq!(sealed(true).to_string(), format!("a is sealed: {why}"));
        assert_eq!((sealed(false).code, sealed(false).by.as_str()), (9, ""));
        assert_eq!(sealed(false).to_string(), "the node is sealed: its own log says why");
        assert_eq!(heard(CannotProve::Blank, false).code, 10);
        assert_eq!(heard(CannotProve::Begun, false).code, 11);
    }

    #[test]
    fn the_longest_refusal_fits_into_a_frame_and_is_read_whole() {
        let longest = |side| Preface { name: "n".repeat(64), ..preface("", side) };
        let noted = NotedStart { start: StartId { number: u64::MAX, random: [255; 16] }, at: 1_800_000_000 };
        let refusal = PrefaceRefusal::own_copy(&longest(Acceptor), &longest(Connector), noted);
        assert!(refusal.reason.contains(" noted start 18446744073709551615-ffffffff of n"), "{refusal}");
        assert!(refusal.reason.contains(" at 2027-01-15T08:00:00Z, and the data folder"), "{refusal}");
        assert_eq!(PrefaceRefusal::decode(&refusal.encode()), Some(refusal));
    }

    #[test]
    fn a_node_that_cannot_read_the_active_level_is_refused() {
        let (a, mut b) = (preface("a", Acceptor), preface("b", Connector));
        for (lowest, highest, expected) in [(1, 1, Some(3)), (3, 3, Some(3)), (1, 2, None), (2, 9, None)] {
            (b.version.levels.lowest, b.version.levels.highest) = (lowest, highest);
            assert_eq!(code_of(&a, &b), expected, "{lowest} to {highest}");
        }
        (b.version.levels.lowest, b.version.levels.highest) = (1, 1);
        let reason = "b runs version 1.0.0, which can read level 1 only, and the cluster is at feature level 2: run a \
                      version on b that can read level 2";
        assert_eq!(refusal_of(&a, &b).unwrap().reason, reason);
    }

    #[test]
    fn a_node_that_has_not_applied_the_newest_level_is_not_refused() {
        let (a, mut b) = (preface("a", Acceptor), preface("b", Connector));
        for behind in [None, Some(1)] {
            b.active_level = behind;
            assert_eq!((refusal_of(&a, &b), refusal_of(&b, &a)), (None, None));
        }
    }

    #[test]
    fn a_refusal_of_a_later_version_is_read_and_its_text_is_safe_in_a_log() {
        let sent = PrefaceRefusal { code: 99, reason: "no\u{1b}[31m ".repeat(200), by: "b\n".to_owned() };
        let read = PrefaceRefusal::decode(&sent.encode()).unwrap();
        assert_eq!((read.code, read.by.as_str(), read.reason.len()), (99, "b", MAX_REASON));
        assert!(read.reason.starts_with("no[31m no[31m"));
    }
}
