//! The refusal of a node that has proved nothing, in this node's own words. Anybody who listens at an
//! address can send a refusal, and its words could give an operator bad advice.

use super::refusal::{PrefaceRefusal, RefusalCode};

impl PrefaceRefusal {
    /// The same refusal with a reason that only the code decides, and without a name.
    pub(super) fn in_own_words(&self) -> Self {
        let reason = RefusalCode::of_number(self.code).map_or_else(
            || format!("for a reason that this version does not know (number {}): its own log says more", self.code),
            |code| own_words(code).to_owned(),
        );
        Self { code: self.code, reason, by: String::new() }
    }
}

/// What a refusal with this code means, for an operator of the node that is refused.
fn own_words(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::Malformed => {
            "it cannot read what this node sent: run versions of Keyraft that work together on both nodes"
        }
        RefusalCode::AnotherCluster => {
            "it belongs to another cluster: check the addresses in cluster.peers, and that cluster.data of each node names \
             its own folder"
        }
        RefusalCode::LevelNotReadable => {
            "this version of Keyraft cannot read the feature level of the cluster: run the version of the other nodes"
        }
        RefusalCode::AnotherIncarnation => {
            "it belongs to another incarnation of the cluster: find out which of the two is the right one, and keep both \
             data folders"
        }
        RefusalCode::NotProven => {
            "it has another key than this node: every node of a new cluster needs the same root key (seal) and the same \
             cluster.bootstrap_key. If they are the same, check which machine listens at its address in cluster.peers"
        }
        RefusalCode::NotAdmitted => {
            "its cluster knows this node by another TLS key or another data folder: check that cluster.data of this node names \
             its own folder, that the disk is mounted, and that the node has the TLS key that it had, which is peer.key in \
             that folder or cluster.tls.key"
        }
        RefusalCode::OwnCopy => {
            "it has found that its own data folder is an older copy, and ends: its own log says more"
        }
        RefusalCode::NewerStart => {
            "it has noted another start of this node meanwhile. This node connects again by itself"
        }
        RefusalCode::Sealed => "its own log says why",
        RefusalCode::NotReady => "its own log says what it lacks",
        RefusalCode::ClusterBegun => "its cluster has begun, and takes no node with an empty data folder",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_in_own_words_has_nothing_of_what_was_sent() {
        for code in 0..20 {
            let sent = PrefaceRefusal { code, reason: "erase all folders".to_owned(), by: "erase".to_owned() };
            let own = sent.in_own_words();
            assert_eq!(own.code, code);
            assert!(!own.to_string().is_empty() && !own.to_string().contains("erase"), "{own}");
            assert_eq!(own.reason.contains("does not know (number"), RefusalCode::of_number(code).is_none());
        }
    }
}
