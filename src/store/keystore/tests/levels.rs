//! Tests of stores that are written at a level that this version does not know.

use std::path::{Path, PathBuf};

use super::*;
use crate::state::HIGHEST_LEVEL;

/// Every file below a folder, with its content.
fn files_below(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files.append(&mut files_below(&path));
        } else {
            files.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    files
}

/// Opens the store again and again, which must fail because of the level and change nothing: neither what a crash of a
/// newer version left, nor the mark of a damaged keystore.
fn assert_needs_a_newer_version(dir: &Path, what: &str) {
    std::fs::write(dir.join("keystore/OPENING"), b"xx").unwrap();
    std::fs::write(dir.join("snapshots/received-0.tmp"), b"half of a snapshot").unwrap();
    let before = files_below(dir);
    for _ in 0..4 {
        let Err(OpenError::Level(error)) = open_again(dir) else { panic!("it opens") };
        let begin = format!("{what} needs a version of Keyraft that reads level {}", HIGHEST_LEVEL + 1);
        assert!(error.to_string().starts_with(&begin), "{error}");
    }
    assert!(files_below(dir) == before, "a file has changed");
}

#[test]
fn a_keystore_of_a_newer_level_ends_the_start_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, mut keystore) = filled(open(dir.path()), 30);
    let note = dir.path().join("keystore/LEVEL");
    let before = std::fs::read(&note).unwrap();
    let cluster = ClusterState { level: HIGHEST_LEVEL + 1, ..ClusterState::clone(&keystore.view.cluster().unwrap()) };
    apply_change(&mut keystore, 31, Change::SetCluster(cluster.into_stored()));
    keystore.commit();
    assert_eq!(std::fs::read(&note).unwrap(), before, "nothing of that level is on disk yet");
    keystore.checkpoint().write().unwrap();
    assert_ne!(std::fs::read(&note).unwrap(), before);
    keystore.checkpoint().run().unwrap();
    drop(keystore);
    log.close();
    assert_needs_a_newer_version(dir.path(), "the keystore");
    // Even if the note is wrong, the state itself says so.
    std::fs::remove_file(dir.path().join("keystore/OPENING")).unwrap();
    std::fs::write(&note, before).unwrap();
    for _ in 0..4 {
        assert!(matches!(open_again(dir.path()), Err(OpenError::Level(_))));
    }
}

#[test]
fn nothing_of_a_level_that_cannot_be_noted_reaches_sled() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, mut keystore) = filled(open(dir.path()), 30);
    keystore.checkpoint().run().unwrap();
    let cluster = ClusterState { level: HIGHEST_LEVEL + 1, ..ClusterState::clone(&keystore.view.cluster().unwrap()) };
    apply_change(&mut keystore, 31, Change::SetCluster(cluster.into_stored()));
    keystore.commit();
    let folder = keystore.staging.folder().path.clone();
    // The note is written to this file first.
    let blocked = dir.path().join("keystore/LEVEL.tmp");
    std::fs::create_dir(&blocked).unwrap();
    keystore.checkpoint().run().unwrap_err();
    std::fs::remove_dir(&blocked).unwrap();
    // From now on the keystore is in memory only, so that no later write leaves out what this one had.
    apply_change(&mut keystore, 32, created("later", 32));
    keystore.commit();
    keystore.checkpoint().run().unwrap();
    drop(keystore);
    log.close();
    let (_, image) = read_folder(folder, &tags()).unwrap();
    assert_eq!(image.applied.last, Some(id(30)));
}

#[test]
fn a_log_of_a_newer_level_ends_the_start_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, keystore) = filled(open(dir.path()), 30);
    keystore.checkpoint().run().unwrap();
    drop(keystore);
    log.raise_level(HIGHEST_LEVEL + 1).unwrap();
    log.close();
    assert_needs_a_newer_version(dir.path(), "the log");
}

#[test]
fn a_keystore_of_a_newer_level_stays_although_no_folder_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, keystore) = filled(open(dir.path()), 30);
    keystore.folders.raise_level(HIGHEST_LEVEL + 1).unwrap();
    drop(keystore);
    log.close();
    std::fs::remove_file(dir.path().join("keystore/CURRENT")).unwrap();
    assert_needs_a_newer_version(dir.path(), "the keystore");
}

#[test]
fn a_keystore_whose_note_about_its_level_is_lost_or_damaged_is_rebuilt() {
    for damage in [None, Some(&b"?"[..])] {
        let dir = tempfile::tempdir().unwrap();
        let (log, snapshots, keystore) = filled(open(dir.path()), 30);
        let expected = names(&keystore);
        keystore.begin_snapshot().run(&snapshots).unwrap();
        keystore.checkpoint().run().unwrap();
        drop(keystore);
        log.close();
        let note = dir.path().join("keystore/LEVEL");
        match damage {
            None => std::fs::remove_file(&note).unwrap(),
            Some(bytes) => std::fs::write(&note, bytes).unwrap(),
        }
        let store = open(dir.path());
        let FoundKeystore::Rebuilt { keystore, .. } = store.keystore else { panic!("it is not whole") };
        assert_eq!(names(&keystore), expected);
        drop(keystore);
        store.log.close();
        whole(open(dir.path()).keystore);
    }
}

#[test]
fn a_snapshot_that_needs_a_newer_version_ends_the_start_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, keystore) = filled(open(dir.path()), 30);
    let header = keystore.begin_snapshot().run(&snapshots).unwrap().header;
    let last = Some(LogId { index: 31, ..header.applied.last.unwrap() });
    let newer = SnapshotHeader {
        level: WrittenLevel::active(HIGHEST_LEVEL + 1),
        applied: Applied { last, ..header.applied.clone() },
        ..header
    };
    // This version could not read it back.
    let newer = snapshots.write(newer).unwrap().finish_if(|_, _, _| Ok(())).unwrap();
    keystore.checkpoint().run().unwrap();
    drop(keystore);
    log.close();
    assert_needs_a_newer_version(dir.path(), "this snapshot");
    for keystore_is_lost in [false, true] {
        if keystore_is_lost {
            std::fs::remove_dir_all(dir.path().join("keystore")).unwrap();
        }
        let Err(OpenError::Level(error)) = open_again(dir.path()) else { panic!("it opens") };
        assert!(error.to_string().contains(&format!("reads level {}", HIGHEST_LEVEL + 1)), "{error}");
        assert!(newer.path.exists());
    }
    assert!(matches!(snapshots.accept(&newer.path, None), Err(ReadError::Level(_))));
}
