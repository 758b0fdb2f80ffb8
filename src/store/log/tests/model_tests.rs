//! Random histories of a log against a model, with crashes at any point, and every kind of changed byte.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::AtomicUsize;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const SLOT_BYTES: usize = 64 * 1024;

/// What the log must hold.
#[derive(Debug, Clone, Default)]
struct Model {
    entries: Vec<(LogId, Bytes)>,
    purged: Option<LogId>,
    vote: Vote,
    committed: Option<LogId>,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.entries.last().map(|(id, _)| *id).or(self.purged)
    }

    fn next(&self) -> u64 {
        self.last().map_or(0, |id| id.index + 1)
    }

    /// The position with this index, if the log has it.
    fn at(&self, index: u64) -> Option<LogId> {
        let known = self.entries.iter().map(|(id, _)| *id).chain(self.purged);
        known.into_iter().find(|id| id.index == index)
    }

    fn purge(&mut self, upto: LogId) {
        self.entries.retain(|(id, _)| id.index > upto.index);
        self.purged = Some(upto);
    }

    fn of(log: &LogStore) -> Self {
        let state = log.state().unwrap();
        let entries = log.read(0..u64::MAX).unwrap();
        Self { entries, purged: state.purged, vote: state.vote.unwrap(), committed: state.committed }
    }
}

/// A log, its model, and what a crash may take away.
struct Run {
    dir: tempfile::TempDir,
    log: LogStore,
    model: Model,
    random: StdRng,
    /// The last file of the log, and its size when everything was durable.
    durable: (PathBuf, u64),
    durable_next: u64,
}

/// Copies the files of a folder and of the folders in it. A purge may remove one meanwhile.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else if let Err(error) = fs::copy(entry.path(), to) {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let (model, durable) = (Model::of(&log), (PathBuf::new(), 0));
        let mut run = Self { dir, log, model, random: StdRng::seed_from_u64(seed), durable, durable_next: 0 };
        run.note_durable();
        run
    }

    fn note_durable(&mut self) {
        let path = last_file(self.dir.path());
        let size = path.metadata().unwrap().len();
        self.durable = (path.file_name().unwrap().into(), size);
        self.durable_next = self.model.next();
    }

    fn index_between(&mut self, from: Option<LogId>, to: Option<LogId>) -> Option<LogId> {
        let (from, to) = (from.map_or(0, |id| id.index), to?.index);
        let index = if from > to { return None } else { self.random.random_range(from..=to) };
        self.model.at(index)
    }

    fn append(&mut self, wait: bool) {
        let count = self.random.random_range(1..4);
        let entries: Vec<_> = (0..count)
            .map(|at| {
                let length = if self.random.random_ratio(1, 40) { 3 << 20 } else { self.random.random_range(0..300) };
                let payload = Bytes::from(vec![self.random.random(); length]);
                (LogId { term: self.model.vote.term, node: 1, index: self.model.next() + at }, payload)
            })
            .collect();
        self.model.entries.extend(entries.iter().cloned());
        if wait {
            append_entries(&self.log, entries);
            self.note_durable();
        } else {
            self.log.append(entries, Box::new(drop)).unwrap();
        }
    }

    /// A change that is durable when it returns, and the model after it.
    fn change(&mut self) -> Model {
        let mut after = self.model.clone();
        match self.random.random_range(0..4) {
            0 => after.vote.term += 1,
            1 => {
                if let Some(upto) = self.index_between(self.model.purged, self.model.committed) {
                    after.purge(upto);
                }
            }
            2 if self.random.random_ratio(1, 4) => {
                // A snapshot that goes further than the log.
                let upto = LogId { term: self.model.vote.term, node: 1, index: self.model.next() + 5 };
                after.purge(upto);
                after.committed = Some(upto).max(after.committed);
            }
            _ => {
                let kept = self.index_between(self.model.committed.max(self.model.purged), self.model.last());
                if let Some(kept) = kept {
                    after.entries.retain(|(id, _)| id.index <= kept.index);
                }
            }
        }
        after
    }

    fn make(&self, after: &Model) {
        if after.vote != self.model.vote {
            self.log.save_vote(after.vote).unwrap();
        } else if let Some(purged) = after.purged.filter(|purged| Some(*purged) != self.model.purged) {
            self.log.purge(purged).unwrap();
        } else if after.entries.len() < self.model.entries.len() {
            self.log.truncate_after(after.last()).unwrap();
            // Entries that follow are of another leader.
            self.log.save_vote(Vote { term: after.vote.term + 1, ..after.vote }).unwrap();
        }
    }

    fn settle(&mut self, after: Model) {
        let truncated = after.entries.len() < self.model.entries.len() && after.purged == self.model.purged;
        self.model = after;
        self.model.vote.term += u64::from(truncated);
        self.note_durable();
    }

    fn step(&mut self) {
        match self.random.random_range(0..10) {
            0..3 => self.append(true),
            3..5 => self.append(false),
            5 => {
                if let Some(id) = self.index_between(self.model.committed.max(self.model.purged), self.model.last()) {
                    self.log.commit(id).unwrap();
                    self.model.committed = self.model.committed.max(Some(id));
                }
            }
            6 => {
                self.log.record().write_progress().unwrap();
                // What the record now says about the log has been flushed. A crash must not take it away.
                self.log.log.wait_for_writes().unwrap();
                self.note_durable();
            }
            7 => {
                let after = self.change();
                self.make(&after);
                self.settle(after);
            }
            8 => self.crash_while_idle(),
            _ => self.crash_in_a_change(),
        }
    }

    /// Some of what is not durable is lost.
    fn crash_while_idle(&mut self) {
        let after = tempfile::tempdir().unwrap();
        copy(self.dir.path(), after.path());
        let last = last_file(after.path());
        let size = last.metadata().unwrap().len();
        let durable = if last.file_name().unwrap() == self.durable.0.as_os_str() { self.durable.1 } else { 0 };
        let kept = self.random.random_range(durable..=size);
        fs::File::options().write(true).open(&last).unwrap().set_len(kept).unwrap();
        let before = self.model.clone();
        self.recover(after);
        assert!(self.model.next() >= self.durable_next, "{} < {}", self.model.next(), self.durable_next);
        assert_eq!((self.model.vote, self.model.purged), (before.vote, before.purged));
        assert_eq!(self.model.entries[..], before.entries[..self.model.entries.len()]);
        assert!(self.model.committed <= before.committed);
        self.note_durable();
    }

    /// The record has a part of a change, and the log nothing of it.
    fn crash_in_a_change(&mut self) {
        self.log.log.wait_for_writes().unwrap();
        let (crashed, path) = (tempfile::tempdir().unwrap(), self.dir.path().join("node.record"));
        copy(self.dir.path(), crashed.path());
        let (before, after) = (self.model.clone(), self.change());
        let old = fs::read(&path).unwrap();
        self.make(&after);
        let torn = self.torn(&old, &fs::read(&path).unwrap());
        fs::write(crashed.path().join("node.record"), torn).unwrap();
        self.recover(crashed);
        assert!([before.vote, after.vote].contains(&self.model.vote) || after.entries.len() < before.entries.len());
        assert!([before.purged, after.purged].contains(&self.model.purged));
        let mut expected = before;
        if self.model.purged != expected.purged {
            expected.purge(after.purged.unwrap());
        }
        assert_eq!((&self.model.entries, self.model.last()), (&expected.entries, expected.last()));
        self.note_durable();
    }

    /// A file between two writes: slots are written one after the other, the one with the lower number first.
    fn torn(&mut self, old: &[u8], new: &[u8]) -> Vec<u8> {
        let number = |at: usize| u64::from_be_bytes(old[at + 24..at + 32].try_into().unwrap());
        let order = if number(0) < number(SLOT_BYTES) { [0, SLOT_BYTES] } else { [SLOT_BYTES, 0] };
        let changed = order.map(|slot| old[slot..slot + SLOT_BYTES] != new[slot..slot + SLOT_BYTES]);
        let mut torn = old.to_vec();
        for (slot, changed) in order.into_iter().zip(changed) {
            if changed && self.random.random() {
                // Some bytes have reached the disk, and the writes that would follow have not begun.
                let length = self.random.random_range(0..5000);
                torn[slot..slot + length].copy_from_slice(&new[slot..slot + length]);
                return torn;
            }
            torn[slot..slot + SLOT_BYTES].copy_from_slice(&new[slot..slot + SLOT_BYTES]);
        }
        torn
    }

    fn recover(&mut self, dir: tempfile::TempDir) {
        let log = open_again(dir.path()).unwrap();
        std::mem::replace(&mut self.log, log).close();
        self.dir = dir;
        self.model = Model::of(&self.log);
        let known = self.model.committed <= self.model.purged || self.model.committed <= self.model.last();
        assert!(known, "{:?}", self.model.committed);
    }

    fn check(&self) {
        let found = Model::of(&self.log);
        assert_eq!((found.vote, found.purged, found.last()), (self.model.vote, self.model.purged, self.model.last()));
        assert_eq!(found.entries, self.model.entries);
    }
}

#[test]
fn random_histories_with_crashes_lose_nothing_that_was_durable() {
    let seeds: Vec<u64> = std::env::var("KEYRAFT_SEED").map_or((0..40).collect(), |seed| vec![seed.parse().unwrap()]);
    for seed in seeds {
        println!("KEYRAFT_SEED={seed}");
        let mut run = Run::new(seed);
        for _ in 0..60 {
            run.step();
            run.check();
        }
        let expected = run.model.entries.clone();
        run.log.close();
        assert_eq!(open_again(run.dir.path()).unwrap().read(0..u64::MAX).unwrap(), expected);
    }
}

/// A short history with every kind of record in it.
fn history(dir: &Path) -> Model {
    let log = open(dir);
    append(&log, 0..8);
    log.commit(id(4)).unwrap();
    log.truncate_after(Some(id(5))).unwrap();
    log.save_vote(Vote { term: 2, ..VOTE }).unwrap();
    append_entries(&log, (6..9).map(|index| (LogId { term: 2, ..id(index) }, Bytes::from_static(b"of term 2"))));
    log.commit(LogId { term: 2, ..id(7) }).unwrap();
    log.purge(id(1)).unwrap();
    log.record().begin_start([1; 16]).unwrap();
    log.close();
    let model = Model::of(&open_again(dir).unwrap());
    assert_eq!((model.purged, model.entries.len()), (Some(id(1)), 7));
    model
}

#[test]
fn any_changed_byte_is_noticed_or_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let expected = history(dir.path());
    let wal = last_file(dir.path()).strip_prefix(dir.path()).unwrap().to_owned();
    let outcomes = [const { AtomicUsize::new(0) }; 3];
    let tried = tempfile::tempdir().unwrap();
    for file in [wal, PathBuf::from("node.record")] {
        let content = fs::read(dir.path().join(&file)).unwrap();
        let written: BTreeSet<usize> = (0..content.len()).filter(|at| content[*at] != 0).collect();
        for at in written {
            let _ = fs::remove_dir_all(tried.path());
            copy(dir.path(), tried.path());
            let mut changed = content.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(tried.path().join(&file), &changed).unwrap();
            let outcome = match open_again(tried.path()) {
                Err(_) => {
                    assert_eq!(fs::read(tried.path().join(&file)).unwrap(), changed, "{file:?} at {at}");
                    0
                }
                Ok(log) => {
                    let found = Model::of(&log);
                    assert_eq!((found.vote, found.purged), (expected.vote, expected.purged), "{file:?} at {at}");
                    let kept = found.entries.len();
                    assert_eq!(found.entries, expected.entries[..kept], "{file:?} at {at}");
                    // What looks like an unfinished write at the end may go, but nothing that was noted as committed.
                    assert!(found.last() >= expected.committed, "{file:?} at {at}");
                    assert!(log.record().starts(|starts| starts.current().is_some()));
                    1 + usize::from(kept < expected.entries.len())
                }
            };
            outcomes[outcome].fetch_add(1, Ordering::Relaxed);
        }
    }
    println!("refused, without effect, with a shorter end: {outcomes:?}");
    assert!(outcomes[0].load(Ordering::Relaxed) > 100);
}
