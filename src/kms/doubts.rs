//! Records that do not open: each is compared with a peer's before its key is given up (design, "Storage").

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::{Error, Kms};
use crate::policy::KeyName;
use crate::raft::Comparison;

/// How long a request is held for a comparison.
const HOLD: Duration = Duration::from_secs(3);
/// How long after a comparison that nobody answered the next one waits.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Records remembered; beyond them all are forgotten, and compared again when they are asked for.
const MOST: usize = 10_000;

/// What is known of records that do not open, by their name, version and bytes: another record is another question.
#[derive(Default)]
pub(super) struct Doubts(Mutex<HashMap<[u8; 32], Arc<Doubt>>>);

/// One record. Whoever asks about it while it is compared waits for that comparison.
type Doubt = tokio::sync::Mutex<Verdict>;

/// What came of comparing a record.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    Unasked,
    /// It is what the cluster agreed on: nobody can open it.
    Equal,
    /// Nobody answered then.
    Unanswered(Instant),
}

impl Kms {
    /// Why a version of a key cannot be used whose record does not open here. Equal to a peer's, it is this key's fault
    /// alone; else it is this node's, which then stops, and makes its state anew.
    pub(super) async fn unopenable(&self, name: KeyName<'_>, version: u32, by: Instant) -> Error {
        let Some(record) = self.cluster.view().record(name, version) else { return Error::VersionNotFound };
        let doubt = self.doubts.of(name, version, &record);
        let mut verdict = doubt.lock().await;
        match *verdict {
            Verdict::Equal => return Error::KeyUnopenable,
            Verdict::Unanswered(at) if at.elapsed() < ASK_AGAIN => return Error::KeyUnopenable,
            Verdict::Unanswered(_) | Verdict::Unasked => {}
        }
        let key = name.as_str();
        match self.cluster.compare_record(name, version, by.min(Instant::now() + HOLD)).await {
            Comparison::Equal { peer } => {
                tracing::error!(key, version, peer, "a record that does not open is the same on a peer");
                *verdict = Verdict::Equal;
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
                tracing::error!(key, version, "a record does not open, and no peer has told its own to compare with");
                *verdict = Verdict::Unanswered(Instant::now());
                Error::KeyUnopenable
            }
        }
    }
}

impl Doubts {
    fn of(&self, name: KeyName<'_>, version: u32, record: &[u8]) -> Arc<Doubt> {
        let mut hash = Sha256::new();
        hash.update((name.as_str().len() as u64).to_be_bytes());
        hash.update(name.as_str());
        hash.update(version.to_be_bytes());
        hash.update(record);
        let mut doubts = self.0.lock();
        if doubts.len() >= MOST {
            doubts.clear();
        }
        Arc::clone(doubts.entry(hash.finalize().into()).or_insert_with(|| Arc::new(Doubt::new(Verdict::Unasked))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_doubt_and_another_record_another() {
        let doubts = Doubts::default();
        let name = KeyName::parse("a").unwrap();
        let first = doubts.of(name, 1, b"record");
        assert!(Arc::ptr_eq(&first, &doubts.of(name, 1, b"record")));
        for other in [doubts.of(name, 2, b"record"), doubts.of(name, 1, b"recorD")] {
            assert!(!Arc::ptr_eq(&first, &other));
        }
        (0..2 * MOST).for_each(|i| drop(doubts.of(name, 1, &i.to_be_bytes())));
        assert!(doubts.0.lock().len() <= MOST);
    }
}
