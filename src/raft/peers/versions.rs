//! The versions of Keyraft that the other nodes run, as their prefaces say.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;

use crate::policy::Identity;
use crate::raft::preface::content::{NodeVersion, Preface};
use crate::raft::protocol::types::{Member, NodeId};
use crate::state::ReadableLevels;

/// The version that each node last said it runs, by the key of its certificate.
#[derive(Default)]
pub(in crate::raft) struct PeerVersions(Mutex<HashMap<Identity, NodeVersion>>);

impl PeerVersions {
    /// Notes what the node with this key says, and logs its version when it is new.
    pub(in crate::raft) fn note(&self, key: Identity, preface: &Preface) {
        let version = &preface.version;
        if self.0.lock().insert(key, version.clone()).as_ref() != Some(version) {
            tracing::info!(
                peer = preface.name,
                version = version.release,
                lowest_level = version.levels.lowest,
                highest_level = version.levels.highest,
                active_level = preface.active_level,
                "a peer said which version it runs, and which feature levels it can read"
            );
        }
    }

    /// The version of the node with this key. `None` before the first connection with it.
    pub(in crate::raft) fn of(&self, key: Identity) -> Option<NodeVersion> {
        self.0.lock().get(&key).cloned()
    }

    /// Forgets the nodes that are not among these.
    pub(in crate::raft) fn keep(&self, members: &BTreeMap<NodeId, Member>) {
        self.0.lock().retain(|key, _| members.values().any(|member| member.key == *key));
    }

    /// The highest feature level that all of these members can read. `own` is the key of this node.
    ///
    /// # Errors
    /// The names of the members that have not said which levels they can read.
    pub(in crate::raft) fn highest_level_of_all(
        &self,
        own: Identity,
        members: &BTreeMap<NodeId, Member>,
    ) -> Result<u32, Vec<String>> {
        let mut highest = ReadableLevels::OWN.highest;
        let mut unknown = Vec::new();
        for member in members.values().filter(|member| member.key != own) {
            match self.of(member.key) {
                Some(version) => highest = highest.min(version.levels.highest),
                None => unknown.push(member.name.clone()),
            }
        }
        if unknown.is_empty() { Ok(highest) } else { Err(unknown) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::preface::content::ConnectionSide;
    use crate::store::StoreId;

    fn key(byte: u8) -> Identity {
        Identity::from_bytes([byte; Identity::LEN])
    }

    fn members() -> BTreeMap<NodeId, Member> {
        (1..=3u8).map(|id| (id.into(), Member { name: format!("n{id}"), key: key(id), ..Member::default() })).collect()
    }

    fn says(highest: u32) -> Preface {
        let levels = ReadableLevels { lowest: 1, highest };
        Preface {
            side: ConnectionSide::Connector,
            node_id: 0,
            name: String::new(),
            store_id: StoreId([0; 16]),
            cluster: None,
            incarnation: None,
            start: None,
            noted_start: None,
            version: NodeVersion { release: highest.to_string(), levels },
            active_level: None,
            admission: None,
        }
    }

    #[test]
    fn the_highest_level_of_all_is_known_once_every_member_has_said_its_own() {
        let versions = PeerVersions::default();
        let unknown = |names: &[&str]| Err(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(versions.highest_level_of_all(key(1), &members()), unknown(&["n2", "n3"]));
        versions.note(key(2), &says(9));
        assert_eq!(versions.highest_level_of_all(key(1), &members()), unknown(&["n3"]));
        versions.note(key(3), &says(1));
        assert_eq!(versions.highest_level_of_all(key(1), &members()), Ok(1));
        versions.note(key(3), &says(9));
        assert_eq!(versions.highest_level_of_all(key(1), &members()), Ok(ReadableLevels::OWN.highest));
    }

    #[test]
    fn a_node_that_is_no_longer_a_member_is_forgotten() {
        let versions = PeerVersions::default();
        (2..=4).for_each(|id| versions.note(key(id), &says(1)));
        versions.keep(&members());
        assert_eq!([2, 3, 4].map(|id| versions.of(key(id)).is_some()), [true, true, false]);
    }
}
