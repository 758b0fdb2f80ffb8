//! The view: the part of the applied state that requests read, in memory and in order. Its key records are sealed.

mod blocks;
mod keys;
mod short_records;

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::RwLock;

pub(super) use keys::Keys;
use keys::VersionRecord;

use crate::policy::{KeyName, Prefix, Rules};
use crate::state::{ClusterState, CreationId};

/// The applied state as requests read it. The state machine alone changes it, in the order of the log.
#[derive(Default)]
pub struct View {
    keys: RwLock<Keys>,
    rules: ArcSwap<Rules>,
    cluster: ArcSwapOption<ClusterState>,
}

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
        keys.newest(name.as_str()).filter(|record| !record.is_waiting()).and_then(|record| record.creation())
    }

    /// The encoded record of the newest version of a name, also while its key waits for removal.
    pub fn newest_record(&self, name: KeyName<'_>) -> Option<Vec<u8>> {
        self.keys.read().newest(name.as_str()).map(|record| record.whole())
    }

    /// Whether a version of a name exists and is disabled.
    pub fn is_disabled(&self, name: KeyName<'_>, version: u32) -> bool {
        self.keys.read().record(name.as_str(), version).is_some_and(|record| record.is_disabled())
    }

    /// Names that are deleted and wait for their removal, in order.
    pub fn waiting(&self) -> Vec<String> {
        self.keys.read().waiting().map(ToString::to_string).collect()
    }

    /// The encoded record of one version.
    pub fn record(&self, name: KeyName<'_>, version: u32) -> Option<Vec<u8>> {
        self.keys.read().record(name.as_str(), version).map(|record| record.whole())
    }

    /// At most `limit` names that begin with `prefix`, in order, starting with `from`.
    pub fn names(&self, prefix: Prefix<'_>, from: Option<&str>, limit: usize) -> Vec<String> {
        let prefix = prefix.as_str();
        let start = from.unwrap_or("").max(prefix);
        self.keys.read().names_from(start, limit, |name| name.starts_with(prefix.as_bytes()))
    }

    /// The number of keys, without those that wait for their removal.
    pub fn key_count(&self) -> u64 {
        self.keys.read().count()
    }

    pub(super) fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    pub(super) fn set_cluster(&self, cluster: ClusterState) {
        self.cluster.store(Some(Arc::new(cluster)));
    }

    /// Puts the record of a version and returns the one that it replaces.
    pub(super) fn put(&self, name: &str, version: u32, record: &[u8]) -> Option<Vec<u8>> {
        self.keys.write().put(name, version, record)
    }

    /// Replaces all key versions by these.
    pub(super) fn set_keys(&self, keys: Keys) {
        *self.keys.write() = keys;
    }

    /// Removes every version of a name and returns them: version key and record.
    pub(super) fn remove(&self, name: &str) -> Vec<VersionRecord> {
        self.keys.write().remove(name)
    }

    /// From now on keeps the old form of what changes, for [`View::frozen_after`]. One snapshot is built at a time.
    pub(super) fn freeze(&self) {
        self.keys.write().freeze();
    }

    /// Stops keeping the old form of what changes.
    pub(super) fn thaw(&self) {
        self.keys.write().thaw();
    }

    /// Up to `limit` entries after `after` as they were when the view was frozen: version key and record.
    pub(super) fn frozen_after(&self, after: Option<&[u8]>, limit: usize) -> Vec<VersionRecord> {
        self.keys.read().frozen_after(after, limit)
    }

    /// Replaces everything by the content of another view, at once.
    pub(super) fn replace_with(&self, other: Self) {
        let mut keys = self.keys.write();
        keys.replace_with(other.keys.into_inner());
        self.rules.store(other.rules.load_full());
        self.cluster.store(other.cluster.load_full());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Cipher;
    use crate::policy::Author;
    use crate::state::KeyRecord;
    use crate::store::entries::version_key;

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
        let mut keys = Keys::default();
        for (text, id, versions) in [("a", 2, 1), ("a-1", 3, 300), ("ab", 4, 1), ("b", 1, 3)] {
            for version in 1..=versions {
                let record = KeyRecord::decode(&record(id, version)).unwrap();
                let delete_at = (id == 1 && version == 3).then_some(7);
                let record = KeyRecord { delete_at, ..record }.encode();
                one_by_one.put(text, version, &record);
                keys.push(&version_key(text, version), &record);
            }
        }
        at_once.set_keys(keys);
        let (filled, put) = (at_once.keys.read(), one_by_one.keys.read());
        let all = |keys: &Keys| keys.entries().map(|entry| keys.version_record(entry)).collect::<Vec<_>>();
        assert_eq!(all(&filled), all(&put));
        assert_eq!((filled.count(), put.count()), (3, 3));
        assert!(filled.waiting().eq(["b"]) && put.waiting().eq(["b"]));
    }

    #[test]
    fn a_frozen_view_shows_its_old_entries_after_all_are_replaced() {
        let (view, other) = (View::default(), View::default());
        ["a", "b", "c"].iter().for_each(|name| drop(view.put(name, 1, &record(1, 1))));
        ["b", "d"].iter().for_each(|name| drop(other.put(name, 1, &record(2, 1))));
        view.freeze();
        view.remove("c");
        view.replace_with(other);
        let expected: Vec<_> = ["a", "b", "c"].map(|name| (version_key(name, 1), record(1, 1))).into();
        assert_eq!(view.frozen_after(None, 10), expected);
    }

    #[test]
    fn a_frozen_view_shows_its_old_entries_while_some_change() {
        let view = View::default();
        let names: Vec<String> = (0..50).map(|i| format!("key-{i:02}")).collect();
        names.iter().for_each(|name| drop(view.put(name, 1, &record(1, 1))));
        let expected: Vec<_> = names.iter().map(|name| (version_key(name, 1), record(1, 1))).collect();
        view.freeze();
        let mut frozen = view.frozen_after(None, 7);
        let mut step = 0u8;
        loop {
            step += 1;
            view.remove(&names[usize::from(step) * 3 % 50]);
            view.put(&names[usize::from(step) * 7 % 50], 1, &record(2, 1));
            view.put(&format!("key-{step:02}-new"), 1, &record(3, 1));
            let after = frozen.last().map(|(key, _): &VersionRecord| key.clone());
            let more = view.frozen_after(after.as_deref(), 7);
            if more.is_empty() {
                break;
            }
            frozen.extend(more);
        }
        assert_eq!(frozen, expected);
    }
}
