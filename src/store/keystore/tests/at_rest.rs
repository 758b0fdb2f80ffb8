//! Tests of a keystore that a node at rest closes: the next write opens it again, and nothing is lost meanwhile.

use std::fs;

use super::*;

/// A keystore of 30 entries that is closed.
fn at_rest(dir: &std::path::Path) -> (LogStore, Snapshots, Keystore) {
    let (log, snapshots, keystore) = filled(open(dir), 30);
    keystore.checkpoint().run().unwrap();
    assert!(keystore.checkpoint().close().unwrap());
    (log, snapshots, keystore)
}

fn write_one_more(keystore: &mut Keystore, index: u64) {
    apply_change(keystore, index, created(&format!("later-{index}"), index));
    keystore.commit();
}

#[test]
fn a_closed_keystore_opens_again_with_the_next_write() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, mut keystore) = at_rest(dir.path());
    for index in 31..34 {
        let checkpoint = keystore.checkpoint();
        assert!(checkpoint.is_done() && !checkpoint.close().unwrap(), "it is closed");
        // Nobody has the folder open.
        drop(crate::store::folder::OpenFolder::open(dir.path().join("keystore/sled-1")).unwrap());
        checkpoint.run().unwrap();
        assert!(checkpoint.is_closed() && !checkpoint.close().unwrap(), "there was nothing to write");
        write_one_more(&mut keystore, index);
        assert!(!checkpoint.close().unwrap());
        checkpoint.write().unwrap();
        assert!(!checkpoint.is_closed() && !checkpoint.close().unwrap(), "it is not durable");
        checkpoint.run().unwrap();
        assert!(checkpoint.close().unwrap() && !checkpoint.is_memory_only());
    }
    let (applied, expected) = (keystore.applied.clone(), names(&keystore));
    drop(keystore);
    log.close();
    let again = whole(open(dir.path()).keystore);
    assert_eq!((again.applied.clone(), names(&again)), (applied, expected));
    assert!(!dir.path().join("keystore/OPENING").exists());
}

#[test]
fn a_closed_keystore_that_the_disk_refuses_goes_on_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, mut keystore) = at_rest(dir.path());
    let blocked = dir.path().join("keystore/OPENING.tmp");
    fs::create_dir(&blocked).unwrap();
    write_one_more(&mut keystore, 31);
    keystore.checkpoint().write().unwrap_err();
    assert!(keystore.checkpoint().is_memory_only() && !keystore.checkpoint().close().unwrap());
    fs::remove_dir(&blocked).unwrap();
    assert!(keystore.checkpoint().is_closed());
    keystore.begin_snapshot().run(&snapshots).unwrap();
    assert!(!keystore.checkpoint().is_memory_only(), "it is written anew with the next snapshot");
    assert!(!keystore.checkpoint().is_closed());
    let expected = names(&keystore);
    drop(keystore);
    log.close();
    assert_eq!(names(&whole(open(dir.path()).keystore)), expected);
}

#[test]
fn a_closed_keystore_that_somebody_changes_is_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, mut keystore) = at_rest(dir.path());
    let folder = dir.path().join("keystore/sled-1");
    let db = crate::store::folder::OpenFolder::open(folder.clone()).unwrap();
    db.db.remove(APPLIED).unwrap();
    db.sync().unwrap();
    drop(db);
    write_one_more(&mut keystore, 31);
    keystore.checkpoint().write().unwrap_err();
    assert!(keystore.checkpoint().is_memory_only());
    keystore.begin_snapshot().run(&snapshots).unwrap();
    let expected = names(&keystore);
    drop(keystore);
    log.close();
    assert_eq!(names(&whole(open(dir.path()).keystore)), expected);
    assert!(!folder.exists());
}

#[test]
fn a_snapshot_is_installed_while_the_keystore_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, mut keystore) = filled(open(dir.path()), 30);
    let (snapshot, expected) = (keystore.begin_snapshot().run(&snapshots).unwrap(), names(&keystore));
    write_one_more(&mut keystore, 31);
    keystore.checkpoint().run().unwrap();
    assert!(keystore.checkpoint().close().unwrap());
    keystore.install(&snapshot).unwrap();
    assert!(!keystore.checkpoint().is_closed(), "the new folder is open");
    assert_eq!(names(&keystore), expected);
    drop(keystore);
    log.close();
    let again = whole(open(dir.path()).keystore);
    assert_eq!((names(&again), again.last_applied()), (expected, Some(id(30))));
}
