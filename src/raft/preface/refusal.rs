//! Why a node refuses another one at the beginning of a connection: the rules, as a pure function of both prefaces, and
//! the refusal that it sends.

use prost::Message;

use super::content::{Preface, printable};
use crate::raft::protocol::wire;

/// How many characters of a reason that another node sends this one keeps.
const MAX_REASON: usize = 512;
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
}

/// A refusal, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(in crate::raft) struct PrefaceRefusal {
    /// The number of a [`RefusalCode`], or one that this version does not know.
    pub code: u32,
    /// A sentence for a person, which names both nodes.
    pub reason: String,
    /// The name of the node that refuses.
    pub by: String,
}

impl PrefaceRefusal {
    fn new(code: RefusalCode, own: &Preface, reason: String) -> Self {
        Self { code: code as u32, reason, by: own.name.clone() }
    }

    /// A refusal of what is not a preface.
    pub(super) fn malformed(own: &Preface, what: &str) -> Self {
        let name = &own.name;
        let reason = format!("{name} received {what}: run versions of Keyraft that work together on both nodes");
        Self::new(RefusalCode::Malformed, own, reason)
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

/// Why a node refuses another one, if it does. A node that merely has not applied the newest level is not refused.
pub(super) fn refusal_of(own: &Preface, other: &Preface) -> Option<PrefaceRefusal> {
    another_cluster(own, other).or_else(|| level_not_readable(own, other))
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
        PrefaceRefusal::new(RefusalCode::AnotherCluster, own, reason)
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
    Some(PrefaceRefusal::new(RefusalCode::LevelNotReadable, own, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::preface::content::ConnectionSide::{Acceptor, Connector};
    use crate::raft::preface::content::tests::preface;
    use crate::state::ClusterId;

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
        let sent = PrefaceRefusal { code: 99, reason: "no\u{1b}[31m ".repeat(100), by: "b\n".to_owned() };
        let read = PrefaceRefusal::decode(&sent.encode()).unwrap();
        assert_eq!((read.code, read.by.as_str(), read.reason.len()), (99, "b", MAX_REASON));
        assert!(read.reason.starts_with("no[31m no[31m"));
    }
}
