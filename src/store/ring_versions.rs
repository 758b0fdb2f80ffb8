//! How many records each version of the key ring seals. A version that seals none can be dropped.

use std::collections::BTreeMap;
use std::fmt;

use super::wire;
use crate::state::KeyRecord;

/// The ring versions in use, each with the number of records that it seals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordsPerRingVersion(BTreeMap<u32, u64>);

impl RecordsPerRingVersion {
    /// Counts an encoded record.
    pub(super) fn add(&mut self, record: &[u8]) {
        if let Some(version) = KeyRecord::peek_ring_version(record) {
            self.add_version(version);
        }
    }

    /// Counts an encoded record no longer.
    pub(super) fn remove(&mut self, record: &[u8]) {
        let Some(version) = KeyRecord::peek_ring_version(record) else { return };
        if let Some(records) = self.0.get_mut(&version) {
            *records -= 1;
            if *records == 0 {
                self.0.remove(&version);
            }
        }
    }

    pub(super) fn add_version(&mut self, version: u32) {
        *self.0.entry(version).or_default() += 1;
    }

    /// The number of records that a version seals.
    pub fn count(&self, version: u32) -> u64 {
        self.0.get(&version).copied().unwrap_or(0)
    }

    /// Each version in use and its number of records, by version.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.0.iter().map(|(version, records)| (*version, *records))
    }

    pub(super) fn to_wire(&self) -> Vec<wire::RingVersionInUse> {
        self.iter().map(|(version, records)| wire::RingVersionInUse { version, records }).collect()
    }

    pub(super) fn from_wire(versions: &[wire::RingVersionInUse]) -> Self {
        Self(versions.iter().map(|in_use| (in_use.version, in_use.records)).collect())
    }
}

impl fmt::Display for RecordsPerRingVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("empty");
        }
        let shown: Vec<_> = self.iter().map(|(version, records)| format!("{version}: {records}")).collect();
        f.write_str(&shown.join(", "))
    }
}
