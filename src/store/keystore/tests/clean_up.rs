//! What installs and builds of snapshots leave in the data folder.

use super::*;

#[test]
fn a_snapshot_that_cannot_be_installed_leaves_no_folder_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, mut keystore) = filled(open(dir.path()), 30);
    let snapshot = keystore.begin_snapshot().run(&snapshots).unwrap();
    let mut bytes = std::fs::read(&snapshot.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&snapshot.path, bytes).unwrap();
    let folders = || {
        let entries = std::fs::read_dir(dir.path().join("keystore")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_str().unwrap().starts_with("sled-"))
            .count()
    };
    for _ in 0..3 {
        assert!(matches!(keystore.install(&snapshot), Err(ReadError::Damaged(_))));
        assert_eq!(folders(), 1);
    }
    log.close();
}

#[test]
fn threads_that_clean_up_the_same_snapshots_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (log, snapshots, mut keystore) = filled(open(dir.path()), 1);
    for index in 100..140 {
        keystore.advance(id(index));
        let written = keystore.begin_snapshot();
        // Each build removes all but two, so these come back under other names.
        let snapshot = written.run(&snapshots).unwrap();
        let older = std::fs::read(&snapshot.path).unwrap();
        for number in 0..4 {
            std::fs::write(snapshot.path.with_file_name(format!("{number:020}-{number:020}.snapshot")), &older)
                .unwrap();
        }
        std::thread::scope(|scope| {
            let cleaning = [(); 2].map(|()| scope.spawn(|| snapshots.remove_old().unwrap()));
            cleaning.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
    assert_eq!(snapshots.newest().unwrap().unwrap().header.applied.last, Some(id(139)));
    assert_eq!(snapshots.index_before(139).unwrap(), Some(138));
    log.close();
}
