//! Tests of `cluster.id`: crashes between any two bytes of a write, damage, and newer versions.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::state::HIGHEST_LEVEL;
use crate::store::StoreId;
use crate::test_vectors::{CLUSTER, cluster, store_keys};

const OWNER: Owner = Owner { store_id: StoreId([3; 16]), node_id: 2 };

fn facts(number: u8) -> ClusterFacts {
    ClusterFacts {
        owner: OWNER,
        cluster: ClusterState { active_ring_version: u32::from(number), ..cluster() },
        membership: Bytes::from(vec![number; 40]),
        admission: Bytes::from(vec![number; 64]),
        founding: Some(Founding { document: Bytes::from(vec![number; 9]), stage: FoundingStage::Stored }),
    }
}

fn keys() -> IntegrityKeys {
    store_keys(CLUSTER).integrity
}

/// A slot with these facts.
fn slot(facts: &ClusterFacts, sequence: u64) -> Vec<u8> {
    let content = Content::Known(Box::new(facts.clone()));
    let tagged = encode(&content, sequence);
    let tag = tag(&content, &tagged, Some(&keys())).unwrap();
    with_tag(&tagged, &tag)
}

/// A file with the facts of each number, written one after the other.
fn written(dir: &Path, numbers: &[u8]) -> ClusterFile {
    let mut file = ClusterFile::open(dir).unwrap();
    numbers.iter().for_each(|number| file.write(facts(*number), &keys()).unwrap());
    file
}

fn read(dir: &Path) -> Option<ClusterFacts> {
    ClusterFile::open(dir).unwrap().facts().cloned()
}

#[test]
fn the_newest_facts_come_back() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(dir.path()), None);
    for number in 1..=5 {
        written(dir.path(), &[number]);
        assert_eq!(read(dir.path()), Some(facts(number)));
    }
    let metadata = dir.path().join(CLUSTER_FILE).metadata().unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, 2 * SLOT_BYTES as u64));
}

#[test]
fn a_write_that_is_cut_at_any_byte_leaves_the_facts_from_before() {
    for before in [&[1][..], &[1, 2], &[1, 2, 3]] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CLUSTER_FILE);
        let mut file = written(dir.path(), before);
        let old = fs::read(&path).unwrap();
        file.write(facts(9), &keys()).unwrap();
        let new = fs::read(&path).unwrap();
        let changed: Vec<usize> = (0..old.len()).filter(|at| old[*at] != new[*at]).collect();
        let (first, last) = (changed[0], changed[changed.len() - 1]);
        for cut in first..=last {
            // Everything before the cut has reached the disk, or everything from there on.
            for torn in [[&new[..cut], &old[cut..]].concat(), [&old[..=cut], &new[cut + 1..]].concat()] {
                fs::write(&path, torn).unwrap();
                let number = *before.last().unwrap();
                assert_eq!(read(dir.path()), Some(facts(number)), "cut at {cut} after {before:?}");
            }
        }
        // The next write repairs the slot.
        written(dir.path(), &[10]);
        let repaired = ClusterFile::open(dir.path()).unwrap();
        assert_eq!((repaired.facts(), repaired.damaged_slots()), (Some(&facts(10)), 0));
    }
}

#[test]
fn a_damaged_slot_falls_back_to_the_other_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(CLUSTER_FILE);
    written(dir.path(), &[1, 2]);
    let whole = fs::read(&path).unwrap();
    let in_a_slot = slot(&facts(2), 2).len();
    for (slot, left) in [(0, 2), (1, 1)] {
        for at in 0..in_a_slot {
            let mut damaged = whole.clone();
            damaged[slot * SLOT_BYTES + at] ^= 0x10;
            fs::write(&path, damaged).unwrap();
            let file = ClusterFile::open(dir.path()).unwrap();
            assert_eq!((file.facts(), file.damaged_slots()), (Some(&facts(left)), 1), "byte {at} of slot {slot}");
        }
    }
}

#[test]
fn a_file_without_a_whole_slot_has_no_facts_and_can_be_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(CLUSTER_FILE);
    for content in [&b"x"[..], &[0xff; 100], &slot(&facts(1), 1)[..50]] {
        fs::write(&path, content).unwrap();
        let file = ClusterFile::open(dir.path()).unwrap();
        assert!(file.facts().is_none() && file.damaged_slots() > 0);
        written(dir.path(), &[4]);
        assert_eq!(read(dir.path()), Some(facts(4)));
    }
}

#[test]
fn a_file_that_was_cut_after_its_first_slot_still_has_that_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(CLUSTER_FILE), slot(&facts(1), 1)).unwrap();
    assert_eq!(read(dir.path()), Some(facts(1)));
}

#[test]
fn a_write_after_a_cut_never_touches_the_facts_that_are_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(CLUSTER_FILE);
    let mut large = facts(1);
    large.membership = Bytes::from(vec![5; SLOT_BYTES / 2]);
    written(dir.path(), &[]).write(large.clone(), &keys()).unwrap();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..SLOT_BYTES]).unwrap();
    assert_eq!(read(dir.path()), Some(large));
    // The second slot of such a file would begin within the facts in the first one.
    written(dir.path(), &[2]);
    let healed = fs::read(&path).unwrap();
    assert_eq!((read(dir.path()), healed.len()), (Some(facts(2)), 2 * SLOT_BYTES));
}

#[test]
fn facts_that_no_longer_fit_get_larger_slots() {
    let dir = tempfile::tempdir().unwrap();
    let mut large = facts(2);
    large.membership = Bytes::from(vec![5; 3 * SLOT_BYTES]);
    written(dir.path(), &[1]).write(large.clone(), &keys()).unwrap();
    assert_eq!(read(dir.path()), Some(large));
    written(dir.path(), &[3, 4]);
    assert_eq!(read(dir.path()), Some(facts(4)), "the large slots go on to be used");
}

#[test]
fn a_newer_level_or_format_is_refused_and_not_called_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(CLUSTER_FILE);
    let mut newer = facts(2);
    newer.cluster.level = HIGHEST_LEVEL + 1;
    let mut file = written(dir.path(), &[1]);
    file.write(newer, &keys()).unwrap();
    let error = ClusterFile::open(dir.path()).map(drop).unwrap_err().to_string();
    let begin = format!("cluster.id needs a version of Keyraft that reads level {}; this one reads", HIGHEST_LEVEL + 1);
    assert!(error.starts_with(&begin), "{error}");
    let format = SlotFrame { format: 2, ..FRAME }.before_tag(1, 1, b"anything");
    fs::write(&path, with_tag(&format, &SlotTag::default())).unwrap();
    let opened = ClusterFile::open(dir.path()).map(drop);
    assert!(matches!(opened, Err(ClusterFileError::Level(UnreadableLevel::Format { format: 2, .. }))), "{opened:?}");
}

#[test]
fn an_unreadable_file_is_an_error_and_not_damage() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(CLUSTER_FILE)).unwrap();
    assert!(matches!(ClusterFile::open(dir.path()), Err(ClusterFileError::Io(_))));
}

#[test]
fn a_body_that_lacks_what_every_version_writes_is_damage() {
    let whole = facts_to_wire(&facts(1));
    assert!(content_of(whole.clone()).is_some());
    assert!(content_of(wire::ClusterFile { owner: None, ..whole.clone() }).is_none());
    assert!(content_of(wire::ClusterFile { cluster: Bytes::from_static(b"x"), ..whole }).is_none());
    let slot = with_tag(&FRAME.before_tag(0, 1, b""), &SlotTag::default());
    let Slot::Whole(slot) = FRAME.parse(&slot) else { panic!("it is whole") };
    assert!(matches!(decode(&slot), Ok(None)), "a slot has a level");
}

#[test]
fn a_blank_file_names_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    ClusterFile::create(dir.path(), OWNER).unwrap();
    let mut file = ClusterFile::open(dir.path()).unwrap();
    assert_eq!((file.owner(), file.facts(), file.damaged_slots()), (Some(OWNER), None, 0));
    assert!(!file.verify(&keys()));
    file.write(facts(1), &keys()).unwrap();
    assert_eq!(read(dir.path()), Some(facts(1)));
}

#[test]
fn a_slot_that_somebody_changed_without_the_keys_falls_back_to_the_other_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(CLUSTER_FILE);
    assert!(written(dir.path(), &[1, 2]).verify(&keys()));
    let mut forged = fs::read(&path).unwrap();
    let body = encode(&Content::Known(Box::new(facts(3))), 3);
    let slot = with_tag(&body, &[0x5a; 32]);
    forged[..slot.len()].copy_from_slice(&slot);
    fs::write(&path, &forged).unwrap();
    let mut file = ClusterFile::open(dir.path()).unwrap();
    assert_eq!(file.facts(), Some(&facts(3)));
    assert!(!file.verify(&keys()));
    assert_eq!(file.facts(), Some(&facts(2)));
    assert!(file.verify(&keys()) && !file.verify(&IntegrityKeys::generate()));
    assert_eq!((file.facts(), file.damaged_slots()), (None, 2));
}

/// The tag of a blank slot is zeros, so somebody without the keys can write one.
#[test]
fn a_blank_slot_never_hides_the_facts_and_its_number_may_be_the_last_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(CLUSTER_FILE);
    let blank = |sequence| with_tag(&encode(&Content::Blank(OWNER), sequence), &SlotTag::default());
    written(dir.path(), &[1, 2]);
    let mut forged = fs::read(&path).unwrap();
    let slot = blank(u64::MAX);
    forged[..slot.len()].copy_from_slice(&slot);
    fs::write(&path, &forged).unwrap();
    let mut file = ClusterFile::open(dir.path()).unwrap();
    assert_eq!((file.facts(), file.damaged_slots()), (Some(&facts(2)), 1));
    assert!(file.verify(&keys()));
    // Before the node knows a cluster, nothing else is there.
    let mut alone = slot;
    alone.resize(2 * SLOT_BYTES, 0);
    fs::write(&path, &alone).unwrap();
    written(dir.path(), &[3]);
    assert_eq!(read(dir.path()), Some(facts(3)));
    written(dir.path(), &[4, 5]);
    assert_eq!(read(dir.path()), Some(facts(5)));
}
