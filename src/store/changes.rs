//! Applying the changes of committed entries: to the view, to the digest, and to what sled gets next.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::entries::{self, CLUSTER, KEY, MEMBERSHIP, MEMORY};
use super::position::KeystorePosition;
use super::{Keystore, LogId};
use crate::policy::Rules;
use crate::state::{Change, Remembered};

/// Copying this many policies and identities takes about a millisecond.
const MANY_RULES: usize = 4096;

impl Keystore {
    /// Makes the changes of the command at `index`. Requests see them at once. They see the rules as they were before
    /// the command, or after all of it.
    pub fn change(&mut self, index: u64, changes: Vec<Change>) {
        // A command may change many rules: they are copied once, and only for a command that changes one.
        let mut rules = None;
        for change in changes {
            if change.revokes() {
                self.last_revocation = index;
            }
            self.change_one(change, &mut rules);
        }
        if let Some(rules) = rules {
            self.view.set_rules(rules);
        }
    }

    /// Whether these changes copy so many rules that others would notice the pause.
    pub fn copies_many_rules(&self, changes: &[Change]) -> bool {
        let of_rules = |change: &Change| match change {
            Change::PutPolicy(..)
            | Change::RemovePolicy(_)
            | Change::PutAssignment(..)
            | Change::RemoveAssignment(_) => true,
            Change::SetCluster(_) | Change::PutKey { .. } | Change::RemoveKey { .. } => false,
        };
        let rules = self.view.rules();
        rules.policies.len() + rules.identities.len() > MANY_RULES && changes.iter().any(of_rules)
    }

    /// Counts a command whose body cannot be read, or is invalid.
    pub fn count_malformed(&mut self) {
        self.malformed += 1;
    }

    /// Remembers the outcome of a command, unless it is remembered already: then the command had arrived before.
    pub fn remember(&mut self, command: Remembered) {
        if self.memory.outcome_of(command.request_id).is_some() {
            return;
        }
        self.changed_pages.insert(entries::page_of(self.memory.next()));
        let (key, value) = entries::outcome_entry(&command);
        self.count_in(&key, &value);
        if let Some(forgotten) = self.memory.remember(command) {
            let (key, value) = entries::outcome_entry(&forgotten);
            self.count_out(&key, &value);
            let oldest_page = entries::page_of(self.memory.first() - 1);
            if oldest_page != entries::page_of(self.memory.first()) {
                self.changed_pages.insert(oldest_page);
            }
        }
    }

    /// Notes the membership that an entry brings, as `raft` encodes it.
    pub fn set_membership(&mut self, membership: Bytes) {
        self.writes.insert(MEMBERSHIP.to_vec(), Some(membership.to_vec()));
        self.membership_hash = Sha256::digest(&membership).into();
        self.membership = membership;
    }

    /// Notes that this node has applied the entry `id`.
    pub fn advance(&mut self, id: LogId) {
        self.applied.last = Some(id);
        self.note_digest();
    }

    /// Whether the next [`Keystore::commit`] may have to wait for the disk, because checkpoints fell behind.
    pub fn may_wait(&self) -> bool {
        self.staging.is_nearly_full()
    }

    /// Stages what was applied since the last call, with its position, as part of one transaction. Sled gets it when a
    /// checkpoint is due or enough has gathered. That is soon enough, because the log already holds it durably.
    pub fn commit(&mut self) {
        for page in std::mem::take(&mut self.changed_pages) {
            self.write_page(page);
        }
        self.applied.memory_first = self.memory.first();
        self.applied.memory_forgotten_index = self.memory.forgotten_index();
        let position = KeystorePosition { applied: self.applied.clone(), membership_hash: self.membership_hash };
        self.staging.add(std::mem::take(&mut self.writes), position, self.new_level.take());
        self.publish();
    }

    fn change_one(&mut self, change: Change, rules: &mut Option<Rules>) {
        match change {
            Change::SetCluster(cluster) => {
                if self.view.level() != Some(cluster.value.level) {
                    self.new_level = Some(cluster.value.level);
                }
                self.put_small(CLUSTER.to_vec(), cluster.bytes);
                self.view.set_cluster(cluster.value);
            }
            Change::PutPolicy(name, entry) => {
                self.put_small(entries::policy_key(&name), entry.bytes);
                self.rules_copy(rules).policies.insert(name, entry.value.into());
            }
            Change::RemovePolicy(name) => {
                self.remove_small(entries::policy_key(&name));
                self.rules_copy(rules).policies.remove(&name);
            }
            Change::PutAssignment(identity, assignment) => {
                self.put_small(entries::assignment_key(identity), assignment.bytes);
                self.rules_copy(rules).identities.insert(identity, assignment.value);
            }
            Change::RemoveAssignment(identity) => {
                self.remove_small(entries::assignment_key(identity));
                self.rules_copy(rules).identities.remove(&identity);
            }
            Change::PutKey { name, version, record, .. } => {
                let old = self.view.put(&name, version, &record);
                self.ring_versions.add(&record);
                if let Some(old) = &old {
                    self.ring_versions.remove(old);
                }
                self.put(entries::key(KEY, &entries::version_key(&name, version)), old.as_deref(), &record);
            }
            Change::RemoveKey { name } => {
                for (version_key, record) in self.view.remove(&name) {
                    self.ring_versions.remove(&record);
                    self.remove(entries::key(KEY, &version_key), &record);
                }
            }
        }
    }

    fn rules_copy<'a>(&self, rules: &'a mut Option<Rules>) -> &'a mut Rules {
        rules.get_or_insert_with(|| Rules::clone(&self.view.rules()))
    }

    /// Puts a value that is not the record of a key. Its bytes stay as they are.
    fn put_small(&mut self, key: Vec<u8>, bytes: Bytes) {
        let old = self.small.insert(key.clone(), bytes.clone());
        self.put(key, old.as_deref(), &bytes);
    }

    fn remove_small(&mut self, key: Vec<u8>) {
        if let Some(old) = self.small.remove(&key) {
            self.remove(key, &old);
        }
    }

    fn put(&mut self, key: Vec<u8>, old: Option<&[u8]>, value: &[u8]) {
        if let Some(old) = old {
            self.count_out(&key, old);
        }
        self.count_in(&key, value);
        self.writes.insert(key, Some(value.to_vec()));
    }

    fn remove(&mut self, key: Vec<u8>, old: &[u8]) {
        self.count_out(&key, old);
        self.writes.insert(key, None);
    }

    fn count_in(&mut self, key: &[u8], value: &[u8]) {
        self.applied.digest.add(&self.digest_key, key, value);
        self.applied.entries += 1;
    }

    fn count_out(&mut self, key: &[u8], value: &[u8]) {
        self.applied.digest.remove(&self.digest_key, key, value);
        self.applied.entries -= 1;
    }

    /// Stages a page of remembered commands, or its removal if all of them are forgotten.
    fn write_page(&mut self, page: u64) {
        let key = entries::key(MEMORY, &page.to_be_bytes());
        let numbers = entries::numbers_of(page);
        if numbers.end <= self.memory.first() {
            self.writes.insert(key, None);
        } else {
            let first = numbers.start.max(self.memory.first());
            self.writes.insert(key, Some(entries::encode_page(first, self.memory.numbered(numbers))));
        }
    }
}
