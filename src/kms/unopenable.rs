//! The records that do not open, and the last comparison of each with a peer's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::policy::KeyName;

/// Records that the node remembers. Beyond that it forgets all of them, and compares a record again when it is used.
const MOST: usize = 10_000;

/// The records that do not open, by a hash of name, version and bytes, so that a changed record is compared again.
#[derive(Default)]
pub(super) struct UnopenableRecords(Mutex<HashMap<[u8; 32], Arc<UnopenableRecord>>>);

/// One record. It is locked during a comparison, so that other requests for it wait for the result.
pub(super) type UnopenableRecord = tokio::sync::Mutex<LastComparison>;

/// The result of the last comparison of a record with a peer's.
#[derive(Debug, Clone, Copy)]
pub(super) enum LastComparison {
    /// The node has not compared the record yet.
    Never,
    /// A peer has the same record, so no node can open it.
    Equal,
    /// No peer answered at that time.
    Unanswered(Instant),
}

impl UnopenableRecords {
    pub(super) fn entry(&self, name: KeyName<'_>, version: u32, record: &[u8]) -> Arc<UnopenableRecord> {
        let mut hash = Sha256::new();
        hash.update((name.as_str().len() as u64).to_be_bytes());
        hash.update(name.as_str());
        hash.update(version.to_be_bytes());
        hash.update(record);
        let mut records = self.0.lock();
        if records.len() >= MOST {
            records.clear();
        }
        let new = || Arc::new(UnopenableRecord::new(LastComparison::Never));
        Arc::clone(records.entry(hash.finalize().into()).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_has_an_entry_of_its_own() {
        let records = UnopenableRecords::default();
        let name = KeyName::parse("a").unwrap();
        let first = records.entry(name, 1, b"record");
        assert!(Arc::ptr_eq(&first, &records.entry(name, 1, b"record")));
        for other in [records.entry(name, 2, b"record"), records.entry(name, 1, b"recorD")] {
            assert!(!Arc::ptr_eq(&first, &other));
        }
        (0..2 * MOST).for_each(|i| drop(records.entry(name, 1, &i.to_be_bytes())));
        assert!(records.0.lock().len() <= MOST);
    }
}
