//! Changes of the key ring and its seals, one after the other, in a cluster of three members.

use std::cell::Cell;

use bytes::Bytes;

use super::tests::{ADMIN, command};
use super::*;
use crate::crypto::SealedIntegrityKey;
use crate::state::{
    ClusterId, ClusterSecrets, IncarnationId, Memory, RequestId, ResealedKeys, RingChange, RingLink, RingNote,
    RingVersion, Seal, SealId,
};
use crate::test_vectors::no_secrets;

const FIRST: SealId = SealId([1; 16]);
const SECOND: SealId = SealId([2; 16]);

/// A cluster whose ring has one version, and how many records are sealed under that.
struct World {
    cluster: ClusterState,
    members: Vec<u64>,
    records_under_first: u64,
    commands: Cell<u8>,
}

impl World {
    fn new() -> Self {
        let cluster = ClusterState {
            id: ClusterId([0; 16]),
            incarnation: IncarnationId([0; 16]),
            secrets: ClusterSecrets {
                sealed_key: sealed_under(1),
                integrity_keys: resealed(1, &[1]).integrity_keys,
                ..no_secrets()
            },
            level: 1,
            ring: vec![RingVersion::first(1, vec![wrap(FIRST)])],
            active_ring_version: 1,
            time_ns: 0,
            created_at: None,
            seals: vec![Seal { id: FIRST, name: "first".to_owned() }],
            last_ring_version: 1,
            ring_notes: Vec::new(),
        };
        Self { cluster, members: vec![1, 2, 3], records_under_first: 0, commands: Cell::new(0) }
    }

    fn decide(&mut self, actor: Actor, change: RingChange) -> Outcome {
        self.commands.set(self.commands.get() + 1);
        let id = RequestId([self.commands.get(); 16]);
        let encoded = command(actor, None, Operation::Ring(change)).encode(1, id, 0);
        let (members, records) = (self.members.clone(), self.records_under_first);
        let current = Current {
            cluster: Some(&self.cluster),
            rules: &Rules::default(),
            record: &|_, _| None,
            memory: &Memory::default(),
            members: &|| members.clone(),
            records_under: &|version| if version == 1 { records } else { 0 },
        };
        let (outcome, changes) = apply(&encoded, current);
        for change in changes {
            let Change::SetCluster(stored) = change else { panic!("only the facts change: {change:?}") };
            assert_eq!(ClusterState::decode(&stored.bytes).unwrap(), stored.value);
            self.cluster = stored.value;
        }
        outcome.known().unwrap()
    }

    fn by_node(&mut self, change: RingChange) -> Outcome {
        self.decide(Actor::Node, change)
    }

    fn add(&mut self, version: u32, previous: u32, seals: &[SealId]) -> Outcome {
        self.by_node(RingChange::AddVersion(added(version, previous, seals)))
    }

    fn activate(&mut self, version: u32) -> Outcome {
        self.by_node(RingChange::ActivateVersion { version })
    }

    fn drop_version(&mut self, version: u32) -> Outcome {
        self.by_node(RingChange::DropVersion { version })
    }

    fn add_seal(&mut self, id: SealId, name: &str, versions: &[u32]) -> Outcome {
        let seal = Seal { id, name: name.to_owned() };
        let wraps = versions.iter().map(|version| (*version, wrap(id))).collect();
        self.by_node(RingChange::AddSeal { seal, wraps })
    }

    fn note(&mut self, node: u64, versions: &[u32], seals: &[SealId]) {
        let note = RingNote { node, versions: versions.into(), seals: seals.into() };
        assert_eq!(self.by_node(RingChange::NoteOpened(note)), Outcome::Done);
    }

    fn all_note(&mut self, versions: &[u32], seals: &[SealId]) {
        self.members.clone().into_iter().for_each(|node| self.note(node, versions, seals));
    }

    fn versions(&self) -> Vec<u32> {
        self.cluster.ring.iter().map(|version| version.version).collect()
    }
}

/// A wrap of the right form.
fn wrap(seal: SealId) -> Bytes {
    [&[1][..], &seal.0, &[7; 60]].concat().into()
}

fn added(version: u32, previous: u32, seals: &[SealId]) -> RingVersion {
    let sealed = [&[1][..], &[8; 60]].concat().into();
    let wraps = seals.iter().map(|seal| wrap(*seal)).collect();
    let link = Some(RingLink { previous, sealed });
    RingVersion { version, wraps, link, resealed: Some(resealed(version, &[1])) }
}

/// A key of the cluster, sealed under this version.
fn sealed_under(version: u32) -> Bytes {
    [&[1][..], &version.to_be_bytes(), &[9; 60]].concat().into()
}

/// All keys of the cluster, with these versions of the integrity keys.
fn resealed(version: u32, integrity: &[u32]) -> ResealedKeys {
    let key = |number: &u32| SealedIntegrityKey { version: *number, sealed: sealed_under(version).to_vec() };
    ResealedKeys { cluster_key: sealed_under(version), integrity_keys: integrity.iter().map(key).collect() }
}

#[test]
fn a_version_becomes_active_once_every_member_has_noted_it() {
    let mut world = World::new();
    assert_eq!(world.activate(2), Outcome::RingVersionNotFound);
    assert_eq!(world.add(2, 1, &[FIRST]), Outcome::Done);
    assert_eq!(world.cluster.active_ring_version, 1);
    assert_eq!(world.activate(2), Outcome::RingNotOpened);
    world.note(1, &[1, 2], &[FIRST]);
    // One member opened it under the version before, because its seal lacks a wrap.
    world.note(2, &[1, 2], &[]);
    world.note(3, &[1], &[FIRST]);
    assert_eq!(world.activate(2), Outcome::RingNotOpened);
    world.note(3, &[1, 2], &[FIRST]);
    // A learner counts, too.
    world.members.push(4);
    assert_eq!(world.activate(2), Outcome::RingNotOpened);
    world.members.pop();
    assert_eq!(world.activate(2), Outcome::Done);
    assert_eq!(world.cluster.active_ring_version, 2);
    assert_eq!((world.activate(2), world.activate(1)), (Outcome::RingVersionActive, Outcome::RingVersionActive));
}

#[test]
fn the_keys_of_the_cluster_change_with_the_active_version() {
    let mut world = World::new();
    let other = RingVersion { resealed: Some(resealed(2, &[1, 2])), ..added(2, 1, &[FIRST]) };
    assert_eq!(world.by_node(RingChange::AddVersion(other)), Outcome::RingChanged);
    assert_eq!(world.add(2, 1, &[FIRST]), Outcome::Done);
    assert_eq!(world.add(3, 1, &[FIRST]), Outcome::Done);
    world.all_note(&[1, 2, 3], &[FIRST]);
    assert_eq!(world.cluster.secrets.sealed_key, sealed_under(1));
    assert_eq!(world.activate(3), Outcome::Done);
    let ClusterSecrets { sealed_key, integrity_keys, .. } = world.cluster.secrets.clone();
    assert_eq!((sealed_key, integrity_keys), (sealed_under(3), resealed(3, &[1]).integrity_keys));
    assert!(world.cluster.ring.iter().all(|version| version.resealed.is_none()));
    assert_eq!(world.drop_version(1), Outcome::Done);
    // Another version of the integrity keys comes after a ring version was added. It must be added again.
    assert_eq!(world.add(4, 3, &[FIRST]), Outcome::Done);
    world.all_note(&[2, 3, 4], &[FIRST]);
    world.cluster.secrets.integrity_keys = resealed(3, &[1, 2]).integrity_keys;
    assert_eq!(world.activate(4), Outcome::RingChanged);
    // A version that seals a key of the cluster stays.
    world.cluster.secrets.sealed_key = sealed_under(2);
    assert_eq!(world.drop_version(2), Outcome::RingVersionInUse);
}

#[test]
fn an_added_version_has_the_next_number_and_is_sealed_under_the_active_one() {
    let mut world = World::new();
    assert_eq!(world.add(1, 1, &[FIRST]), Outcome::RingVersionExists);
    assert_eq!(world.add(3, 1, &[FIRST]), Outcome::RingChanged);
    assert_eq!(world.add(2, 2, &[FIRST]), Outcome::RingChanged);
    assert_eq!(world.add(2, 1, &[SECOND]), Outcome::RingChanged);
    for malformed in [
        added(2, 1, &[]),
        added(2, 1, &[FIRST, FIRST]),
        RingVersion { link: None, ..added(2, 1, &[FIRST]) },
        RingVersion { link: Some(RingLink { previous: 1, sealed: Bytes::new() }), ..added(2, 1, &[FIRST]) },
        RingVersion { wraps: vec![Bytes::from_static(b"wrap")], ..added(2, 1, &[FIRST]) },
        RingVersion { resealed: None, ..added(2, 1, &[FIRST]) },
        RingVersion { resealed: Some(resealed(1, &[1])), ..added(2, 1, &[FIRST]) },
    ] {
        assert_eq!(world.by_node(RingChange::AddVersion(malformed)), Outcome::Malformed);
    }
    assert_eq!(world.versions(), [1]);
    assert_eq!(world.add(2, 1, &[FIRST]), Outcome::Done);
    assert_eq!(world.add(2, 1, &[FIRST]), Outcome::RingVersionExists);
    // A version that was never active can go, and its number is not used again.
    assert_eq!(world.drop_version(2), Outcome::Done);
    assert_eq!(world.add(2, 1, &[FIRST]), Outcome::RingVersionExists);
    for version in 3..66 {
        assert_eq!(world.add(version, 1, &[FIRST]), Outcome::Done);
    }
    assert_eq!(world.add(66, 1, &[FIRST]), Outcome::TooManyVersions);
}

#[test]
fn a_version_is_dropped_once_it_seals_nothing_and_every_member_opens_the_others_by_wraps() {
    let mut world = World::new();
    assert_eq!(world.add(2, 1, &[FIRST]), Outcome::Done);
    world.all_note(&[1, 2], &[FIRST]);
    assert_eq!(world.drop_version(1), Outcome::RingVersionActive);
    assert_eq!(world.activate(2), Outcome::Done);
    assert_eq!(world.drop_version(3), Outcome::RingVersionNotFound);
    world.records_under_first = 1;
    assert_eq!(world.drop_version(1), Outcome::RingVersionInUse);
    world.records_under_first = 0;
    world.note(2, &[1, 2], &[]);
    assert_eq!(world.drop_version(1), Outcome::RingNotOpened);
    world.note(2, &[1, 2], &[FIRST]);
    assert_eq!(world.drop_version(1), Outcome::Done);
    assert_eq!(world.cluster.ring, [RingVersion::first(2, vec![wrap(FIRST)])]);
    assert!(world.cluster.ring_notes.iter().all(|note| note.versions == [2]));
}

#[test]
fn a_seal_has_a_wrap_of_every_version() {
    let mut world = World::new();
    assert_eq!(world.add_seal(SECOND, "first", &[1]), Outcome::SealExists);
    assert_eq!(world.add_seal(FIRST, "second", &[1]), Outcome::SealExists);
    assert_eq!(world.add_seal(SECOND, "not a name", &[1]), Outcome::Malformed);
    let other = RingChange::AddSeal { seal: world.cluster.seals[0].clone(), wraps: vec![(1, wrap(SECOND))] };
    assert_eq!(world.by_node(other), Outcome::Malformed);
    assert_eq!(world.add_seal(SECOND, "second", &[]), Outcome::RingChanged);
    assert_eq!(world.add_seal(SECOND, "second", &[1]), Outcome::Done);
    assert_eq!(world.add_seal(SECOND, "second", &[1]), Outcome::SealExists);
    assert_eq!(world.cluster.ring[0].wraps, [wrap(FIRST), wrap(SECOND)]);
    // A node with the first root key alone adds a version, and a node with the second one adds its wrap.
    assert_eq!(world.add(2, 1, &[FIRST]), Outcome::Done);
    assert_eq!(world.add_seal(SECOND, "second", &[2]), Outcome::Done);
    assert_eq!(world.add_seal(SECOND, "second", &[1, 2]), Outcome::SealExists);
    assert_eq!(world.cluster.ring[1].wraps, [wrap(FIRST), wrap(SECOND)]);
    for number in 3..9 {
        assert_eq!(world.add_seal(SealId([number; 16]), &format!("seal-{number}"), &[1, 2]), Outcome::Done);
    }
    assert_eq!(world.add_seal(SealId([9; 16]), "ninth", &[1, 2]), Outcome::TooManyVersions);
}

#[test]
fn a_seal_is_removed_once_every_member_opens_the_ring_by_another_one() {
    let mut world = World::new();
    let remove = |id| RingChange::RemoveSeal { id };
    world.all_note(&[1], &[FIRST]);
    assert_eq!(world.by_node(remove(SECOND)), Outcome::SealNotFound);
    assert_eq!(world.by_node(remove(FIRST)), Outcome::RingNotOpened);
    assert_eq!(world.add_seal(SECOND, "second", &[1]), Outcome::Done);
    world.note(1, &[1], &[FIRST, SECOND]);
    world.note(2, &[1], &[SECOND]);
    assert_eq!(world.by_node(remove(FIRST)), Outcome::RingNotOpened);
    world.note(3, &[1], &[SECOND]);
    assert_eq!(world.by_node(remove(FIRST)), Outcome::Done);
    assert_eq!(world.cluster.ring[0].wraps, [wrap(SECOND)]);
    assert_eq!(world.cluster.seals.len(), 1);
    assert!(world.cluster.ring_notes.iter().all(|note| note.seals == [SECOND]));
    assert_eq!(world.by_node(remove(SECOND)), Outcome::RingNotOpened);
}

#[test]
fn only_what_exists_is_noted_of_members() {
    let mut world = World::new();
    world.note(3, &[9, 1, 1], &[SECOND, FIRST]);
    world.note(1, &[1], &[FIRST]);
    world.note(7, &[1], &[FIRST]);
    let note = |node| RingNote { node, versions: vec![1], seals: vec![FIRST] };
    assert_eq!(world.cluster.ring_notes, [note(1), note(3)]);
    // What was noted of a node that was removed goes with the next note.
    world.members = vec![1, 2];
    world.note(2, &[1], &[FIRST]);
    assert_eq!(world.cluster.ring_notes, [note(1), note(2)]);
    let many = RingNote { node: 1, versions: (1..66).collect(), seals: Vec::new() };
    assert_eq!(world.by_node(RingChange::NoteOpened(many)), Outcome::Malformed);
}

#[test]
fn no_client_changes_the_ring() {
    for change in crate::state::every_ring_change() {
        assert_eq!(World::new().decide(ADMIN, change), Outcome::Denied);
    }
}
