//! Records that do not open: the node compares each with a peer's before it gives the key up (design, "Storage").

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::{Error, Kms};
use crate::policy::KeyName;
use crate::raft::Comparison;

/// How long a request waits for a comparison.
const HOLD: Duration = Duration::from_secs(3);
/// The pause before the next comparison of a record when no peer answered the last one.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Records that the node remembers. Beyond that it forgets all of them, and compares a record again when it is used.
const MOST: usize = 10_000;

/// The records that do not open, by a hash of name, version and bytes, so that a changed record is compared again.
#[derive(Default)]
pub(super) struct UnopenableRecords(Mutex<HashMap<[u8; 32], Arc<UnopenableRecord>>>);

/// One record. It is locked during a comparison, so that other requests for it wait for the result.
type UnopenableRecord = tokio::sync::Mutex<LastComparison>;

/// The result of the last comparison of a record with a peer's.
#[derive(Debug, Clone, Copy)]
enum LastComparison {
    /// The node has not compared the record yet.
    Never,
    /// A peer has the same record, so no node can open it.
    Equal,
    /// No peer answered at that time.
    Unanswered(Instant),
}

impl Kms {
    /// Why this node cannot use a version whose record does not open here. If a peer has the same record, the fault
    /// lies in this key alone. If a peer has another record, this node is damaged: it stops, and rebuilds its keystore.
    pub(super) async fn compared_with_peer(&self, name: KeyName<'_>, version: u32, by: Instant) -> Error {
        let Some(record) = self.cluster.view().record(name, version) else { return Error::VersionNotFound };
        let record = self.unopenable.entry(name, version, &record);
        let mut last = record.lock().await;
        match *last {
            LastComparison::Equal => return Error::KeyUnopenable,
            LastComparison::Unanswered(at) if at.elapsed() < ASK_AGAIN => return Error::KeyUnopenable,
            LastComparison::Unanswered(_) | LastComparison::Never => {}
        }
        let key = name.as_str();
        match self.cluster.compare_record(name, version, by.min(Instant::now() + HOLD)).await {
            Comparison::Equal { peer } => {
                tracing::error!(key, version, peer, "a record that does not open is the same on a peer");
                *last = LastComparison::Equal;
                Error::KeyUnopenable
            }
            Comparison::Different { peer } => {
                self.cluster.report_damage(&format!(
                    "invariant broken: the record of key '{key}', version {version}, does not open, and is another on \
                     node {peer}"
                ));
                Error::Stopping
            }
            Comparison::Changed => Error::Stopping,
            Comparison::Unanswered => {
                tracing::error!(key, version, "a record does not open, and no peer sent its own for a comparison");
                *last = LastComparison::Unanswered(Instant::now());
                Error::KeyUnopenable
            }
        }
    }
}

impl UnopenableRecords {
    fn entry(&self, name: KeyName<'_>, version: u32, record: &[u8]) -> Arc<UnopenableRecord> {
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
