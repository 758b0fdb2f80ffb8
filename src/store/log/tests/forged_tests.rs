//! What a node does when somebody who can write to its disk has changed its log or its node record, with checksums that
//! hold.

use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter;

use super::*;
use crate::store::flush::LogTypes;
use crate::store::log_types::Tag;

/// The stored entries of a log, with their tags.
fn stored(dir: &Path) -> Vec<(LogId, Payload)> {
    let entries = open_entries(&dir.join("log"), None).unwrap();
    entries.read(0, u64::MAX).map(Result::unwrap).collect()
}

/// Gives the folder a log with these entries instead, as somebody can who knows the format.
fn replace_entries(dir: &Path, stored: impl IntoIterator<Item = (LogId, Payload)>) {
    let log = dir.join("log");
    let note = open_entries(&log, None).unwrap().log_state().user_data.clone();
    std::fs::remove_dir_all(&log).unwrap();
    let mut entries = open_entries(&log, None).unwrap();
    entries.save_user_data(note).unwrap();
    entries.append(stored).unwrap();
    entries.flush(true, None).unwrap();
    entries.wait_worker_idle().unwrap();
}

fn folder_with(entries: u64, committed: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, 0..entries);
    log.commit(id(committed)).unwrap();
    log.close();
    dir
}

fn found_after(change: impl FnOnce(&mut Vec<(LogId, Payload)>)) -> Option<Forgery> {
    let dir = folder_with(10, 6);
    let mut entries = stored(dir.path());
    change(&mut entries);
    replace_entries(dir.path(), entries);
    forgery(open_again(dir.path()))
}

fn with_bytes(entry: &(LogId, Payload), bytes: &'static [u8]) -> (LogId, Payload) {
    (entry.0, Payload { bytes: Bytes::from_static(bytes), ..entry.1.clone() })
}

#[test]
fn a_log_with_another_entry_is_not_opened() {
    assert_eq!(found_after(|_| {}), None);
    assert_eq!(
        found_after(|entries| entries[4] = with_bytes(&entries[4], b"forged")),
        Some(Forgery::Entry { index: 4 })
    );
    let moved = |entries: &mut Vec<(LogId, Payload)>| {
        let (first, second) = (entries[4].1.clone(), entries[5].1.clone());
        (entries[4].1, entries[5].1) = (second, first);
    };
    assert_eq!(found_after(moved), Some(Forgery::Entry { index: 4 }));
    assert_eq!(found_after(|entries| entries[9] = with_bytes(&entries[9], b"9!")), Some(Forgery::Entry { index: 9 }));
    let appended = |entries: &mut Vec<(LogId, Payload)>| {
        let tag: Tag = entries[9].1.tag;
        entries.push((id(10), Payload::appended(Bytes::from_static(b"new"), tag)));
    };
    assert_eq!(found_after(appended), Some(Forgery::Entry { index: 10 }));
}

#[test]
fn a_log_without_its_first_or_its_last_committed_entries_is_not_opened() {
    let begin = |entries: &mut Vec<_>| drop(entries.drain(..2));
    assert_eq!(found_after(begin), Some(Forgery::Begin { found: 2, expected: 0 }));
    assert_eq!(found_after(|entries| entries.truncate(6)), Some(Forgery::Committed { index: 6 }));
    assert_eq!(found_after(Vec::clear), Some(Forgery::Committed { index: 6 }));
    // The others need not be committed. But the node may have acknowledged them.
    assert_eq!(found_after(|entries| entries.truncate(7)), Some(Forgery::Flushed { index: 9 }));
}

#[test]
fn a_forged_end_or_beginning_in_the_notes_of_the_log_is_not_believed() {
    let opened_with = |change: &dyn Fn(&mut RaftLog<LogTypes>)| {
        let dir = folder_with(10, 6);
        let mut entries = open_entries(&dir.path().join("log"), None).unwrap();
        change(&mut entries);
        entries.flush(true, None).unwrap();
        drop(entries);
        forgery(open_again(dir.path()))
    };
    assert_eq!(opened_with(&|entries| drop(entries.purge(id(3)))), Some(Forgery::Begin { found: 4, expected: 0 }));
    assert_eq!(opened_with(&|entries| drop(entries.purge(id(9)))), Some(Forgery::End));
    assert_eq!(opened_with(&|entries| drop(entries.purge(id(99)))), Some(Forgery::End));
    assert_eq!(opened_with(&|entries| drop(entries.truncate(5))), Some(Forgery::Committed { index: 6 }));
    // Votes and committed positions stand in the node record alone.
    assert_eq!(opened_with(&|entries| drop(entries.save_vote(Vote { term: 99, ..VOTE }))), None);
    assert_eq!(opened_with(&|entries| drop(entries.commit(id(9)))), None);
}

#[test]
fn a_log_or_record_of_another_node_store_or_cluster_is_not_opened() {
    let dir = folder_with(10, 6);
    let other_store = Owner { store_id: StoreId([6; 16]), ..OWNER };
    let opened = LogStore::open(dir.path(), other_store, &keys(), None, OnLoss::Refuse);
    assert!(matches!(opened, Err(LogOpenError::Foreign { folder: OWNER, .. })));
    let other_key = StoreKeys { integrity: IntegrityKeys::of_bytes(1, [4; 32]), ..keys() };
    assert_eq!(forgery(LogStore::open(dir.path(), OWNER, &other_key, None, OnLoss::Refuse)), Some(Forgery::RecordTag));
    // Somebody puts the entries of another store beside this record, and names this store in the note of the log.
    let other = tempfile::tempdir().unwrap();
    let log = LogStore::create(other.path(), other_store, &keys(), None).unwrap();
    append(&log, 0..10);
    log.close();
    replace_entries(dir.path(), stored(other.path()));
    assert_eq!(forgery(open_again(dir.path())), Some(Forgery::Entry { index: 0 }));
}

#[test]
fn an_older_record_or_an_older_log_is_noticed_where_they_contradict_each_other() {
    let dir = folder_with(10, 6);
    let record = dir.path().join("node.record");
    let older = std::fs::read(&record).unwrap();
    let log = open_again(dir.path()).unwrap();
    log.save_vote(Vote { term: 2, ..VOTE }).unwrap();
    append_entries(&log, [(LogId { term: 2, ..id(10) }, Bytes::from_static(b"of term 2"))]);
    log.close();
    let newer = std::fs::read(&record).unwrap();
    std::fs::write(&record, &older).unwrap();
    assert_eq!(forgery(open_again(dir.path())), Some(Forgery::Vote { term: 2 }));
    std::fs::write(&record, newer).unwrap();
    let log = open_again(dir.path()).unwrap();
    log.purge(id(4)).unwrap();
    log.close();
    std::fs::write(&record, older).unwrap();
    assert_eq!(forgery(open_again(dir.path())), Some(Forgery::Begin { found: 5, expected: 0 }));
}

#[test]
fn a_damaged_part_that_the_node_has_applied_is_dropped() {
    let applied = |applied: u64, broken: usize, on_loss| {
        let dir = folder_with(10, 6);
        let mut entries = stored(dir.path());
        entries[broken] = with_bytes(&entries[broken], b"forged");
        replace_entries(dir.path(), entries);
        let opened = LogStore::open(dir.path(), OWNER, &keys(), Some(id(applied)), on_loss);
        (dir, opened)
    };
    for (at, broken) in [(7, 7), (7, 0), (9, 3), (20, 9)] {
        let (dir, opened) = applied(at, broken, OnLoss::Doubt);
        let log = opened.unwrap();
        assert!(log.record().doubt().is_none());
        assert_eq!((log.state().unwrap().purged, log.state().unwrap().last), (Some(id(at)), Some(id(at.max(9)))));
        append(&log, at.max(9) + 1..at.max(9) + 3);
        let entries = log.read(0..99).unwrap();
        log.close();
        assert_eq!(open_again(dir.path()).unwrap().read(0..99).unwrap(), entries, "{at} {broken}");
    }
    let (_dir, opened) = applied(7, 8, OnLoss::Refuse);
    assert_eq!(forgery(opened), Some(Forgery::Entry { index: 8 }));
    let dir = folder_with(10, 6);
    let other = LogId { term: 2, ..id(7) };
    assert_eq!(
        forgery(LogStore::open(dir.path(), OWNER, &keys(), Some(other), OnLoss::Refuse)),
        Some(Forgery::Applied { index: 7 })
    );
}

/// Entries leave the cache only with a chunk of 16 MiB, so this writes more than that.
#[test]
fn an_entry_that_changes_on_the_disk_while_the_node_runs_is_noticed_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let large = |index: u8| (id(index.into()), Bytes::from(vec![index; 1 << 20]));
    (0..40).for_each(|index| append_entries(&log, [large(index)]));
    let (first, written) = LogStore::forge_on_disk(dir.path(), large(2), Bytes::from(vec![77; 1 << 20]));
    assert_eq!(log.read(0..2).unwrap(), (0..2).map(large).collect::<Vec<_>>());
    let error = log.read(2..3).expect_err("it is another entry");
    assert_eq!(Forged::cause_of(&error), Some(Forged(Forgery::Entry { index: 2 })));
    assert!(log.read(0..40).is_err());
    std::fs::write(&first, &written).unwrap();
    assert_eq!(log.read(0..40).unwrap().len(), 40);
}

#[test]
fn a_start_notes_what_it_finds_in_the_log_as_durable() {
    let dir = folder_with(7, 3);
    let (log, record) = (open_again(dir.path()).unwrap(), dir.path().join("node.record"));
    let noted = std::fs::read(&record).unwrap();
    append(&log, 7..10);
    log.close();
    // The process was killed before the record named these entries. The next one acknowledges them, and appends nothing.
    std::fs::write(&record, noted).unwrap();
    open_again(dir.path()).unwrap().close();
    let mut entries = stored(dir.path());
    entries.truncate(8);
    replace_entries(dir.path(), entries);
    assert_eq!(forgery(open_again(dir.path())), Some(Forgery::Flushed { index: 9 }));
}

#[test]
fn opening_a_log_never_removes_what_was_noted_as_durable() {
    let dir = folder_with(7, 3);
    let (log, record) = (open_again(dir.path()).unwrap(), dir.path().join("node.record"));
    let noted = std::fs::read(&record).unwrap();
    append(&log, 7..10);
    log.close();
    std::fs::write(&record, noted).unwrap();
    let path = last_file(dir.path());
    let whole = std::fs::read(&path).unwrap();
    // The lengths of the payloads, each before its tag. A wrong one can reach beyond the end of the file.
    let lengths: Vec<usize> = (0..whole.len() - 5)
        .filter(|at| whole[*at..at + 5] == [1, 0, 0, 0, 1] && whole[at + 21].is_ascii_digit())
        .collect();
    assert_eq!(lengths.len(), 10);
    for (index, at) in lengths.into_iter().enumerate() {
        let mut damaged = whole.clone();
        damaged[at + 2] = 1;
        std::fs::write(&path, &damaged).unwrap();
        if index <= 6 {
            assert_eq!(forgery(open_again(dir.path())), Some(Forgery::Flushed { index: 6 }));
            assert_eq!(std::fs::read(&path).unwrap(), damaged, "nothing is removed");
        } else {
            let log = open_again(dir.path()).unwrap();
            assert_eq!(log.read(0..99).unwrap().len(), index);
            log.close();
            for file in std::fs::read_dir(dir.path().join("log")).unwrap() {
                std::fs::remove_file(file.unwrap().path()).unwrap();
            }
        }
    }
}

#[test]
fn a_file_whose_first_record_is_damaged_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append_entries(&log, [(id(0), Bytes::from(vec![7; 5000]))]);
    log.close();
    let path = last_file(dir.path());
    let mut damaged = std::fs::read(&path).unwrap();
    // The checkpoint before the note has no user data. Somebody says that it has some, and how much.
    let option = 4 + 1 + 4;
    (damaged[option], damaged[option + 1]) = (1, 1);
    std::fs::write(&path, &damaged).unwrap();
    assert_eq!(forgery(open_again(dir.path())), Some(Forgery::End));
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
}
