//! Tests of a keystore whose sled the disk refuses: it goes on in memory, and is written anew later.

use std::fs;

use super::*;

/// A folder where a file is about to be made. Making the file then fails, as on a disk that takes nothing.
fn block(file: &std::path::Path) -> std::path::PathBuf {
    let blocked = file.with_extension("tmp");
    fs::create_dir(&blocked).unwrap();
    blocked
}

/// A keystore that has a snapshot, and more in sled.
fn closed_store(dir: &std::path::Path) -> Vec<String> {
    let (log, snapshots, mut keystore) = filled(open(dir), 30);
    keystore.begin_snapshot().run(&snapshots).unwrap();
    let expected = names(&keystore);
    apply_change(&mut keystore, 31, created("later", 31));
    keystore.commit();
    keystore.checkpoint().run().unwrap();
    drop(keystore);
    log.close();
    expected
}

#[test]
fn a_keystore_that_the_disk_refuses_is_made_from_the_snapshot_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let expected = closed_store(dir.path());
    let blocked = block(&dir.path().join("keystore/OPENING"));
    let before = all_names(dir.path());
    for _ in 0..3 {
        let store = open_again(dir.path()).unwrap();
        let keystore = whole(store.keystore);
        assert!(keystore.checkpoint().is_memory_only());
        // The log has the rest.
        assert_eq!((names(&keystore), keystore.last_applied()), (expected.clone(), Some(id(30))));
        keystore.checkpoint().run().unwrap();
        store.log.close();
    }
    assert_eq!(all_names(dir.path()), before);
    fs::remove_dir(blocked).unwrap();
    let keystore = whole(open_again(dir.path()).unwrap().keystore);
    assert!(!keystore.checkpoint().is_memory_only() && names(&keystore).contains(&"later".to_owned()));
}

/// A machine without memory ends the process while sled opens.
#[test]
fn a_keystore_whose_openings_were_cut_short_is_not_set_aside_but_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let expected = closed_store(dir.path());
    let mark = dir.path().join("keystore/OPENING");
    fs::write(&mark, b"xx").unwrap();
    let store = open_again(dir.path()).unwrap();
    let keystore = whole(store.keystore);
    assert!(keystore.checkpoint().is_memory_only() && names(&keystore) == expected);
    assert!(dir.path().join("keystore/sled-1").exists() && !dir.path().join("keystore/damaged").exists());
    keystore.begin_snapshot().run(&store.snapshots).unwrap();
    assert!(!keystore.checkpoint().is_memory_only() && !mark.exists());
    drop(keystore);
    store.log.close();
    assert_eq!(names(&whole(open_again(dir.path()).unwrap().keystore)), expected);
}

#[test]
fn a_keystore_whose_openings_were_cut_short_counts_as_damaged_if_nothing_else_has_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, keystore) = filled(open(dir.path()), 30);
    keystore.checkpoint().run().unwrap();
    log.purge(id(30)).unwrap();
    drop(keystore);
    log.close();
    fs::write(dir.path().join("keystore/OPENING"), b"xx").unwrap();
    let FoundKeystore::NeedsPeer { damage } = open_again(dir.path()).unwrap().keystore else {
        panic!("it has a state")
    };
    assert!(matches!(damage, Damage::CutShort { openings: 2 }), "{damage}");
}

/// Sled opens such a folder as if it were empty.
#[test]
fn a_keystore_that_seems_damaged_because_the_disk_does_not_read_it_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let expected = closed_store(dir.path());
    let sled = dir.path().join("keystore/sled-1");
    let content = fs::read(sled.join("db")).unwrap();
    fs::write(sled.join("db"), b"").unwrap();
    // Reading the beginning of this file fails with EIO.
    let unreadable = sled.join("unreadable");
    std::os::unix::fs::symlink("/proc/self/mem", &unreadable).unwrap();
    let store = open_again(dir.path()).unwrap();
    let keystore = whole(store.keystore);
    assert!(keystore.checkpoint().is_memory_only() && names(&keystore) == expected);
    drop(keystore);
    store.log.close();
    assert!(sled.join("DURABLE").exists() && !dir.path().join("keystore/damaged").exists());
    fs::remove_file(unreadable).unwrap();
    fs::write(sled.join("db"), content).unwrap();
    let keystore = whole(open_again(dir.path()).unwrap().keystore);
    assert!(!keystore.checkpoint().is_memory_only() && names(&keystore).contains(&"later".to_owned()));
}

#[test]
fn without_a_snapshot_that_reaches_the_log_the_start_fails_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    closed_store(dir.path());
    let log = open_again(dir.path()).unwrap().log;
    log.purge(id(31)).unwrap();
    log.close();
    let blocked = block(&dir.path().join("keystore/OPENING"));
    let before = all_names(dir.path());
    assert!(matches!(open_again(dir.path()), Err(OpenError::Io(_))));
    assert_eq!(all_names(dir.path()), before);
    fs::remove_dir(blocked).unwrap();
    whole(open_again(dir.path()).unwrap().keystore);
}

#[test]
fn a_keystore_that_fails_goes_on_in_memory_and_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, mut keystore) = filled(open(dir.path()), 30);
    let failed = keystore.staging.folder().path.clone();
    let blocked = block(&failed.join("DURABLE"));
    keystore.checkpoint().run().unwrap_err();
    assert!(keystore.checkpoint().is_memory_only());
    // From now on nothing needs the disk.
    apply_change(&mut keystore, 31, created("in-memory", 31));
    keystore.commit();
    keystore.checkpoint().run().unwrap();
    // A build that fails leaves nothing behind, and can be repeated.
    let full = block(&dir.path().join("keystore/CURRENT"));
    keystore.begin_snapshot().run(&snapshots).unwrap();
    assert!(keystore.checkpoint().is_memory_only());
    assert_eq!(sled_folders(dir.path()), [failed], "a folder that did not come into use takes no room");
    fs::remove_dir(full).unwrap();
    let build = keystore.begin_snapshot();
    apply_change(&mut keystore, 32, created("meanwhile", 32));
    apply_change(&mut keystore, 33, deleted("in-memory"));
    keystore.commit();
    build.run(&snapshots).unwrap();
    assert!(!keystore.checkpoint().is_memory_only() && !blocked.exists());
    apply_change(&mut keystore, 34, created("afterwards", 34));
    keystore.commit();
    keystore.checkpoint().run().unwrap();
    let (applied, expected) = (keystore.applied.clone(), names(&keystore));
    drop(keystore);
    log.close();
    let again = whole(open_again(dir.path()).unwrap().keystore);
    assert_eq!((again.applied.clone(), names(&again)), (applied, expected));
}

#[test]
fn a_keystore_older_than_its_log_is_made_anew_from_the_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, mut keystore) = filled(open(dir.path()), 30);
    block(&keystore.staging.folder().path.join("DURABLE"));
    keystore.checkpoint().run().unwrap_err();
    apply_change(&mut keystore, 31, created("in-memory", 31));
    keystore.commit();
    // The snapshot is there, the new folder is not.
    let full = block(&dir.path().join("keystore/CURRENT"));
    keystore.begin_snapshot().run(&snapshots).unwrap();
    let expected = names(&keystore);
    log.purge(id(31)).unwrap();
    drop(keystore);
    log.close();
    fs::remove_dir(full).unwrap();
    let keystore = whole(open_again(dir.path()).unwrap().keystore);
    assert!(!keystore.checkpoint().is_memory_only() && !dir.path().join("keystore/damaged").exists());
    assert_eq!((names(&keystore), keystore.last_applied()), (expected, Some(id(31))));
}

#[test]
fn a_snapshot_is_installed_even_if_sled_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, snapshots, mut keystore) = filled(open(dir.path()), 30);
    let expected = names(&keystore);
    let snapshot = keystore.begin_snapshot().run(&snapshots).unwrap();
    apply_change(&mut keystore, 31, created("later", 31));
    keystore.commit();
    let before = sled_folders(dir.path());
    block(&dir.path().join("keystore/CURRENT"));
    keystore.install(&snapshot).unwrap();
    assert!(keystore.checkpoint().is_memory_only());
    assert_eq!(sled_folders(dir.path()), before, "a folder that did not come into use takes no room");
    assert_eq!((names(&keystore), keystore.last_applied()), (expected, Some(id(30))));
}

#[test]
fn attempts_to_make_an_empty_keystore_leave_no_folder_behind() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("keystore");
    let folders = Folders::new(&root).unwrap();
    let blocked = block(&root.join("CURRENT"));
    for _ in 0..3 {
        assert!(Keystore::create(folders.clone(), tags()).is_err());
        assert!(sled_folders(dir.path()).is_empty());
    }
    fs::remove_dir(blocked).unwrap();
    Keystore::create(folders, tags()).unwrap();
}

/// The sled folders of a data folder, sorted.
fn sled_folders(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir.join("keystore")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.join("db").exists()).collect();
    folders.sort();
    folders
}

/// The names of everything in the keystore's folder and in that of snapshots.
fn all_names(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let folders = ["keystore", "snapshots"].map(|name| dir.join(name));
    let mut names: Vec<_> =
        folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}
