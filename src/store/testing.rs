//! What tests outside `store` need to put a keystore into a certain state, and to see all of it.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use raft_log::codeq::Encode;
use raft_log::{RaftLogAction, RaftLogRecord};

use super::chain::Anchor;
use super::flush::LogTypes;
use super::folder::Folders;
use super::log_types::{Payload, Tag};
use super::tags::StoreTags;
use super::{Keystore, LogId, LogStore, NodeRecord, Owner, SnapshotBuild, StoreId, StoreKeys, Vote};
use crate::crypto::{DigestKey, IntegrityKeys};
use crate::state::{ClusterId, Digest, Memory};
use crate::test_vectors::{CLUSTER, store_keys};

/// The tags of some store.
pub(super) fn tags() -> StoreTags {
    let owner = Owner { store_id: StoreId([5; 16]), node_id: 1 };
    StoreTags::new(owner, &store_keys(ClusterId([1; 16])))
}

/// The tags of another store of the same cluster.
pub(super) fn tags_of(owner: Owner) -> StoreTags {
    StoreTags::new(owner, &store_keys(ClusterId([1; 16])))
}

/// The tags of the same store with other integrity keys, as if it belonged to another cluster.
pub(super) fn other_keys() -> StoreTags {
    let integrity = IntegrityKeys::of_bytes(1, [0x99; 32]);
    StoreTags::new(tags().owner, &StoreKeys { integrity, ..store_keys(ClusterId([9; 16])) })
}

/// The key of digests in tests.
pub(crate) fn digest_key() -> DigestKey {
    tags().active_digest_key()
}

impl Keystore {
    /// Makes an empty memory of done commands one that has forgotten all commands before number `first`, the last of
    /// which was in the entry at `index`.
    pub(crate) fn begin_memory(&mut self, first: u64, index: u64) {
        self.memory = Memory::restore(first, index, []);
    }

    /// Opens the keystore in this folder, without the log that belongs to it.
    pub(crate) fn open_alone(root: &Path, owner: Owner) -> Self {
        let folders = Folders::new(root).expect("the folder can be used");
        Self::open(folders, StoreTags::new(owner, &store_keys(CLUSTER)))
            .expect("the keystore is whole")
            .expect("a keystore is in use")
    }

    /// How many entries the replicated state has, and their digest.
    pub(crate) fn entries_and_digest(&self) -> (u64, Digest) {
        (self.applied.entries, self.applied.digest)
    }

    /// The pairs in sled, sorted by key.
    pub(crate) fn pairs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.staging.sync().expect("the disk takes it");
        let folder = self.staging.folder();
        let pairs = folder.db.iter().map(|pair| pair.expect("sled can read what it wrote"));
        pairs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }
}

impl LogStore {
    /// Gives an entry in the first file of a log that is open other bytes of the same length, with a checksum that fits.
    /// Returns the file, and what it held before.
    pub(crate) fn forge_on_disk(dir: &Path, (id, bytes): (LogId, Bytes), other: Bytes) -> (PathBuf, Vec<u8>) {
        /// The type, the position, and the format and length of the payload.
        const BEFORE_TAG: usize = 4 + 24 + 5;
        let record = |bytes: &Bytes, tag| {
            let mut record = Vec::new();
            let append = RaftLogAction::Append(id, Payload::appended(bytes.clone(), tag));
            RaftLogRecord::<LogTypes>::Action(append).encode(&mut record).expect("a vector has room");
            record
        };
        let files = fs::read_dir(dir.join("log")).expect("the folder is there").flatten().map(|entry| entry.path());
        let first = files.filter(|path| path.extension().is_some()).min().expect("the log has files");
        let before = fs::read(&first).expect("the file is there");
        let found = record(&bytes, [0; 16]);
        let begin = before.windows(BEFORE_TAG).position(|window| window == &found[..BEFORE_TAG]);
        let begin = begin.expect("the file has the entry");
        let tag: Tag = before[begin + BEFORE_TAG..][..16].try_into().expect("16 bytes");
        let at = begin..begin + found.len();
        assert_eq!(before[at.clone()], record(&bytes, tag), "this is the record");
        let mut forged = before.clone();
        forged[at].copy_from_slice(&record(&other, tag));
        fs::write(&first, &forged).expect("the folder is writable");
        (first, before)
    }
}

impl NodeRecord {
    /// The record in this folder of the node with this store. It is made if the folder does not have it.
    pub(crate) fn in_folder(dir: &Path, store: StoreId) -> Self {
        let keys = IntegrityKeys::of_bytes(1, [9; 32]);
        let found = Self::open(dir, store, keys.clone()).expect("the record is whole");
        let anchor = Anchor { position: None, tag: [0; 16], key_version: 1 };
        found.unwrap_or_else(|| Self::create(dir, store, keys, anchor).expect("the folder can be used"))
    }

    /// Puts the node in doubt, after it gave this vote.
    pub(crate) fn in_doubt_after(&self, vote: Vote) {
        self.save_vote(vote).and_then(|()| self.enter_doubt()).expect("the folder can be used");
    }
}

impl SnapshotBuild {
    /// The same snapshot, made at another time.
    pub(crate) fn made_at(mut self, created_at_ns: i64) -> Self {
        self.header.created_at_ns = created_at_ns;
        self
    }
}
