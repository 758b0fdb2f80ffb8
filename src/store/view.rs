//! The view: the part of the applied state that requests read, in memory and in order. Its key records are sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::RwLock;

use super::entries::{VERSION_SUFFIX_BYTES, version_key};
use crate::policy::{KeyName, Prefix, Rules};
use crate::state::{ClusterState, CreationId, KeyRecord};

/// The applied state as requests read it. The state machine alone changes it, in the order of the log.
#[derive(Default)]
pub struct View {
    keys: RwLock<Keys>,
    rules: ArcSwap<Rules>,
    cluster: ArcSwapOption<ClusterState>,
}

/// Key versions. Each is one allocation: its version key and then its record. Their byte order is the order of
/// listings.
#[derive(Default)]
struct Keys {
    entries: BTreeSet<Box<[u8]>>,
    names: u64,
    /// The few names that are deleted and wait for their removal. Their entries are still there.
    waiting: BTreeSet<Box<str>>,
    /// While a snapshot is built: the old form of each entry that has changed since, by version key. `None` stands for
    /// an entry that is new.
    before: Option<Before>,
}

type Before = BTreeMap<Vec<u8>, Option<Box<[u8]>>>;

impl View {
    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// Whether these are the rules in force.
    pub fn has_rules(&self, rules: &Arc<Rules>) -> bool {
        Arc::ptr_eq(&self.rules.load(), rules)
    }

    /// The facts about the cluster, once it is initialised.
    pub fn cluster(&self) -> Option<Arc<ClusterState>> {
        self.cluster.load_full()
    }

    /// The active feature level, once the cluster is initialised.
    pub fn level(&self) -> Option<u32> {
        self.cluster.load().as_ref().map(|cluster| cluster.level)
    }

    /// The creation and the newest version of the key that has this name now. A key that is deleted and waits for its
    /// removal does not count.
    pub fn newest(&self, name: KeyName<'_>) -> Option<(CreationId, u32)> {
        let keys = self.keys.read();
        keys.newest(name.as_str()).filter(|record| !KeyRecord::is_waiting(record)).and_then(KeyRecord::peek)
    }

    /// The encoded record of the newest version of a name, also while its key waits for removal.
    pub fn newest_record(&self, name: KeyName<'_>) -> Option<Vec<u8>> {
        self.keys.read().newest(name.as_str()).map(Into::into)
    }

    /// Whether a version of a name exists and is disabled.
    pub fn is_disabled(&self, name: KeyName<'_>, version: u32) -> bool {
        self.keys.read().record(&version_key(name.as_str(), version)).is_some_and(KeyRecord::is_disabled)
    }

    /// Names that are deleted and wait for their removal, in order.
    pub fn waiting(&self) -> Vec<String> {
        self.keys.read().waiting.iter().map(ToString::to_string).collect()
    }

    /// The encoded record of one version.
    pub fn record(&self, name: KeyName<'_>, version: u32) -> Option<Vec<u8>> {
        self.keys.read().record(&version_key(name.as_str(), version)).map(Into::into)
    }

    /// At most `limit` names that begin with `prefix`, in order, starting with `from`.
    pub fn names(&self, prefix: Prefix<'_>, from: Option<&str>, limit: usize) -> Vec<String> {
        let prefix = prefix.as_str();
        let start = from.unwrap_or("").max(prefix);
        self.keys.read().names_from(start, limit, |name| name.starts_with(prefix.as_bytes()))
    }

    /// The number of keys, without those that wait for their removal.
    pub fn key_count(&self) -> u64 {
        let keys = self.keys.read();
        keys.names - keys.waiting.len() as u64
    }

    pub(super) fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    pub(super) fn set_cluster(&self, cluster: ClusterState) {
        self.cluster.store(Some(Arc::new(cluster)));
    }

    /// Puts the record of a version and returns the one that it replaces.
    pub(super) fn put(&self, name: &str, version: u32, record: &[u8]) -> Option<Box<[u8]>> {
        self.keys.write().put(name, version, record)
    }

    /// Replaces all key versions by these, each its version key and then its record. This costs a third of putting them
    /// one by one, and the set takes less memory.
    pub(super) fn fill(&self, entries: Vec<Box<[u8]>>) {
        *self.keys.write() = Keys::of(entries);
    }

    /// Removes every version of a name and returns them: version key and record.
    pub(super) fn remove(&self, name: &str) -> Vec<(Vec<u8>, Box<[u8]>)> {
        self.keys.write().remove(name)
    }

    /// From now on keeps the old form of what changes, for [`View::frozen_after`]. One snapshot is built at a time.
    pub(super) fn freeze(&self) {
        self.keys.write().before = Some(BTreeMap::new());
    }

    /// Stops keeping the old form of what changes.
    pub(super) fn thaw(&self) {
        self.keys.write().before = None;
    }

    /// Up to `limit` entries after `after` as they were when the view was frozen: version key and record.
    pub(super) fn frozen_after(&self, after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Box<[u8]>)> {
        self.keys.read().frozen_after(after, limit)
    }

    /// Replaces everything by the content of another view, at once.
    pub(super) fn replace_with(&self, other: Self) {
        let mut keys = self.keys.write();
        let replaced = std::mem::replace(&mut *keys, other.keys.into_inner());
        keys.before = replaced.before.map(|before| replaced_whole(before, replaced.entries, &keys.entries));
        self.rules.store(other.rules.load_full());
        self.cluster.store(other.cluster.load_full());
    }
}

impl Keys {
    fn of(entries: Vec<Box<[u8]>>) -> Self {
        let mut keys = Self { entries: entries.into_iter().collect(), ..Self::default() };
        let mut following = keys.entries.iter().skip(1);
        for entry in &keys.entries {
            let ((version_key, record), name) = (split(entry), name_of(entry));
            // The versions of a name are neighbours, and the newest is the last.
            if following.next().is_some_and(|next| name_of(next) == name) {
                continue;
            }
            keys.names += 1;
            if KeyRecord::is_waiting(record) {
                let name = String::from_utf8_lossy(&version_key[..name.len()]);
                keys.waiting.insert(name.into());
            }
        }
        keys
    }

    fn entry(&self, version_key: &[u8]) -> Option<&[u8]> {
        let start = (Bound::Included(version_key), Bound::Unbounded);
        self.entries.range::<[u8], _>(start).next().filter(|entry| entry.starts_with(version_key)).map(|entry| &**entry)
    }

    fn record(&self, version_key: &[u8]) -> Option<&[u8]> {
        self.entry(version_key).map(|entry| &entry[version_key.len()..])
    }

    /// The newest version's record.
    fn newest(&self, name: &str) -> Option<&[u8]> {
        // In a version key a zero byte follows the name, so the name and a one byte are above all of its versions. The
        // array saves an allocation on the path of every request.
        let mut end = [0; 96]; // a name has at most 80 bytes
        let bound = end.get_mut(..=name.len())?;
        bound[..name.len()].copy_from_slice(name.as_bytes());
        bound[name.len()] = 1;
        let entry = self.entries.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(&*bound))).next_back()?;
        let rest = entry.strip_prefix(name.as_bytes())?;
        (rest.first() == Some(&0)).then(|| rest.get(VERSION_SUFFIX_BYTES..)).flatten()
    }

    fn names_from(&self, start: &str, limit: usize, matches: impl Fn(&[u8]) -> bool) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let range = (Bound::Included(start.as_bytes()), Bound::Unbounded);
        for name in self.entries.range::<[u8], _>(range).map(|entry| name_of(entry)) {
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

    fn is_waiting(&self, name: &[u8]) -> bool {
        !self.waiting.is_empty() && std::str::from_utf8(name).is_ok_and(|name| self.waiting.contains(name))
    }

    fn put(&mut self, name: &str, version: u32, record: &[u8]) -> Option<Box<[u8]>> {
        let newest = self.newest(name).and_then(KeyRecord::peek);
        self.names += u64::from(newest.is_none());
        if newest.is_none_or(|(_, newest)| newest <= version) {
            self.note_waiting(name, KeyRecord::is_waiting(record));
        }
        let version_key = version_key(name, version);
        let replaced = self.take(&version_key);
        self.keep(&version_key, replaced.as_deref());
        self.entries.insert([&version_key, record].concat().into());
        replaced
    }

    fn remove(&mut self, name: &str) -> Vec<(Vec<u8>, Box<[u8]>)> {
        let mut removed = Vec::new();
        while let Some((_, version)) = self.newest(name).and_then(KeyRecord::peek) {
            let version_key = version_key(name, version);
            let Some(record) = self.take(&version_key) else { break };
            self.keep(&version_key, Some(&record));
            removed.push((version_key, record));
        }
        self.names -= u64::from(!removed.is_empty());
        self.waiting.remove(name);
        removed
    }

    fn note_waiting(&mut self, name: &str, waiting: bool) {
        if waiting {
            self.waiting.insert(name.into());
        } else if !self.waiting.is_empty() {
            self.waiting.remove(name);
        }
    }

    /// Takes an entry out and returns its record.
    fn take(&mut self, version_key: &[u8]) -> Option<Box<[u8]>> {
        let entry: Box<[u8]> = self.entry(version_key)?.into();
        self.entries.remove(&entry);
        Some(entry[version_key.len()..].into())
    }

    fn keep(&mut self, version_key: &[u8], record: Option<&[u8]>) {
        if let Some(before) = &mut self.before {
            before.entry(version_key.to_vec()).or_insert_with(|| record.map(Into::into));
        }
    }

    fn frozen_after(&self, after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Box<[u8]>)> {
        let Some(before) = &self.before else { return Vec::new() };
        let after_entry = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut now = self.entries.range::<[u8], _>((after_entry, Bound::Unbounded)).map(|e| split(e)).peekable();
        let mut then = before.range::<[u8], _>((after_entry, Bound::Unbounded)).peekable();
        let mut frozen = Vec::new();
        while now.next_if(|(key, _)| Some(*key) == after).is_some() {}
        while frozen.len() < limit {
            match (now.peek(), then.peek()) {
                (Some((key, record)), other) if other.is_none_or(|(then_key, _)| *key < then_key.as_slice()) => {
                    frozen.push((key.to_vec(), (*record).into()));
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
}

/// The old forms that a frozen view needs when all of its entries are replaced at once.
fn replaced_whole(mut before: Before, old: BTreeSet<Box<[u8]>>, new: &BTreeSet<Box<[u8]>>) -> Before {
    for (version_key, record) in old.iter().map(|entry| split(entry)) {
        before.entry(version_key.to_vec()).or_insert_with(|| Some(record.into()));
    }
    for (version_key, _) in new.iter().map(|entry| split(entry)) {
        before.entry(version_key.to_vec()).or_insert(None);
    }
    before
}

/// Splits an entry into its version key and its record.
pub(super) fn split(entry: &[u8]) -> (&[u8], &[u8]) {
    entry.split_at((name_of(entry).len() + VERSION_SUFFIX_BYTES).min(entry.len()))
}

/// The name at the front of an entry: the bytes before the first zero byte, which no name has.
fn name_of(entry: &[u8]) -> &[u8] {
    entry.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Cipher;
    use crate::policy::Author;

    fn record(id: u8, version: u32) -> Vec<u8> {
        let creation_id = CreationId([id; 16]);
        let (author, sealed) = (Author::default(), vec![0; 8]);
        let (cipher, last_used, delete_at) = (Cipher::Aes256, None, None);
        KeyRecord {
            creation_id,
            version,
            cipher,
            disabled: false,
            ring_version: 1,
            author,
            last_used,
            delete_at,
            sealed,
        }
        .encode()
    }

    fn name(text: &str) -> KeyName<'_> {
        KeyName::parse(text).unwrap()
    }

    #[test]
    fn a_key_that_waits_for_removal_is_neither_found_nor_listed_nor_counted() {
        let view = View::default();
        let waiting = KeyRecord { delete_at: Some(1), ..KeyRecord::decode(&record(1, 2)).unwrap() }.encode();
        for text in ["a", "b", "c"] {
            view.put(text, 1, &record(1, 1));
            view.put(text, 2, &record(1, 2));
        }
        view.put("b", 2, &waiting);
        let names = || view.names(Prefix::parse("").unwrap(), None, 10);
        assert_eq!((view.newest(name("b")), names(), view.key_count()), (None, vec!["a".into(), "c".into()], 2));
        assert_eq!((view.newest_record(name("b")), view.waiting()), (Some(waiting), vec!["b".to_owned()]));
        view.put("b", 2, &record(1, 2));
        assert_eq!((names().len(), view.key_count(), view.waiting().len()), (3, 3, 0));
    }

    #[test]
    fn the_newest_version_of_exactly_that_name_is_found() {
        let view = View::default();
        for (text, id) in [("a", 1), ("a-1", 2), ("ab", 3), ("b", 4)] {
            view.put(text, 1, &record(id, 1));
        }
        view.put("a", 300, &record(1, 300));
        assert_eq!(view.newest(name("a")), Some((CreationId([1; 16]), 300)));
        assert_eq!(view.newest(name("a-1")), Some((CreationId([2; 16]), 1)));
        assert_eq!(view.newest(name("c")), None);
        assert_eq!(view.record(name("a"), 1), Some(record(1, 1)));
        assert_eq!(view.record(name("a"), 2), None);
        assert_eq!(view.key_count(), 4);
        assert_eq!(view.remove("a").len(), 2);
        assert_eq!((view.newest(name("a")), view.key_count()), (None, 3));
    }

    #[test]
    fn listing_is_sorted_by_bytes_and_pages() {
        let view = View::default();
        for text in ["lst-b", "lst-a", "LST", "lst_", "lst-10", "x"] {
            view.put(text, 1, &record(1, 1));
            view.put(text, 2, &record(1, 2));
        }
        let list = |prefix, from, limit| view.names(Prefix::parse(prefix).unwrap(), from, limit);
        assert_eq!(list("lst", None, 10), ["lst-10", "lst-a", "lst-b", "lst_"]);
        assert_eq!(list("lst", Some("lst-a"), 2), ["lst-a", "lst-b"]);
        assert_eq!(list("lst", Some("A"), 1), ["lst-10"]);
        assert_eq!(list("", None, 2), ["LST", "lst-10"]);
        assert!(list("y", None, 10).is_empty());
    }

    #[test]
    fn a_view_filled_at_once_is_the_one_filled_key_by_key() {
        let (one_by_one, at_once) = (View::default(), View::default());
        let mut entries = Vec::new();
        for (text, id, versions) in [("b", 1, 3), ("a", 2, 1), ("a-1", 3, 300), ("ab", 4, 1)] {
            for version in 1..=versions {
                one_by_one.put(text, version, &record(id, version));
                entries.push([version_key(text, version), record(id, version)].concat().into());
            }
        }
        at_once.fill(entries);
        let (filled, put) = (at_once.keys.read(), one_by_one.keys.read());
        assert_eq!((&filled.entries, filled.names, &filled.waiting), (&put.entries, put.names, &put.waiting));
    }

    #[test]
    fn a_frozen_view_shows_its_old_entries_after_all_are_replaced() {
        let (view, other) = (View::default(), View::default());
        ["a", "b", "c"].iter().for_each(|name| drop(view.put(name, 1, &record(1, 1))));
        ["b", "d"].iter().for_each(|name| drop(other.put(name, 1, &record(2, 1))));
        view.freeze();
        view.remove("c");
        view.replace_with(other);
        let expected: Vec<_> = ["a", "b", "c"].map(|name| (version_key(name, 1), Box::from(record(1, 1)))).into();
        assert_eq!(view.frozen_after(None, 10), expected);
    }

    #[test]
    fn a_frozen_view_shows_its_old_entries_while_some_change() {
        let view = View::default();
        let names: Vec<String> = (0..50).map(|i| format!("key-{i:02}")).collect();
        names.iter().for_each(|name| drop(view.put(name, 1, &record(1, 1))));
        let expected: Vec<_> = names.iter().map(|name| (version_key(name, 1), Box::from(record(1, 1)))).collect();
        view.freeze();
        let mut frozen = view.frozen_after(None, 7);
        let mut step = 0u8;
        loop {
            step += 1;
            view.remove(&names[usize::from(step) * 3 % 50]);
            view.put(&names[usize::from(step) * 7 % 50], 1, &record(2, 1));
            view.put(&format!("key-{step:02}-new"), 1, &record(3, 1));
            let after = frozen.last().map(|(key, _): &(Vec<u8>, Box<[u8]>)| key.clone());
            let more = view.frozen_after(after.as_deref(), 7);
            if more.is_empty() {
                break;
            }
            frozen.extend(more);
        }
        assert_eq!(frozen, expected);
    }
}
