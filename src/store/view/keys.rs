//! The key versions of a view, in order, each with its record.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::blocks::Blocks;
use super::short_records::{CommonParts, ShortRecord};
use crate::state::KeyRecord;
use crate::store::entries::{VERSION_SUFFIX_BYTES, version_key};

/// Key versions. The byte order of their version keys is the order of listings.
#[derive(Default)]
pub(in crate::store) struct Keys {
    /// Each is a version key and then the short form of its record.
    entries: Blocks,
    common: CommonParts,
    names: u64,
    /// The few names that are deleted and wait for their removal. Their entries are still there.
    waiting: BTreeSet<Box<str>>,
    /// While a snapshot is built: the old form of each version that has changed since, by version key. `None` stands for
    /// a version that is new.
    before: Option<BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
}

/// A version key and the encoded record of that version.
pub(super) type VersionRecord = (Vec<u8>, Vec<u8>);

impl Keys {
    /// Puts a version that comes after all others. The blocks become full, so this takes less memory than [`Keys::put`].
    pub fn push(&mut self, version_key: &[u8], record: &[u8]) {
        // The versions of a name are neighbours, and the newest is the last.
        let name = name_of(version_key);
        self.names += u64::from(self.last().is_none_or(|last| name_of(last) != name));
        self.note_waiting(&String::from_utf8_lossy(name), KeyRecord::is_waiting(record));
        let entry = self.entry(version_key, record);
        self.entries.push(&entry);
    }

    /// The last version key.
    pub fn last(&self) -> Option<&[u8]> {
        self.entries.last().map(|entry| split(entry).0)
    }

    /// All entries in order. [`Keys::version_record`] reads one.
    pub fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.entries_from(&[])
    }

    /// The version key and the encoded record of an entry.
    pub fn version_record(&self, entry: &[u8]) -> VersionRecord {
        let (version_key, record) = self.read(entry);
        (version_key.to_vec(), record.whole())
    }

    /// The number of names, without those that wait for their removal.
    pub(super) fn count(&self) -> u64 {
        self.names - self.waiting.len() as u64
    }

    /// Names that are deleted and wait for their removal, in order.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|name| &**name)
    }

    /// The record of a version.
    pub(super) fn record(&self, name: &str, version: u32) -> Option<ShortRecord<'_>> {
        self.entries.get(&version_key(name, version)).map(|entry| self.read(entry).1)
    }

    /// The newest version's record.
    pub(super) fn newest(&self, name: &str) -> Option<ShortRecord<'_>> {
        // In a version key a zero byte follows the name, so the name and a one byte are above all of its versions. The
        // array saves an allocation on the path of every request.
        let mut end = [0; 96]; // a name has at most 80 bytes
        let bound = end.get_mut(..=name.len())?;
        bound[..name.len()].copy_from_slice(name.as_bytes());
        bound[name.len()] = 1;
        let entry = self.entries.last_before(bound)?;
        let rest = entry.strip_prefix(name.as_bytes())?;
        let (suffix, short) = rest.split_first_chunk::<VERSION_SUFFIX_BYTES>()?;
        let [0, version @ ..] = *suffix else { return None };
        Some(self.common.record(u32::from_be_bytes(version), short))
    }

    pub(super) fn names_from(&self, start: &str, limit: usize, matches: impl Fn(&[u8]) -> bool) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.entries.entries_from(start.as_bytes()).map(name_of) {
            if names.last().is_some_and(|last| last.as_bytes() == name) || self.is_waiting(name) {
                continue;
            }
            if names.len() == limit || !matches(name) {
                break;
            }
            names.push(String::from_utf8_lossy(name).into_owned());
        }
        names
    }

    /// Puts the record of a version and returns the one that it replaces.
    pub(super) fn put(&mut self, name: &str, version: u32, record: &[u8]) -> Option<Vec<u8>> {
        let newest = self.newest(name).and_then(|record| record.creation());
        self.names += u64::from(newest.is_none());
        if newest.is_none_or(|(_, newest)| newest <= version) {
            self.note_waiting(name, KeyRecord::is_waiting(record));
        }
        let version_key = version_key(name, version);
        let entry = self.entry(&version_key, record);
        let replaced = self.entries.put(&version_key, &entry).map(|entry| self.read(&entry).1.whole());
        self.keep(&version_key, replaced.as_deref());
        replaced
    }

    /// Removes every version of a name and returns them.
    pub(super) fn remove(&mut self, name: &str) -> Vec<VersionRecord> {
        let mut removed = Vec::new();
        while let Some((_, version)) = self.newest(name).and_then(|record| record.creation()) {
            let Some(entry) = self.entries.remove(&version_key(name, version)) else { break };
            let (version_key, record) = self.version_record(&entry);
            self.keep(&version_key, Some(&record));
            removed.push((version_key, record));
        }
        self.names -= u64::from(!removed.is_empty());
        self.waiting.remove(name);
        removed
    }

    /// From now on keeps the old form of what changes.
    pub(super) fn freeze(&mut self) {
        self.before = Some(BTreeMap::new());
    }

    /// Stops keeping the old form of what changes.
    pub(super) fn thaw(&mut self) {
        self.before = None;
    }

    /// Up to `limit` versions after `after` as they were at [`Keys::freeze`].
    pub(super) fn frozen_after(&self, after: Option<&[u8]>, limit: usize) -> Vec<VersionRecord> {
        let Some(before) = &self.before else { return Vec::new() };
        let start = after.unwrap_or_default();
        let mut now = self.entries.entries_from(start).map(|entry| self.read(entry)).peekable();
        let mut then = before.range::<[u8], _>((Bound::Included(start), Bound::Unbounded)).peekable();
        let mut frozen = Vec::new();
        while now.next_if(|(key, _)| Some(*key) == after).is_some() {}
        while then.next_if(|(key, _)| Some(key.as_slice()) == after).is_some() {}
        while frozen.len() < limit {
            match (now.peek(), then.peek()) {
                (Some((key, record)), other) if other.is_none_or(|(then_key, _)| *key < then_key.as_slice()) => {
                    frozen.push((key.to_vec(), record.whole()));
                    now.next();
                }
                (_, Some((key, record))) => {
                    now.next_if(|(now_key, _)| now_key == key);
                    frozen.extend(record.iter().map(|record| ((*key).clone(), record.clone())));
                    then.next();
                }
                (_, None) => break,
            }
        }
        frozen
    }

    /// Replaces all versions by those of another view. If this one is frozen, it keeps what it had.
    pub(super) fn replace_with(&mut self, new: Self) {
        let mut old = std::mem::replace(self, new);
        self.before = old.before.take().map(|mut before| {
            for entry in old.entries() {
                let (version_key, record) = old.version_record(entry);
                before.entry(version_key).or_insert(Some(record));
            }
            for entry in self.entries() {
                before.entry(split(entry).0.to_vec()).or_insert(None);
            }
            before
        });
    }

    fn entry(&mut self, version_key: &[u8], record: &[u8]) -> Vec<u8> {
        [version_key, &self.common.shorten(version_of(version_key), record)].concat()
    }

    fn read<'a>(&'a self, entry: &'a [u8]) -> (&'a [u8], ShortRecord<'a>) {
        let (version_key, short) = split(entry);
        (version_key, self.common.record(version_of(version_key), short))
    }

    fn is_waiting(&self, name: &[u8]) -> bool {
        !self.waiting.is_empty() && std::str::from_utf8(name).is_ok_and(|name| self.waiting.contains(name))
    }

    fn note_waiting(&mut self, name: &str, waiting: bool) {
        if waiting {
            self.waiting.insert(name.into());
        } else if !self.waiting.is_empty() {
            self.waiting.remove(name);
        }
    }

    fn keep(&mut self, version_key: &[u8], record: Option<&[u8]>) {
        if let Some(before) = &mut self.before {
            before.entry(version_key.to_vec()).or_insert_with(|| record.map(Into::into));
        }
    }
}

/// Splits an entry into its version key and what follows.
fn split(entry: &[u8]) -> (&[u8], &[u8]) {
    entry.split_at((name_of(entry).len() + VERSION_SUFFIX_BYTES).min(entry.len()))
}

/// The name at the front of an entry: the bytes before the first zero byte, which no name has.
fn name_of(entry: &[u8]) -> &[u8] {
    entry.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn version_of(version_key: &[u8]) -> u32 {
    version_key.last_chunk().map_or(0, |version| u32::from_be_bytes(*version))
}
