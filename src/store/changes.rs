//! Applying committed entries to the keystore: in the view, in the digest, and staged for sled.

use std::io;

use bytes::Bytes;
use prost::Message;

use super::entries::{self, APPLIED, ASSIGNMENT, CLUSTER, KEY, MEMBERSHIP, MEMORY, POLICY};
use super::{Keystore, LogId, View};
use crate::policy::{KeyName, Rules};
use crate::state::{Change, Command, Current, KeyRecord, Outcome, Remembered, apply, encode_assignment, encode_policy};

/// A digest is kept at every index that is a multiple of this, to compare nodes by.
const MARK_EVERY: u64 = 1024;
const MARKS_KEPT: usize = 64;

impl Keystore {
    /// Applies a command at `index`. It is seen by readers at once.
    pub fn apply(&mut self, index: u64, command: &Command) -> Outcome {
        let (cluster, rules) = (self.view.cluster(), self.view.rules());
        let current = Current {
            cluster: cluster.as_deref(),
            rules: &rules,
            record: &|name, version| record(&self.view, name, version),
            memory: &self.memory,
        };
        let seen_before = self.memory.outcome_of(command.request_id).is_some();
        let (outcome, changes) = apply(command, current);
        for change in changes {
            if change.revokes() {
                self.last_revocation = index;
            }
            self.change(change);
        }
        if let Some(rules) = self.changed_rules.take() {
            self.view.set_rules(rules);
        }
        if !seen_before {
            self.remember(Remembered { request_id: command.request_id, index, outcome });
        }
        outcome
    }

    /// Notes the membership of an entry; `raft` encodes it.
    pub fn set_membership(&mut self, membership: Bytes) {
        self.writes.insert(MEMBERSHIP.to_vec(), Some(membership.to_vec()));
        self.membership = membership;
    }

    /// Notes that the entry `id` is applied.
    pub fn advance(&mut self, id: LogId) {
        self.applied.last = Some(id);
        if id.index.is_multiple_of(MARK_EVERY) {
            self.marks.push_back((id.index, self.applied.digest));
            self.marks.drain(..self.marks.len().saturating_sub(MARKS_KEPT));
            self.shown_marks = self.marks.iter().copied().collect();
        }
    }

    /// Whether the next [`Keystore::commit`] may have to wait for the disk: what is staged has outrun the checkpoints.
    pub fn may_wait(&self) -> bool {
        self.staging.is_nearly_full()
    }

    /// Stages what was applied since the last time, and how far it goes, as part of one transaction. The log holds it
    /// durably, so sled may learn of it later: it is written when a checkpoint is due, or enough has gathered.
    ///
    /// # Errors
    /// The disk failed; the node must stop.
    pub fn commit(&mut self) -> io::Result<()> {
        for page in std::mem::take(&mut self.pages) {
            self.write_page(page);
        }
        self.applied.memory_first = self.memory.first();
        self.applied.memory_forgotten_index = self.memory.forgotten_index();
        self.writes.insert(APPLIED.to_vec(), Some(self.applied.to_wire().encode_to_vec()));
        self.staging.add(std::mem::take(&mut self.writes))?;
        self.publish();
        Ok(())
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::SetCluster(cluster) => {
                let old = self.view.cluster().map(|old| old.encode());
                self.put(CLUSTER.to_vec(), old.as_deref(), &cluster.encode());
                self.view.set_cluster(cluster);
            }
            Change::PutPolicy(name, entry) => {
                let (key, value) = (entries::key(POLICY, name.as_str().as_bytes()), encode_policy(&name, &entry));
                let old = self.change_rules(|rules| rules.policies.insert(name.clone(), entry.into()));
                self.put(key, old.map(|old| encode_policy(&name, &old)).as_deref(), &value);
            }
            Change::RemovePolicy(name) => {
                if let Some(old) = self.change_rules(|rules| rules.policies.remove(&name)) {
                    self.remove(entries::key(POLICY, name.as_str().as_bytes()), &encode_policy(&name, &old));
                }
            }
            Change::PutAssignment(identity, assignment) => {
                let value = encode_assignment(identity, &assignment);
                let old = self.change_rules(|rules| rules.identities.insert(identity, assignment));
                let old = old.map(|old| encode_assignment(identity, &old));
                self.put(entries::key(ASSIGNMENT, identity.as_bytes()), old.as_deref(), &value);
            }
            Change::RemoveAssignment(identity) => {
                if let Some(old) = self.change_rules(|rules| rules.identities.remove(&identity)) {
                    let key = entries::key(ASSIGNMENT, identity.as_bytes());
                    self.remove(key, &encode_assignment(identity, &old));
                }
            }
            Change::PutKey { name, version, record, .. } => {
                let old = self.view.put(&name, version, &record);
                self.put(entries::key(KEY, &entries::version_key(&name, version)), old.as_deref(), &record);
            }
            Change::RemoveKey { name } => {
                for (version_key, record) in self.view.remove(&name) {
                    self.remove(entries::key(KEY, &version_key), &record);
                }
            }
        }
    }

    /// Readers see the rules before or after the whole command.
    fn change_rules<T>(&mut self, change: impl FnOnce(&mut Rules) -> T) -> T {
        change(self.changed_rules.get_or_insert_with(|| Rules::clone(&self.view.rules())))
    }

    fn put(&mut self, key: Vec<u8>, old: Option<&[u8]>, value: &[u8]) {
        self.count_out(&key, old);
        self.applied.digest.add(&key, value);
        self.applied.entries += 1;
        self.writes.insert(key, Some(value.to_vec()));
    }

    fn remove(&mut self, key: Vec<u8>, old: &[u8]) {
        self.count_out(&key, Some(old));
        self.writes.insert(key, None);
    }

    fn count_out(&mut self, key: &[u8], old: Option<&[u8]>) {
        if let Some(old) = old {
            self.applied.digest.remove(key, old);
            self.applied.entries -= 1;
        }
    }

    fn remember(&mut self, command: Remembered) {
        self.pages.insert(entries::page_of(self.memory.next()));
        let (key, value) = entries::outcome_entry(&command);
        self.applied.digest.add(&key, &value);
        self.applied.entries += 1;
        if let Some(forgotten) = self.memory.remember(command) {
            let (key, value) = entries::outcome_entry(&forgotten);
            self.count_out(&key, Some(&value));
            let oldest_page = entries::page_of(self.memory.first() - 1);
            if oldest_page != entries::page_of(self.memory.first()) {
                self.pages.insert(oldest_page);
            }
        }
    }

    /// Writes a page of remembered commands, or removes it when they are all forgotten.
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

fn record(view: &View, name: &str, version: Option<u32>) -> Option<KeyRecord> {
    let name = KeyName::parse(name).ok()?;
    let encoded = match version {
        Some(version) => view.record(name, version),
        None => view.newest_record(name),
    }?;
    Some(KeyRecord::decode(&encoded).expect("a record is decoded before it is applied"))
}
