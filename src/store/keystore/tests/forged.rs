//! What somebody with write access to a data folder, but without the key ring, puts into the keystore and the snapshots.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::*;
use crate::crypto::TagPurpose;
use crate::policy::{Assignment, Author, Identity, Role};
use crate::state::{Digest, stored_assignment};
use crate::store::entries::{self, MEMBERSHIP};
use crate::store::snapshot_header::CHECKSUM_BYTES;
use crate::store::testing::{other_keys, tags, tags_of};
use crate::store::wire;

/// What somebody changes, and the change.
type Forgery<'a, T> = (&'static str, &'a dyn Fn(&T));
type ForgedPosition<'a> = (&'static str, &'a dyn Fn(&mut wire::Applied));

/// Another admin: the pair that somebody wants in the state.
fn another_admin() -> (Vec<u8>, Vec<u8>) {
    let identity = Identity::from_bytes([9; 32]);
    let assignment = Assignment { role: Role::Admin, author: Author::default() };
    (entries::assignment_key(identity), stored_assignment(identity, assignment).bytes.to_vec())
}

/// A data folder with a keystore that is durable, and a snapshot of it.
fn stopped() -> (tempfile::TempDir, Snapshot) {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, mut keystore) = filled(open(dir.path()), 60);
    keystore.set_membership(Bytes::from_static(b"members"));
    keystore.commit();
    let snapshot = keystore.begin_snapshot().run(&snapshots).unwrap();
    keystore.checkpoint().run().unwrap();
    drop(keystore);
    log.close();
    (dir, snapshot)
}

fn sled_folder(dir: &Path) -> PathBuf {
    dir.join("keystore").join(fs::read_to_string(dir.join("keystore/CURRENT")).unwrap())
}

/// Changes the pairs in sled, as somebody would who has sled's code and nothing else.
fn forge(dir: &Path, change: impl FnOnce(&sled::Db)) {
    let folder = OpenFolder::open(sled_folder(dir)).unwrap();
    change(&folder.db);
    folder.db.flush().unwrap();
}

/// The node notices it, and has its own state again.
fn assert_noticed(dir: &Path, what: &str) {
    let FoundKeystore::Rebuilt { keystore, .. } = open_again(dir).unwrap().keystore else { panic!("{what}: noticed") };
    assert!(keystore.view.rules().identities.is_empty(), "{what}");
    assert_eq!(&keystore.membership[..], b"members", "{what}");
}

fn position(db: &sled::Db) -> wire::TaggedPosition {
    wire::TaggedPosition::decode(&*db.get(APPLIED).unwrap().unwrap()).unwrap()
}

#[test]
fn a_pair_that_is_added_changed_or_removed_is_noticed() {
    let (added, value) = another_admin();
    let key = entries::key(entries::KEY, &entries::version_key("key-20", 1));
    let changes: [Forgery<'_, sled::Db>; 5] = [
        ("an admin", &|db| drop(db.insert(&*added, &*value).unwrap())),
        ("a key removed", &|db| drop(db.remove(&*key).unwrap().unwrap())),
        ("another key's record", &|db| {
            let other = entries::key(entries::KEY, &entries::version_key("key-21", 1));
            let record = db.get(&*other).unwrap().unwrap();
            db.insert(&*key, record).unwrap();
        }),
        ("the order of two remembered commands", &|db| {
            let key = entries::key(entries::MEMORY, &0u64.to_be_bytes());
            let numbered = entries::decode_page(&db.get(&*key).unwrap().unwrap()).unwrap();
            let swapped = [1, 0].into_iter().chain(2..numbered.len()).map(|at| numbered[at].1.clone());
            db.insert(&*key, entries::encode_page(0, swapped)).unwrap();
        }),
        ("a membership", &|db| drop(db.insert(MEMBERSHIP, b"other members").unwrap())),
    ];
    for (what, change) in changes {
        let (dir, _) = stopped();
        forge(dir.path(), change);
        assert_noticed(dir.path(), what);
    }
}

/// Somebody who adds an admin also writes the count and the digest that belong to it. They have no key for the digest, and
/// none for the tag.
#[test]
fn a_position_is_believed_by_its_tag_alone() {
    let (key, value) = another_admin();
    let changes: [ForgedPosition<'_>; 6] = [
        ("index", &|applied| applied.last.as_mut().unwrap().index += 1),
        ("term", &|applied| applied.last.as_mut().unwrap().term += 1),
        ("count", &|applied| applied.entries += 1),
        ("digest", &|applied| {
            let mut digest = Digest::from_bytes(applied.digest.as_ref().try_into().unwrap());
            digest.add(&other_keys().digest_key(1).unwrap(), &key, &value);
            applied.digest = Bytes::copy_from_slice(&digest.to_bytes());
        }),
        ("memory", &|applied| applied.memory_first += 1),
        ("forgotten", &|applied| applied.memory_forgotten_index += 1),
    ];
    for (what, change) in changes {
        let (dir, _) = stopped();
        forge(dir.path(), |db| {
            db.insert(&*key, &*value).unwrap();
            let tagged = position(db);
            let mut position = wire::KeystorePosition::decode(tagged.position).unwrap();
            change(position.applied.as_mut().unwrap());
            let forged = wire::TaggedPosition { position: position.encode_to_vec().into(), tag: tagged.tag };
            db.insert(APPLIED, forged.encode_to_vec()).unwrap();
        });
        assert_noticed(dir.path(), what);
    }
}

#[test]
fn a_position_of_another_node_or_another_time_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let older = {
        let (log, _, keystore) = filled(open(dir.path()), 30);
        keystore.checkpoint().run().unwrap();
        let older = keystore.staging.folder().db.get(APPLIED).unwrap().unwrap();
        log.close();
        older
    };
    let (dir, _) = stopped();
    forge(dir.path(), |db| drop(db.insert(APPLIED, older).unwrap()));
    assert_noticed(dir.path(), "an older position of the same store");

    let (dir, _) = stopped();
    forge(dir.path(), |db| {
        let decoded = KeystorePosition::decode(&db.get(APPLIED).unwrap().unwrap(), &tags()).unwrap();
        db.insert(APPLIED, decoded.encode(&tags_of(Owner { store_id: StoreId([6; 16]), node_id: 1 }))).unwrap();
    });
    assert_noticed(dir.path(), "the position of another node");
}

#[test]
fn a_note_of_what_was_durable_is_believed_by_its_tag_alone() {
    let changes: [Forgery<'_, PathBuf>; 3] = [
        ("gone", &|note| fs::remove_file(note).unwrap()),
        ("empty", &|note| fs::write(note, b"").unwrap()),
        ("forged", &|note| {
            let tagged = wire::TaggedPosition::decode(&*fs::read(note).unwrap()).unwrap();
            let mut position = wire::KeystorePosition::decode(tagged.position).unwrap();
            position.applied.as_mut().unwrap().last.as_mut().unwrap().index = 1;
            let forged = wire::TaggedPosition { position: position.encode_to_vec().into(), tag: tagged.tag };
            fs::write(note, forged.encode_to_vec()).unwrap();
        }),
    ];
    for (what, change) in changes {
        let (dir, _) = stopped();
        change(&sled_folder(dir.path()).join("DURABLE"));
        assert_noticed(dir.path(), what);
    }
}

/// The log has what an older keystore of this node lacks, so such a keystore does no harm.
#[test]
fn an_older_keystore_of_this_node_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let older = dir.path().join("older");
    let (log, _, mut keystore) = filled(open(dir.path()), 30);
    keystore.checkpoint().run().unwrap();
    let current = sled_folder(dir.path());
    copy(&current, &older);
    apply_change(&mut keystore, 31, created("later", 31));
    keystore.commit();
    keystore.checkpoint().run().unwrap();
    drop(keystore);
    log.close();
    fs::remove_dir_all(&current).unwrap();
    copy(&older, &current);
    assert_eq!(whole(open_again(dir.path()).unwrap().keystore).last_applied(), Some(id(30)));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().flatten() {
        if file.path().is_dir() {
            copy(&file.path(), &to.join(file.file_name()));
        } else {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

/// Makes both checksums of a snapshot file right. The tag stays.
fn with_checksums(mut file: Vec<u8>) -> Vec<u8> {
    let body = u32::from_be_bytes(file[28..32].try_into().unwrap()) as usize;
    let header = 32 + body;
    let checksum: [u8; CHECKSUM_BYTES] = Sha256::digest(&file[..header]).into();
    file[header..header + CHECKSUM_BYTES].copy_from_slice(&checksum);
    let end = file.len() - 2 * CHECKSUM_BYTES;
    let checksum: [u8; CHECKSUM_BYTES] = Sha256::digest(&file[..end]).into();
    file[end..end + CHECKSUM_BYTES].copy_from_slice(&checksum);
    file
}

#[test]
fn no_byte_of_a_snapshot_can_be_changed_even_with_right_checksums() {
    let (dir, snapshot) = stopped();
    let file = fs::read(&snapshot.path).unwrap();
    assert_eq!(with_checksums(file.clone()), file);
    let snapshots = dir.path().join("snapshots");
    let body = u32::from_be_bytes(file[28..32].try_into().unwrap()) as usize;
    // The lengths in the file decide where the checksums stand, so they stay.
    let lengths = 28..32;
    let header = (0..32 + body).filter(|at| !lengths.contains(at));
    let entries = (64 + body..file.len() - 2 * CHECKSUM_BYTES).step_by(37);
    for at in header.chain(entries) {
        let mut forged = file.clone();
        forged[at] ^= 1;
        fs::write(&snapshot.path, with_checksums(forged)).unwrap();
        let opened = Snapshots::open(&snapshots, tags());
        // A level or a version of the integrity keys that this node does not know ends the start.
        let Ok(opened) = opened else { continue };
        assert_eq!(opened.newest().unwrap(), None, "byte {at}");
        fs::remove_file(snapshot.path.with_extension("damaged")).unwrap();
    }
}

#[test]
fn a_snapshot_of_another_node_or_cluster_is_not_this_nodes() {
    let (dir, snapshot) = stopped();
    let snapshots = dir.path().join("snapshots");
    let other = Owner { store_id: StoreId([6; 16]), node_id: 2 };
    for tags in [tags_of(other), other_keys()] {
        assert_eq!(Snapshots::open(&snapshots, tags).unwrap().newest().unwrap(), None);
        let aside = snapshot.path.with_extension("damaged");
        fs::rename(&aside, &snapshot.path).expect("it was set aside");
    }
    // A node of the same cluster that receives it tags it anew.
    let received = dir.path().join("received");
    fs::copy(&snapshot.path, &received).unwrap();
    let theirs = Snapshots::open(&dir.path().join("theirs"), tags_of(other)).unwrap();
    let accepted = theirs.accept(&received, Some(ClusterId([1; 16]))).unwrap();
    assert_eq!(theirs.newest().unwrap(), Some(accepted));
    // A node of another cluster does not take it, because it has no key for the digest.
    fs::copy(&snapshot.path, &received).unwrap();
    let foreign = Snapshots::open(&dir.path().join("foreign"), other_keys()).unwrap();
    let refused = foreign.accept(&received, None);
    assert!(matches!(refused, Err(ReadError::Damaged(Damage::Disagreement { what: "digest", .. }))), "{refused:?}");
}

/// Its tag holds, because no byte of it has changed.
#[test]
fn a_snapshot_that_was_renamed_is_neither_used_nor_the_newest() {
    let (dir, snapshot) = stopped();
    let snapshots = dir.path().join("snapshots");
    let name = snapshot.path.file_name().unwrap().to_str().unwrap();
    for renamed in [name.replacen('0', "9", 1), name.replace("1.snapshot", "2.snapshot"), format!("x{name}")] {
        assert_ne!(renamed, name);
        let renamed = snapshots.join(renamed);
        let running = Snapshots::open(&snapshots, tags()).unwrap();
        fs::copy(&snapshot.path, &renamed).unwrap();
        // A running node goes on with its real one, and a start sets the other one aside.
        assert_eq!(running.newest().unwrap().as_ref(), Some(&snapshot));
        assert_eq!(Snapshots::newest_unchecked(&snapshots).unwrap().as_ref(), Some(&snapshot));
        let opened = Snapshots::open(&snapshots, tags()).unwrap();
        assert!(!renamed.exists() && renamed.with_extension("damaged").exists());
        assert_eq!(opened.newest().unwrap().as_ref(), Some(&snapshot));
    }
    fs::rename(&snapshot.path, snapshots.join(name.replacen('0', "9", 1))).unwrap();
    assert_eq!(Snapshots::open(&snapshots, tags()).unwrap().newest().unwrap(), None);
}

#[test]
fn a_received_snapshot_with_another_admin_is_refused_even_with_right_checksums() {
    let (dir, snapshot) = stopped();
    let (key, value) = another_admin();
    let file = fs::read(&snapshot.path).unwrap();
    let body = u32::from_be_bytes(file[28..32].try_into().unwrap()) as usize;
    let entries_at = 64 + body;
    let lengths = [key.len(), value.len()].map(|length| u32::try_from(length).unwrap().to_be_bytes()).concat();
    let mut header = wire::SnapshotHeader::decode(&file[32..32 + body]).unwrap();
    header.applied.as_mut().unwrap().entries += 1;
    let header = header.encode_to_vec();
    assert_eq!(header.len(), body);
    let forged = [&file[..32], &header, &[0; 32], &lengths, &key, &value, &file[entries_at..]].concat();
    let received = dir.path().join("received");
    fs::write(&received, with_checksums(forged)).unwrap();
    let snapshots = Snapshots::open(&dir.path().join("snapshots"), tags()).unwrap();
    let refused = snapshots.accept(&received, None);
    assert!(matches!(refused, Err(ReadError::Damaged(Damage::Disagreement { what: "digest", .. }))), "{refused:?}");
}

#[test]
fn the_last_bytes_of_a_damaged_snapshot_are_not_sent() {
    let (dir, snapshot) = stopped();
    let snapshots = Snapshots::open(&dir.path().join("snapshots"), tags()).unwrap();
    let whole = fs::read(&snapshot.path).unwrap();
    let send = |file: &[u8], part: usize| {
        fs::write(&snapshot.path, &whole).unwrap();
        let (_, mut sent) = snapshots.open_to_send(&snapshot).unwrap();
        file.chunks(part).chain([&[][..]]).try_for_each(|part| sent.check(part))
    };
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for part in [1, 31, 32, 100, whole.len(), 2 * whole.len()] {
        send(&whole, part).unwrap();
        send(&changed, part).unwrap_err();
        send(&whole[..whole.len() - 1], part).unwrap_err();
    }
    // Its header says something else.
    changed = whole.clone();
    changed[40] ^= 1;
    fs::write(&snapshot.path, with_checksums(changed)).unwrap();
    assert!(matches!(snapshots.open_to_send(&snapshot), Err(ReadError::Damaged(_))));
}

/// After a theft the cluster has another version of the integrity keys. A start goes over to it.
#[test]
fn a_keystore_goes_over_to_the_active_version_of_the_integrity_keys() {
    let (dir, snapshot) = stopped();
    let keys = |active, versions: &[u32]| {
        let versions: Vec<_> =
            versions.iter().map(|version| (*version, [0x16 + u8::try_from(*version).unwrap(); 32])).collect();
        let mut keys = store_keys(ClusterId([1; 16]));
        keys.integrity = crate::crypto::IntegrityKeys::of_versions(active, &versions);
        keys
    };
    let open_with = |active, versions: &[u32]| Store::open(dir.path(), OWNER, &keys(active, versions), OnLoss::Refuse);
    let store = open_with(2, &[1, 2]).unwrap();
    let mut keystore = whole(store.keystore);
    assert_eq!(keystore.digests.newest().map(|digest| digest.key_version), Some(2));
    assert_eq!(store.snapshots.newest().unwrap(), Some(snapshot), "an older version still verifies");
    apply_change(&mut keystore, 61, created("later", 61));
    keystore.commit();
    let newer = keystore.begin_snapshot().run(&store.snapshots).unwrap();
    keystore.install(&newer).unwrap();
    keystore.checkpoint().run().unwrap();
    let applied = keystore.applied.clone();
    drop(keystore);
    store.log.close();
    let store = open_with(2, &[1, 2]).unwrap();
    assert_eq!(whole(store.keystore).applied, applied);
    store.log.close();
    // `cluster.id` may be older than the keystore. Nothing is damaged then, so nothing is set aside.
    let opened = open_with(1, &[1]).map(drop);
    assert!(opened.is_err(), "{opened:?}");
    let older = StoreTags::new(OWNER, &keys(1, &[1]));
    let opened = Snapshots::open(&dir.path().join("snapshots"), older.clone()).map(drop);
    assert!(matches!(opened, Err(ReadError::Damaged(Damage::UnknownKey { version: 2 }))), "{opened:?}");
    let opened = read_folder(sled_folder(dir.path()), &older).map(drop);
    assert!(matches!(opened, Err(ReadError::Damaged(Damage::UnknownKey { version: 2 }))), "{opened:?}");
    assert!(newer.path.exists() && !dir.path().join("keystore/damaged").exists());
}

#[test]
fn a_tag_is_for_one_purpose() {
    let tag = tags().tag(TagPurpose::Checkpoint, 1, &[b"x"]).unwrap();
    assert!(tags().check(TagPurpose::Checkpoint, 1, &[b"x"], &tag).is_ok());
    assert!(tags().check(TagPurpose::Snapshot, 1, &[b"x"], &tag).is_err());
    assert!(tags().check(TagPurpose::Checkpoint, 1, &[b"x"], &tag[..31]).is_err());
}

#[test]
fn a_damaged_note_beside_the_keystore_only_rebuilds_it() {
    let notes: [(&str, &[u8]); 5] = [
        ("CURRENT", b"\xff\xfe"),
        ("CURRENT", b""),
        ("CURRENT", b".."),
        ("CURRENT", b"sled-99"),
        ("CURRENT", b"sled-01"),
    ];
    for (note, content) in notes {
        let (dir, _) = stopped();
        fs::write(dir.path().join("keystore").join(note), content).unwrap();
        assert_noticed(dir.path(), note);
    }
    let (dir, _) = stopped();
    let path = sled_folder(dir.path()).join("DURABLE");
    let mut tagged = wire::TaggedPosition::decode(&*fs::read(&path).unwrap()).unwrap();
    let mut position = wire::KeystorePosition::decode(tagged.position.clone()).unwrap();
    position.applied.as_mut().unwrap().key_version = 99;
    tagged.position = position.encode_to_vec().into();
    fs::write(&path, tagged.encode_to_vec()).unwrap();
    assert_noticed(dir.path(), "a key version in DURABLE");
}
