//! What a node does with a log that lost entries: it goes on in doubt, keeps what is left, and sets the rest aside.

use std::fs;

use super::*;

/// A log with ten entries, of which seven are committed, as a clean stop leaves it.
fn ten_entries() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, 0..10);
    log.commit(id(6)).unwrap();
    log.close();
    dir
}

fn open_in_doubt(dir: &Path) -> LogStore {
    LogStore::open(dir, OWNER, &keys(), None, OnLoss::Doubt).unwrap()
}

/// The record of a folder whose log nobody has open.
fn record(dir: &Path) -> NodeRecord {
    NodeRecord::open(dir, OWNER.store_id, keys().integrity).unwrap().unwrap()
}

fn is_in_doubt(dir: &Path) -> bool {
    record(dir).doubt().is_some()
}

/// The names of what is in the folder, but for the node record.
fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "node.record").collect();
    names.sort();
    names
}

/// Changes a byte of the payload of an entry, without its checksum.
fn damage_entry(dir: &Path, index: u64) -> Vec<u8> {
    let path = last_file(dir);
    let mut bytes = fs::read(&path).unwrap();
    let position = [1u64.to_be_bytes(), 1u64.to_be_bytes(), index.to_be_bytes()].concat();
    let at = bytes.windows(position.len()).position(|window| window == position).unwrap();
    bytes[at + position.len() + 21] ^= 1;
    fs::write(&path, &bytes).unwrap();
    bytes
}

fn copy_log(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_log_that_lost_its_tail_stays_and_is_in_doubt_until_it_has_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, 0..6);
    log.close();
    let (current, older) = (dir.path().join("log"), dir.path().join("older"));
    copy_log(&current, &older);
    let log = open_again(dir.path()).unwrap();
    append(&log, 6..10);
    log.commit(id(8)).unwrap();
    log.close();
    fs::remove_dir_all(&current).unwrap();
    fs::rename(&older, &current).unwrap();
    assert_eq!(forgery(open_again(dir.path())), Some(Forgery::Committed { index: 8 }), "alone it would be lost");
    assert!(!is_in_doubt(dir.path()), "a refusal changes nothing");
    let log = open_in_doubt(dir.path());
    assert_eq!(log.record().doubt().unwrap().flushed, Some(id(9)));
    let state = log.state().unwrap();
    assert_eq!((state.last, state.committed, state.vote), (Some(id(5)), None, Some(VOTE)), "the vote is not lost");
    assert_eq!(names(dir.path()), ["log"]);
    log.close();
    let log = open_again(dir.path()).unwrap();
    assert!(log.record().doubt().is_some(), "a restart ends no doubt");
    append(&log, 6..12);
    assert!(!log.record().end_doubt(10).unwrap(), "nothing says that the entries are committed");
    log.commit(id(9)).unwrap();
    assert!(!log.record().end_doubt(10).unwrap());
    log.commit(id(10)).unwrap();
    assert!(log.record().end_doubt(10).unwrap());
    assert!(!is_in_doubt(dir.path()), "the end is durable");
    log.close();
    assert_eq!(open_again(dir.path()).unwrap().state().unwrap().last, Some(id(11)));
}

#[test]
fn a_damaged_log_is_set_aside_and_the_good_beginning_stays() {
    for broken in [0, 4, 9] {
        let dir = ten_entries();
        let damaged = damage_entry(dir.path(), broken);
        assert!(open_again(dir.path()).is_err());
        let log = open_in_doubt(dir.path());
        let kept: Vec<_> = (0..broken).map(entry).collect();
        assert_eq!(log.read(0..99).unwrap(), kept, "{broken}");
        assert!(log.record().doubt().is_some());
        assert_eq!(names(dir.path()), ["log", "log.damaged-1"]);
        let aside = dir.path().join("log.damaged-1").join(last_file(dir.path()).file_name().unwrap());
        assert_eq!(fs::read(aside).unwrap(), damaged, "the damaged log keeps its bytes");
        append(&log, broken..12);
        log.close();
        let log = open_again(dir.path()).unwrap();
        assert_eq!((log.read(0..99).unwrap().len(), log.record().doubt().is_some()), (12, true));
        log.close();
        damage_entry(dir.path(), 3);
        assert_eq!(open_in_doubt(dir.path()).read(0..99).unwrap().len(), 3);
        assert_eq!(names(dir.path()), ["log", "log.damaged-1", "log.damaged-2"]);
    }
}

#[test]
fn a_log_that_is_gone_or_unreadable_begins_anew() {
    let lost: [&dyn Fn(&Path); 4] = [
        &|log| fs::remove_dir_all(log).unwrap(),
        &|log| fs::read_dir(log).unwrap().for_each(|file| fs::remove_file(file.unwrap().path()).unwrap()),
        &|log| fs::write(last_file(log.parent().unwrap()), [7; 3000]).unwrap(),
        &|log| fs::write(last_file(log.parent().unwrap()), [0; 3000]).unwrap(),
    ];
    for (number, lose) in lost.into_iter().enumerate() {
        let dir = ten_entries();
        let log = open_again(dir.path()).unwrap();
        log.purge(id(2)).unwrap();
        log.close();
        lose(&dir.path().join("log"));
        assert!(open_again(dir.path()).is_err(), "{number}");
        let log = LogStore::open(dir.path(), OWNER, &keys(), Some(id(4)), OnLoss::Doubt).unwrap();
        assert_eq!((log.state().unwrap().last, log.state().unwrap().vote), (Some(id(2)), Some(VOTE)), "{number}");
        assert!(log.record().doubt().is_some());
        append(&log, 3..8);
        assert_eq!(log.read(0..99).unwrap(), (3..8).map(entry).collect::<Vec<_>>());
    }
}

#[test]
fn a_crash_at_each_step_leaves_the_doubt() {
    let damaged = || {
        let dir = ten_entries();
        damage_entry(dir.path(), 4);
        dir
    };
    // After the mark, before the log is touched.
    let dir = damaged();
    record(dir.path()).enter_doubt().unwrap();
    let log = open_in_doubt(dir.path());
    assert_eq!((log.read(0..99).unwrap().len(), log.record().doubt().unwrap().flushed), (4, Some(id(9))));
    // After the log is set aside, before there is a new one.
    let dir = damaged();
    record(dir.path()).enter_doubt().unwrap();
    fs::rename(dir.path().join("log"), dir.path().join("log.damaged-1")).unwrap();
    let log = open_in_doubt(dir.path());
    assert_eq!((log.read(0..99).unwrap().len(), log.record().doubt().is_some()), (4, true));
    assert_eq!(names(dir.path()), ["log", "log.damaged-1"]);
    log.close();
    // While the new log has only a part of what is left, or nothing but its first bytes.
    let whole = fs::read(last_file(dir.path())).unwrap();
    for kept in 1..whole.len() {
        fs::write(last_file(dir.path()), &whole[..kept]).unwrap();
        let copied = tempfile::tempdir().unwrap();
        fs::copy(dir.path().join("node.record"), copied.path().join("node.record")).unwrap();
        copy_log(&dir.path().join("log"), &copied.path().join("log"));
        record(copied.path()).enter_doubt().unwrap();
        let log = open_in_doubt(copied.path());
        assert!(log.record().doubt().is_some() && log.read(0..99).unwrap().len() <= 4, "{kept}");
    }
}

/// Such a record has an older vote, although its starts are the newest.
#[test]
fn a_record_from_before_the_log_was_cut_off_is_refused_although_the_log_looks_short() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let later = Vote { term: 7, ..VOTE };
    append(&log, 0..10);
    log.save_vote(later).unwrap();
    log.record().write_progress().unwrap();
    let path = dir.path().join("node.record");
    let older = fs::read(&path).unwrap();
    log.truncate_after(Some(id(5))).unwrap();
    append_entries(&log, [(LogId { term: 7, ..id(6) }, Bytes::from_static(b"of term 7"))]);
    log.save_vote(Vote { term: 8, node: 2, committed: true }).unwrap();
    log.close();
    fs::write(&path, &older).unwrap();
    let opened = LogStore::open(dir.path(), OWNER, &keys(), None, OnLoss::Doubt);
    assert_eq!(forgery(opened), Some(Forgery::OlderRecord { index: 6 }));
    assert_eq!((fs::read(&path).unwrap(), names(dir.path())), (older, vec!["log".to_owned()]));
}

/// The log is an older one, with entries that a later leader cut off.
#[test]
fn an_older_log_with_other_entries_than_the_applied_ones_is_kept_up_to_them() {
    let dir = ten_entries();
    let older = dir.path().join("older");
    copy_log(&dir.path().join("log"), &older);
    let log = open_again(dir.path()).unwrap();
    log.save_vote(Vote { term: 2, ..VOTE }).unwrap();
    log.truncate_after(Some(id(7))).unwrap();
    let applied = LogId { term: 2, ..id(8) };
    append_entries(&log, [(applied, Bytes::from_static(b"of term 2"))]);
    log.close();
    fs::remove_dir_all(dir.path().join("log")).unwrap();
    fs::rename(older, dir.path().join("log")).unwrap();
    let open = || LogStore::open(dir.path(), OWNER, &keys(), Some(applied), OnLoss::Doubt).unwrap();
    let log = open();
    assert_eq!((log.state().unwrap().last, log.record().doubt().is_some()), (Some(id(7)), true));
    log.close();
    assert_eq!(open().state().unwrap().last, Some(id(7)));
    assert_eq!(names(dir.path()), ["log", "log.damaged-1"], "the next start finds a log that fits");
}

#[test]
fn a_doubt_ends_without_news_if_nothing_is_missing() {
    let dir = ten_entries();
    record(dir.path()).enter_doubt().unwrap();
    let log = LogStore::open(dir.path(), OWNER, &keys(), Some(id(9)), OnLoss::Doubt).unwrap();
    assert!(!log.record().end_doubt(10).unwrap() && log.record().end_doubt(9).unwrap());
    log.close();
    // The keystore has everything, and the log nothing. Consensus purges the log up to there.
    record(dir.path()).enter_doubt().unwrap();
    fs::remove_dir_all(dir.path().join("log")).unwrap();
    let log = LogStore::open(dir.path(), OWNER, &keys(), Some(id(9)), OnLoss::Doubt).unwrap();
    assert!(!log.record().end_doubt(9).unwrap());
    log.purge(id(9)).unwrap();
    assert!(log.record().end_doubt(9).unwrap());
}

#[test]
fn a_record_from_before_a_purge_is_refused_although_the_log_looks_like_a_part() {
    let dir = ten_entries();
    let path = dir.path().join("node.record");
    let older = fs::read(&path).unwrap();
    let log = open_again(dir.path()).unwrap();
    log.purge(id(4)).unwrap();
    log.close();
    fs::write(&path, &older).unwrap();
    let opened = LogStore::open(dir.path(), OWNER, &keys(), None, OnLoss::Doubt);
    assert_eq!(forgery(opened), Some(Forgery::OlderRecord { index: 4 }));
    assert_eq!((fs::read(&path).unwrap(), names(dir.path())), (older, vec!["log".to_owned()]));
}

/// A file of the log has 16 MiB.
#[test]
fn a_log_without_its_first_file_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    (0..20).for_each(|index| append_entries(&log, [(id(index), Bytes::from(vec![7; 1 << 20]))]));
    log.close();
    let files = fs::read_dir(dir.path().join("log")).unwrap().map(|entry| entry.unwrap().path());
    let first = files.filter(|path| path.extension().is_some_and(|end| end == "wal")).min().unwrap();
    assert!(first != last_file(dir.path()));
    fs::remove_file(first).unwrap();
    let log = open_in_doubt(dir.path());
    assert_eq!((log.state().unwrap().last, log.record().doubt().is_some()), (None, true));
    assert_eq!(names(dir.path()), ["log", "log.damaged-1"]);
}

#[test]
fn a_record_that_may_be_older_is_refused_and_nothing_is_set_aside() {
    let dir = ten_entries();
    let path = dir.path().join("node.record");
    let older = fs::read(&path).unwrap();
    let log = open_again(dir.path()).unwrap();
    log.save_vote(Vote { term: 2, ..VOTE }).unwrap();
    append_entries(&log, [(LogId { term: 2, ..id(10) }, Bytes::from_static(b"of term 2"))]);
    log.close();
    fs::write(&path, &older).unwrap();
    let open = || LogStore::open(dir.path(), OWNER, &keys(), None, OnLoss::Doubt);
    assert_eq!(forgery(open()), Some(Forgery::Vote { term: 2 }));
    let other_key = StoreKeys { integrity: IntegrityKeys::of_bytes(1, [4; 32]), ..keys() };
    let opened = LogStore::open(dir.path(), OWNER, &other_key, None, OnLoss::Doubt);
    assert_eq!(forgery(opened), Some(Forgery::RecordTag));
    let other_store = Owner { store_id: StoreId([6; 16]), ..OWNER };
    let opened = LogStore::open(dir.path(), other_store, &keys(), None, OnLoss::Doubt);
    assert!(matches!(opened, Err(LogOpenError::Foreign { .. })));
    assert_eq!((names(dir.path()), fs::read(&path).unwrap()), (vec!["log".to_owned()], older));
}
