//! Building a snapshot while the node goes on applying the log.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::entries::{self, KEY, MEMORY};
use super::image::Applied;
use super::refill::Refill;
use super::snapshot::{Snapshot, Snapshots};
use super::{Keystore, SnapshotHeader, View, WrittenLevel};
use crate::clock;
use crate::crypto::DigestKey;
use crate::state::{Digest, LOWEST_LEVEL};

/// Keys that the build reads from the view at a time. Applying waits for no more than that.
const KEYS_AT_A_TIME: usize = 1024;

/// A snapshot to build. It has copies of everything but the keys, and reads those from the frozen view.
pub struct SnapshotBuild {
    pub(super) header: SnapshotHeader,
    copied: Vec<(Vec<u8>, Bytes)>,
    digest_key: DigestKey,
    view: Arc<View>,
    /// The sled folder to make from the snapshot, if the keystore is in memory only.
    refill: Option<Refill>,
}

impl Keystore {
    /// Freezes the state as it is now, for a snapshot that another thread then builds. One snapshot is built at a time.
    pub fn begin_snapshot(&self) -> SnapshotBuild {
        let header = SnapshotHeader {
            cluster_id: self.view.cluster().map(|cluster| cluster.id),
            applied: Applied {
                memory_first: self.memory.first(),
                memory_forgotten_index: self.memory.forgotten_index(),
                ..self.applied.clone()
            },
            membership: self.membership.clone(),
            ring_versions: self.ring_versions.clone(),
            created_at_ns: clock::unix_ns(),
            level: WrittenLevel::active(self.view.level().unwrap_or(LOWEST_LEVEL)),
        };
        self.view.freeze();
        SnapshotBuild {
            header,
            copied: self.copy_small_kinds(),
            digest_key: self.digest_key.clone(),
            view: Arc::clone(&self.view),
            refill: Refill::begin(&self.staging, &self.folders, &self.tags),
        }
    }

    fn copy_small_kinds(&self) -> Vec<(Vec<u8>, Bytes)> {
        let small = self.small.iter().map(|(key, value)| (key.clone(), value.clone()));
        small.chain(self.copy_memory().map(|(key, value)| (key, value.into()))).collect()
    }

    fn copy_memory(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        let (first, next) = (self.memory.first(), self.memory.next());
        // From the page of the oldest command to that of the newest. Each page has as many numbers as page 0.
        let pages = entries::page_of(first)..next.div_ceil(entries::numbers_of(0).end);
        pages.map(move |page| {
            let numbers = entries::numbers_of(page);
            let start = numbers.start.max(first);
            let value = entries::encode_page(start, self.memory.numbered(numbers));
            (entries::key(MEMORY, &page.to_be_bytes()), value)
        })
    }
}

impl SnapshotBuild {
    /// What the snapshot will say about itself.
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    #[cfg(test)]
    pub(super) fn with_header(self, header: SnapshotHeader) -> Self {
        Self { header, ..self }
    }

    /// Writes the snapshot, and a sled folder from it if the keystore is in memory only. It blocks for as long as that takes.
    ///
    /// # Errors
    /// The disk failed. Then the unfinished file is removed.
    ///
    /// # Panics
    /// The frozen view returned other entries than those that the digest counts.
    pub fn run(mut self, snapshots: &Snapshots) -> io::Result<Snapshot> {
        let refill = self.refill.take();
        let snapshot = self.write(snapshots)?;
        snapshots.remove_old()?;
        if let Some(refill) = refill {
            refill.run(&snapshot);
        }
        Ok(snapshot)
    }

    fn write(self, snapshots: &Snapshots) -> io::Result<Snapshot> {
        let _thaw = Thaw(Arc::clone(&self.view));
        let applied = self.header.applied.clone();
        let mut writer = snapshots.write(self.header)?;
        let mut written = WrittenDigest { key: self.digest_key.clone(), digest: Digest::default() };
        for (key, value) in &self.copied {
            written.count(key, value);
            writer.entry(key, value)?;
        }
        let mut after: Option<Vec<u8>> = None;
        loop {
            let entries = self.view.frozen_after(after.as_deref(), KEYS_AT_A_TIME);
            let Some((last, _)) = entries.last() else { break };
            after = Some(last.clone());
            for (version_key, record) in &entries {
                let key = entries::key(KEY, version_key);
                written.count(&key, record);
                writer.entry(&key, record)?;
            }
        }
        assert_eq!(written.digest, applied.digest, "invariant broken: a snapshot holds what its digest says");
        writer.finish()
    }
}

/// The digest of the written entries. A page of remembered commands counts command by command.
struct WrittenDigest {
    key: DigestKey,
    digest: Digest,
}

impl WrittenDigest {
    fn count(&mut self, key: &[u8], value: &[u8]) {
        if key.first() != Some(&MEMORY) {
            self.digest.add(&self.key, key, value);
            return;
        }
        for (_, command) in entries::decode_page(value).unwrap_or_default() {
            let (key, value) = entries::outcome_entry(&command);
            self.digest.add(&self.key, &key, &value);
        }
    }
}

/// Thaws the view at the end of a build, also of one that fails.
struct Thaw(Arc<View>);

impl Drop for Thaw {
    fn drop(&mut self) {
        self.0.thaw();
    }
}
