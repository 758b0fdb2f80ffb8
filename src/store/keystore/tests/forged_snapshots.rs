//! Tests of snapshots whose checksum holds, but that no node would write, or that stand in the place of another one.

use std::fs;
use std::path::Path;

use super::*;
use crate::policy::{Policy, PolicyName};
use crate::state::{Digest, HIGHEST_LEVEL, stored_policy};
use crate::store::entries;
use crate::store::snapshot_reader::SnapshotReader;
use crate::store::testing::{digest_key, tags_of};

/// What an entry is, and the entry: key and value.
type Entry = (&'static str, Vec<u8>, Vec<u8>);

/// A whole snapshot file in which only these entries are wrong, if at all. Its digest counts them.
fn forged(snapshots: &Snapshots, header: &SnapshotHeader, entries: &[Entry]) -> std::path::PathBuf {
    let mut applied = Applied { entries: 0, digest: Digest::default(), ..header.applied.clone() };
    for (_, key, value) in entries {
        applied.entries += 1;
        applied.digest.add(&digest_key(), key, value);
    }
    let mut writer = snapshots.write(SnapshotHeader { applied, ..header.clone() }).unwrap();
    entries.iter().for_each(|(_, key, value)| writer.entry(key, value).unwrap());
    writer.finish().unwrap().path
}

#[test]
fn a_received_snapshot_with_an_entry_that_no_node_writes_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, snapshots, keystore) = filled(open(dir.path()), 1);
    let Change::SetCluster(cluster) = initialised() else { panic!("it sets the cluster") };
    let Change::PutKey { record, .. } = created("a", 1) else { panic!("it puts a key") };
    let key = |name: &[u8]| entries::key(entries::KEY, &[name, &[0, 0, 0, 0, 1]].concat());
    let with = |at: usize, byte: u8| {
        let mut record = record.to_vec();
        record[at] = byte;
        record
    };
    let policy = PolicyName::parse("app").unwrap();
    let stored = stored_policy(&policy, Policy::default(), Author::default()).bytes;
    let cluster = ("the cluster", entries::CLUSTER.to_vec(), cluster.bytes.to_vec());
    let whole = ("a whole record", key(b"a"), record.to_vec());
    let mut ring_versions = RecordsPerRingVersion::default();
    ring_versions.add_version(1);
    let header = SnapshotHeader {
        ring_versions,
        applied: Applied { memory_first: 1, ..keystore.begin_snapshot().header().applied.clone() },
        ..keystore.begin_snapshot().header().clone()
    };
    let accept =
        |header: &SnapshotHeader, entries: &[Entry]| snapshots.accept(&forged(&snapshots, header, entries), None);
    accept(&header, &[cluster.clone(), whole.clone()]).unwrap();
    for wrong in [
        ("an unknown format", key(b"a"), with(0, 9)),
        ("an unknown flag", key(b"a"), with(1, 64)),
        ("an unknown cipher", key(b"a"), with(2, 9)),
        ("another version", key(b"a"), with(22, 9)),
        ("a short record", key(b"a"), record[..26].to_vec()),
        ("no name", key(b""), record.to_vec()),
        ("a zero byte in the name", key(b"a\0b"), record.to_vec()),
        ("an invalid name", key(b"a/b"), record.to_vec()),
        ("a policy under another name", b"pother".to_vec(), stored.to_vec()),
        ("a page of another number", [&b"o"[..], &9u64.to_be_bytes()].concat(), vec![0; 8 + 28]),
    ] {
        let refused = accept(&header, &[cluster.clone(), wrong.clone()]);
        assert!(matches!(refused, Err(ReadError::Damaged(Damage::Entry(_)))), "{}: {refused:?}", wrong.0);
    }
    for twice in [&cluster, &whole] {
        let refused = accept(&header, &[cluster.clone(), whole.clone(), twice.clone()]);
        assert!(matches!(refused, Err(ReadError::Damaged(Damage::Entry(_)))), "{} twice: {refused:?}", twice.0);
    }
    let applied = Applied { memory_forgotten_index: 2, ..header.applied.clone() };
    let refused = accept(&SnapshotHeader { applied, ..header }, &[cluster, whole]);
    assert!(matches!(refused, Err(ReadError::Damaged(Damage::Entry(_)))), "{refused:?}");
}

#[test]
fn a_received_snapshot_of_a_cluster_at_a_level_above_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, snapshots, keystore) = filled(open(dir.path()), 1);
    let above = HIGHEST_LEVEL + 1;
    let Change::SetCluster(cluster) = initialised() else { panic!("it sets the cluster") };
    let cluster = ClusterState { level: above, ..cluster.value }.into_stored();
    let entry = ("the cluster", entries::CLUSTER.to_vec(), cluster.bytes.to_vec());
    let header = keystore.begin_snapshot().header().clone();
    let applied = Applied { memory_first: 1, ..header.applied.clone() };
    // This version could read the file, but not take part.
    let level = WrittenLevel { level: above, lowest_reader: HIGHEST_LEVEL };
    let refused = snapshots.accept(&forged(&snapshots, &SnapshotHeader { level, applied, ..header }, &[entry]), None);
    assert!(matches!(refused, Err(ReadError::Level(_))), "{refused:?}");
}

#[test]
fn a_snapshot_is_never_written_that_no_reader_would_take() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, snapshots, keystore) = filled(open(dir.path()), 1);
    let header = keystore.begin_snapshot().header().clone();
    let mut writer = snapshots.write(header.clone()).unwrap();
    let (long, longest) = (vec![1; 1024 * 1024 + 1], vec![1; 1024 * 1024]);
    for (key, value) in [(&b""[..], &b"value"[..]), (b"", b""), (b"p", &long), (&long, b"")] {
        writer.entry(key, value).unwrap_err();
    }
    writer.entry(b"p", &longest).unwrap();
    let large = SnapshotHeader { membership: longest.into(), ..header };
    assert!(snapshots.write(large).is_err());
}

/// Puts the first file in the place of the second one.
type Replace = fn(&Path, &Path);

/// The digest does not cover the position. So somebody without the keys can write a snapshot of the past, which has a right
/// digest, under a later position.
#[test]
fn what_takes_the_place_of_a_received_snapshot_after_its_check_gets_no_tag() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, snapshots, mut keystore) = filled(open(dir.path()), 30);
    let sender = tags_of(Owner { store_id: StoreId([6; 16]), node_id: 2 });
    let sender = Snapshots::open(&dir.path().join("sender"), sender).unwrap();
    let build = keystore.begin_snapshot();
    let applied = Applied { last: Some(id(60)), ..build.header().applied.clone() };
    let header = SnapshotHeader { applied, ..build.header().clone() };
    let past = fs::read(build.with_header(header).run(&sender).unwrap().path).unwrap();
    (31..=60).for_each(|index| apply_change(&mut keystore, index, created(&format!("later-{index}"), index)));
    keystore.commit();
    let genuine = fs::read(keystore.begin_snapshot().run(&sender).unwrap().path).unwrap();
    let (received, other) = (dir.path().join("received"), dir.path().join("other"));
    let replacements: [Replace; 2] =
        [|from, to| fs::rename(from, to).unwrap(), |from, to| assert!(fs::copy(from, to).unwrap() > 0)];
    for replace in replacements {
        fs::write(&received, &genuine).unwrap();
        fs::write(&other, &past).unwrap();
        let checked = snapshots.check_received(&received, None).unwrap();
        replace(&other, &received);
        let kept = snapshots.keep(checked, &received).unwrap();
        let opened = SnapshotReader::open(&kept.path, &tags()).map(|(header, _)| header);
        assert!(matches!(opened, Err(ReadError::Damaged(Damage::Tag))), "{opened:?}");
        assert_eq!(snapshots.newest().unwrap(), None);
    }
    fs::write(&received, &genuine).unwrap();
    let accepted = snapshots.accept(&received, None).unwrap();
    assert_eq!(snapshots.newest().unwrap(), Some(accepted));
}

/// Consensus goes on after the position that it was told, so everything between the two would be missing.
#[test]
fn an_older_snapshot_in_the_place_of_a_newer_one_is_neither_installed_nor_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, snapshots, mut keystore) = filled(open(dir.path()), 30);
    let older = keystore.begin_snapshot().run(&snapshots).unwrap();
    (31..=60).for_each(|index| apply_change(&mut keystore, index, created(&format!("later-{index}"), index)));
    keystore.commit();
    let names_of_newer = names(&keystore);
    let newer = keystore.begin_snapshot().run(&snapshots).unwrap();
    snapshots.open_to_send(&newer).unwrap();
    fs::copy(&older.path, &newer.path).unwrap();
    assert!(matches!(keystore.install(&newer), Err(ReadError::Damaged(_))));
    assert!(matches!(snapshots.open_to_send(&newer), Err(ReadError::Damaged(_))));
    assert_eq!((keystore.last_applied(), names(&keystore)), (Some(id(60)), names_of_newer));
}
