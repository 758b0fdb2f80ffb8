//! The keystore: what was applied, derived from the log, in sled; and the view of it that is read.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tokio::sync::watch;

use super::entries::{self, APPLIED, ASSIGNMENT, CLUSTER, KEY, MEMBERSHIP, MEMORY, OWNER, POLICY};
use super::folder::{Folders, OpenFolder};
use super::image::{Applied, Damage, Image, ImageBuilder};
use super::owner::Owner;
use super::snapshot::{Snapshot, read_entries};
use super::staging::{Staging, Writes, collect_garbage};
use super::{LogId, View, wire};
use crate::policy::{KeyName, Rules};
use crate::state::{
    Change, Command, Current, Digest, KeyRecord, Memory, Outcome, Remembered, apply, encode_assignment, encode_policy,
};

/// A digest is kept at every index that is a multiple of this, to compare nodes by.
const MARK_EVERY: u64 = 1024;
const MARKS_KEPT: usize = 64;

/// What one node has applied. It has one owner, who feeds it committed entries in order.
pub struct Keystore {
    folders: Folders,
    staging: Arc<Staging>,
    owner: Owner,
    pub(super) view: Arc<View>,
    pub(super) memory: Memory,
    pub(super) applied: Applied,
    pub(super) membership: Bytes,
    progress: watch::Sender<Progress>,
    last_revocation: u64,
    marks: VecDeque<(u64, Digest)>,
    /// The same, for those who watch the progress: it seldom changes, and is told with every batch.
    shown_marks: Arc<[(u64, Digest)]>,
    writes: Writes,
    pages: BTreeSet<u64>,
    /// The rules while a command changes them: however much it changes, they are copied once.
    changed_rules: Option<Rules>,
}

/// How far a keystore is, for those who wait for it or watch it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last entry applied and written.
    pub applied: Option<LogId>,
    /// The digest there.
    pub digest: Digest,
    /// The index of the last revocation (a deletion, a changed policy or identity); 0 when there was none.
    pub last_revocation: u64,
    /// The newest digests at multiples of 1,024: index and digest.
    pub marks: Arc<[(u64, Digest)]>,
}

impl Progress {
    /// The index of the last entry applied; 0 before the first.
    pub fn index(&self) -> u64 {
        self.applied.map_or(0, |applied| applied.index)
    }

    /// Whether everything up to `index` is applied.
    pub fn reached(&self, index: u64) -> bool {
        self.applied.is_some_and(|applied| applied.index >= index)
    }
}

/// Writes what a keystore has applied, and makes it durable, from a thread of its own.
#[derive(Clone)]
pub struct Checkpoint {
    staging: Arc<Staging>,
    folders: Folders,
}

impl Keystore {
    /// Opens the keystore in use under `folders`; none when there is none.
    pub(super) fn open(folders: Folders) -> Result<Option<Self>, Damage> {
        let Some(folder) = folders.open_current()? else { return Ok(None) };
        let scanned = catch_unwind(AssertUnwindSafe(|| scan(&folder.db)));
        let (owner, image) = scanned.unwrap_or_else(|_| Err(unreadable(&"reading it panicked")))?;
        let durable = folder.durable().map_err(|e| unreadable(&e))?;
        durable.map_or(Ok(()), |durable| image.applied.reaches(&durable))?;
        folders.opened().map_err(|e| unreadable(&e))?;
        Ok(Some(Self::assemble(folders, folder, owner, image)))
    }

    /// Makes an empty keystore and puts it in use.
    pub(super) fn create(folders: Folders, owner: Owner) -> io::Result<Self> {
        let folder = folders.create()?;
        folder.db.insert(OWNER, owner.encode()).map_err(io::Error::other)?;
        folder.db.insert(APPLIED, Applied::default().to_wire().encode_to_vec()).map_err(io::Error::other)?;
        folder.sync()?;
        folders.switch_to(&folder)?;
        let image = ImageBuilder::default().finish(Applied::default(), Bytes::new()).map_err(io::Error::other)?;
        Ok(Self::assemble(folders, folder, owner, image))
    }

    /// Makes a keystore of what a snapshot holds and puts it in use.
    pub(super) fn create_from(folders: Folders, owner: Owner, snapshot: &Snapshot) -> Result<Self, Damage> {
        let (folder, image) = fill(&folders, owner, snapshot)?;
        folders.switch_to(&folder).map_err(|e| unreadable(&e))?;
        Ok(Self::assemble(folders, folder, owner, image))
    }

    /// Replaces everything by what a snapshot holds. Readers see the old state or the new one, never half of it.
    ///
    /// # Errors
    /// The snapshot is damaged, or the disk failed; nothing has changed.
    pub fn install(&mut self, snapshot: &Snapshot) -> Result<(), Damage> {
        let (folder, image) = fill(&self.folders, self.owner, snapshot)?;
        self.staging.replace(folder, |folder| self.folders.switch_to(folder)).map_err(|e| unreadable(&e))?;
        self.view.replace_with(image.view);
        (self.memory, self.applied, self.membership) = (image.memory, image.applied, image.membership);
        self.last_revocation = self.applied.index();
        (self.writes, self.marks, self.shown_marks) = (Writes::new(), VecDeque::new(), Arc::default());
        self.pages.clear();
        self.publish();
        Ok(())
    }

    fn assemble(folders: Folders, folder: OpenFolder, owner: Owner, image: Image) -> Self {
        let keystore = Self {
            folders,
            staging: Arc::new(Staging::new(folder)),
            owner,
            view: Arc::new(image.view),
            memory: image.memory,
            membership: image.membership,
            progress: watch::Sender::default(),
            // What was revoked before this node started is not known one by one; all of it was by here.
            last_revocation: image.applied.index(),
            applied: image.applied,
            marks: VecDeque::new(),
            shown_marks: Arc::default(),
            writes: Writes::new(),
            pages: BTreeSet::new(),
            changed_rules: None,
        };
        keystore.publish();
        keystore
    }

    /// What requests read.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The last entry applied.
    pub fn last_applied(&self) -> Option<LogId> {
        self.applied.last
    }

    /// The membership as of the last entry applied, as `raft` encodes it; empty before the first.
    pub fn membership(&self) -> &Bytes {
        &self.membership
    }

    /// Whose keystore this is.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// What came of a command, if it is remembered.
    pub fn outcome_of(&self, id: crate::state::RequestId) -> Option<Outcome> {
        self.memory.outcome_of(id)
    }

    /// How far the keystore is, now and from now on.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Makes what is written durable when asked to.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { staging: Arc::clone(&self.staging), folders: self.folders.clone() }
    }

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

    fn publish(&self) {
        self.progress.send_replace(Progress {
            applied: self.applied.last,
            digest: self.applied.digest,
            last_revocation: self.last_revocation,
            marks: Arc::clone(&self.shown_marks),
        });
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

impl Checkpoint {
    /// Writes everything applied so far.
    ///
    /// # Errors
    /// The disk failed; the node must stop.
    pub fn write(&self) -> io::Result<()> {
        self.staging.write()
    }

    /// Writes everything applied so far and makes it durable.
    ///
    /// # Errors
    /// The disk failed; the node must stop.
    pub fn run(&self) -> io::Result<()> {
        self.staging.sync()
    }

    /// Marks the keystore as damaged: the next opening makes it anew.
    ///
    /// # Errors
    /// The disk failed.
    pub fn distrust(&self) -> io::Result<()> {
        self.folders.distrust()
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

fn scan(db: &sled::Db) -> Result<(Owner, Image), Damage> {
    let mut builder = ImageBuilder::default();
    let (mut owner, mut applied, mut membership) = (None, None, Bytes::new());
    for entry in db.iter() {
        let (key, value) = entry.map_err(|e| unreadable(&e))?;
        match &*key {
            OWNER => owner = Owner::decode(&value),
            APPLIED => applied = Some(wire::Applied::decode(value.as_ref()).map_err(|e| unreadable(&e))?),
            MEMBERSHIP => membership = Bytes::copy_from_slice(&value),
            key => builder.add(key, &value)?,
        }
    }
    collect_garbage(FILL_BATCH);
    let owner = owner.ok_or_else(|| unreadable(&"it does not say whose it is"))?;
    let applied = applied.ok_or_else(|| unreadable(&"it does not say how far it goes"))?;
    Ok((owner, builder.finish(Applied::from_wire(applied)?, membership)?))
}

/// Entries written to sled at a time while a folder is filled.
const FILL_BATCH: usize = 1024;

/// Fills a new folder, and an image, from a snapshot.
fn fill(folders: &Folders, owner: Owner, snapshot: &Snapshot) -> Result<(OpenFolder, Image), Damage> {
    let folder = folders.create().map_err(|e| unreadable(&e))?;
    let mut builder = ImageBuilder::default();
    let (mut batch, mut waiting) = (sled::Batch::default(), 0);
    let header = read_entries(&snapshot.path, |key, value| {
        builder.add(key, value)?;
        batch.insert(key, value);
        waiting += 1;
        if waiting == FILL_BATCH {
            waiting = 0;
            folder.db.apply_batch(std::mem::take(&mut batch)).map_err(|e| unreadable(&e))?;
            collect_garbage(FILL_BATCH);
        }
        Ok(())
    })?;
    batch.insert(OWNER, owner.encode());
    batch.insert(APPLIED, header.applied.to_wire().encode_to_vec());
    batch.insert(MEMBERSHIP, &header.membership[..]);
    folder.db.apply_batch(batch).map_err(|e| unreadable(&e))?;
    folder.sync().map_err(|e| unreadable(&e))?;
    Ok((folder, builder.finish(header.applied, header.membership)?))
}

fn unreadable(error: &dyn std::fmt::Display) -> Damage {
    Damage::Unreadable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Cipher;
    use crate::policy::{Actor, Author};
    use crate::state::{Cluster, ClusterId, CreationId, Init, KeySeen, Operation, RequestId};
    use crate::store::{Found, OpenError, Snapshots, Store, StoreId};

    fn id(index: u64) -> LogId {
        LogId { term: 1, node: 1, index }
    }

    fn command(number: u64, operation: Operation) -> Command {
        let mut request_id = [0; 16];
        request_id[..8].copy_from_slice(&number.to_be_bytes());
        Command {
            request_id: RequestId(request_id),
            seen_index: 0,
            time_ns: 0,
            actor: match &operation {
                Operation::Init(_) | Operation::CreateKey { .. } => Actor::Node,
                _ => Actor::Client { identity: crate::policy::Identity::from_bytes([1; 32]), file_admin: true },
            },
            path: match &operation {
                Operation::CreateKey { name, .. } => format!("/v1/key/create/{name}"),
                Operation::DeleteKey { key, .. } => format!("/v1/key/delete/{}", key.name),
                _ => String::new(),
            },
            file_names_admin: true,
            operation,
        }
    }

    fn init() -> Operation {
        let cluster = Cluster {
            id: ClusterId([1; 16]),
            level: 1,
            ring: Vec::new(),
            active_ring_version: 1,
            time_ns: 0,
            created_at: None,
        };
        Operation::Init(Box::new(Init { cluster, policies: Vec::new(), assignments: Vec::new() }))
    }

    fn create(name: &str, creation: u64) -> Operation {
        let mut creation_id = [0; 16];
        creation_id[..8].copy_from_slice(&creation.to_be_bytes());
        let record = KeyRecord {
            creation_id: CreationId(creation_id),
            version: 1,
            cipher: Cipher::Aes256,
            disabled: false,
            ring_version: 1,
            author: Author::default(),
            last_used: None,
            delete_at: None,
            sealed: vec![7; 108],
        };
        Operation::CreateKey { name: name.to_owned(), record: record.encode().into() }
    }

    fn delete(name: &str, keystore: &Keystore) -> Operation {
        let (creation_id, _) = keystore.view.newest(KeyName::parse(name).unwrap()).unwrap();
        Operation::DeleteKey { key: KeySeen { name: name.to_owned(), creation_id }, window_ns: 0 }
    }

    fn feed(keystore: &mut Keystore, index: u64, operation: Operation) -> Outcome {
        let outcome = keystore.apply(index, &command(index, operation));
        keystore.advance(id(index));
        outcome
    }

    fn open(dir: &std::path::Path) -> Store {
        Store::open(dir, || Owner { store_id: StoreId([5; 16]), node_id: 1 }).unwrap()
    }

    fn whole(found: Found) -> Keystore {
        match found {
            Found::Whole(keystore) => keystore,
            Found::Rebuilt { damage, .. } | Found::NeedsPeer { damage } => panic!("not whole: {damage}"),
        }
    }

    /// A keystore with keys made, deleted and made again, over several batches.
    fn filled(store: Store, last: u64) -> (Log, Snapshots, Keystore) {
        let mut keystore = whole(store.keystore);
        assert_eq!(feed(&mut keystore, 1, init()), Outcome::Done);
        for index in 2..=last {
            let name = format!("key-{}", index % 50);
            let known = keystore.view.newest(KeyName::parse(&name).unwrap()).is_some();
            let operation = if known { delete(&name, &keystore) } else { create(&name, index) };
            assert_eq!(feed(&mut keystore, index, operation), Outcome::Done);
            if index % 7 == 0 {
                keystore.commit().unwrap();
            }
        }
        keystore.commit().unwrap();
        (store.log, store.snapshots, keystore)
    }

    use crate::store::Log;

    fn names(keystore: &Keystore) -> Vec<String> {
        keystore.view.names(crate::policy::Prefix::parse("").unwrap(), None, 1000)
    }

    #[test]
    fn what_was_applied_is_there_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _, keystore) = filled(open(dir.path()), 300);
        let (applied, expected) = (keystore.applied.clone(), names(&keystore));
        keystore.checkpoint().run().unwrap();
        drop(keystore);
        log.close();
        let again = whole(open(dir.path()).keystore);
        assert_eq!((again.applied.clone(), names(&again)), (applied, expected));
        assert!(again.folders.open_current().is_err() || !dir.path().join("keystore/OPENING").exists());
    }

    #[test]
    fn a_keystore_that_lost_what_was_durable_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _, keystore) = filled(open(dir.path()), 30);
        keystore.checkpoint().run().unwrap();
        let durable = keystore.staging.folder().path.join("DURABLE");
        drop(keystore);
        log.close();
        let further = Applied { last: Some(id(31)), ..Applied::default() };
        std::fs::write(durable, further.to_wire().encode_to_vec()).unwrap();
        let Found::Rebuilt { damage, .. } = open(dir.path()).keystore else { panic!("it is not whole") };
        assert!(matches!(damage, Damage::Disagreement { what: "applied index", .. }), "{damage}");
    }

    #[test]
    fn on_a_disk_that_takes_nothing_no_keystore_and_no_snapshot_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let (log, snapshots, keystore) = filled(open(dir.path()), 30);
        let snapshot = keystore.begin_snapshot().run(&snapshots).unwrap();
        keystore.checkpoint().run().unwrap();
        let folder = keystore.staging.folder().path.clone();
        drop(keystore);
        log.close();
        // The keystore looks damaged, and what is written to see whether there is room cannot be written.
        std::fs::write(folder.join("DURABLE"), b"?").unwrap();
        let blocked = dir.path().join("keystore/ROOM");
        std::fs::create_dir(&blocked).unwrap();
        let opened = Store::open(dir.path(), || Owner { store_id: StoreId([5; 16]), node_id: 1 });
        assert!(matches!(opened, Err(OpenError::Io(_))));
        assert!(folder.is_dir() && !dir.path().join("keystore/damaged").exists());
        assert_eq!(snapshots.newest().unwrap().unwrap(), snapshot);
        std::fs::remove_dir(&blocked).unwrap();
        assert!(matches!(open(dir.path()).keystore, Found::Rebuilt { .. }));
        assert!(!blocked.exists());
    }

    #[test]
    fn a_command_sent_twice_takes_effect_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut keystore = whole(open(dir.path()).keystore);
        feed(&mut keystore, 1, init());
        let first = command(100, create("a", 1));
        assert_eq!(keystore.apply(2, &first), Outcome::Done);
        let operation = delete("a", &keystore);
        assert_eq!(feed(&mut keystore, 3, operation.clone()), Outcome::Done);
        assert_eq!(keystore.apply(4, &first), Outcome::Done);
        assert_eq!(names(&keystore), Vec::<String>::new());
        feed(&mut keystore, 5, create("a", 2));
        assert_eq!(keystore.apply(6, &command(3, operation.clone())), Outcome::Done);
        assert_eq!(feed(&mut keystore, 7, operation), Outcome::KeyNotFound);
        assert_eq!(names(&keystore), ["a"]);
    }

    #[test]
    fn a_snapshot_taken_while_applying_holds_the_state_at_its_position() {
        let dir = tempfile::tempdir().unwrap();
        let (_log, snapshots, mut keystore) = filled(open(dir.path()), 500);
        let (applied, expected) = (keystore.applied.clone(), names(&keystore));
        let build = keystore.begin_snapshot();
        for index in 501..=600 {
            feed(&mut keystore, index, create(&format!("later-{index}"), index));
        }
        for name in &expected {
            let operation = delete(name, &keystore);
            let index = keystore.applied.last.unwrap().index + 1;
            feed(&mut keystore, index, operation);
        }
        keystore.commit().unwrap();
        let snapshot = build.run(&snapshots).unwrap();
        assert_eq!(snapshots.newest().unwrap().unwrap(), snapshot);
        keystore.install(&snapshot).unwrap();
        assert_eq!((keystore.applied.clone(), names(&keystore)), (applied, expected));
    }

    #[test]
    fn a_damaged_keystore_is_noticed_and_rebuilt_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (log, snapshots, keystore) = filled(open(dir.path()), 400);
        let expected = names(&keystore);
        keystore.begin_snapshot().run(&snapshots).unwrap();
        keystore.checkpoint().run().unwrap();
        let db = keystore.staging.folder().path.join("db");
        drop(keystore);
        log.close();
        let mut bytes = std::fs::read(&db).unwrap();
        let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        (0..64).for_each(|i| bytes[(i * 7919 + 13) % written] ^= 0x5a);
        std::fs::write(&db, bytes).unwrap();
        match open(dir.path()).keystore {
            Found::Rebuilt { keystore, aside, .. } => {
                assert_eq!(names(&keystore), expected);
                assert!(aside.unwrap().is_dir());
            }
            Found::Whole(keystore) => assert_eq!(names(&keystore), expected),
            Found::NeedsPeer { damage } => panic!("a snapshot was there: {damage}"),
        }
    }

    #[test]
    fn no_value_goes_to_a_file_that_is_never_synced() {
        let dir = tempfile::tempdir().unwrap();
        let (_log, _, keystore) = filled(open(dir.path()), 200);
        let folder = keystore.staging.folder();
        folder.db.insert(b"k-largest", vec![1u8; 64 * 1024]).unwrap();
        folder.sync().unwrap();
        let blobs = folder.path.join("blobs");
        assert!(!blobs.exists() || std::fs::read_dir(blobs).unwrap().next().is_none());
    }

    #[test]
    fn a_keystore_without_its_log_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _, keystore) = filled(open(dir.path()), 10);
        drop(keystore);
        log.close();
        std::fs::remove_dir_all(dir.path().join("log")).unwrap();
        let owner = || Owner { store_id: StoreId([6; 16]), node_id: 1 };
        assert!(matches!(Store::open(dir.path(), owner), Err(crate::store::OpenError::KeystoreWithoutLog)));
    }
}
