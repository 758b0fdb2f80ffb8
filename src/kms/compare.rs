//! Comparing a record that does not open with a peer's (design, "Storage").

use std::time::{Duration, Instant};

use super::unopenable::LastComparison;
use super::{Error, Kms};
use crate::policy::KeyName;
use crate::raft::Comparison;

/// How long a request waits for a comparison.
const HOLD: Duration = Duration::from_secs(3);
/// The pause before the next comparison of a record when no peer answered the last one.
const ASK_AGAIN: Duration = Duration::from_secs(5);

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
                tracing::error!(
                    key,
                    version,
                    peer,
                    "this node cannot open the record of a key version, and a peer has the same record: no node can \
                     use it"
                );
                *last = LastComparison::Equal;
                Error::KeyUnopenable
            }
            Comparison::Different { peer } => {
                self.cluster.report_wrong_state(&format!(
                    "invariant broken: this node cannot open the record of key '{key}', version {version}, and node {peer} \
                     has another record: the keystore of this node is damaged"
                ));
                Error::Stopping
            }
            Comparison::Changed => Error::Stopping,
            Comparison::Unanswered => {
                tracing::error!(
                    key,
                    version,
                    "this node cannot open the record of a key version, and no peer sent its own for a comparison"
                );
                *last = LastComparison::Unanswered(Instant::now());
                Error::KeyUnopenable
            }
        }
    }
}
