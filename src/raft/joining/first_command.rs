//! Proposes the cluster's first command while this node leads, until a first command is applied.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::failpoint::{self, Failpoint};
use crate::raft::failure::Failure;
use crate::raft::forwarding::leader::{Leader, Leadership};
use crate::raft::forwarding::writes::WriteQueue;
use crate::state::{EncodedCommand, Outcome, RecordedOutcome};
use crate::store::{Progress, View};

/// How long one attempt to write may take before the node makes the next one.
const ATTEMPT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(20);

/// What a node needs to propose the first command.
pub(in crate::raft) struct FirstCommand {
    pub command: EncodedCommand,
    pub leadership: Arc<Leadership>,
    pub writes: WriteQueue,
    pub view: Arc<View>,
    pub progress: watch::Receiver<Progress>,
    pub failure: Failure,
}

impl FirstCommand {
    /// Every leader proposes the same bytes, so that only the first proposal takes effect. Returns once a first command is
    /// applied.
    pub(in crate::raft) async fn propose(mut self) {
        while self.view.cluster().is_none() {
            if self.leadership.leader() == Leader::Here {
                failpoint::reached(Failpoint::FirstCommandProposed);
                if let Ok(outcome) = self.writes.write(&self.command, Instant::now() + ATTEMPT).await
                    && !lets_begin(&outcome)
                {
                    let outcome = outcome.number();
                    let reason = format!("the cluster refused its first command, with outcome {outcome}");
                    self.failure.report_lasting(&reason);
                    return;
                }
            }
            drop(tokio::time::timeout(RETRY, self.progress.changed()).await);
        }
    }
}

/// Whether a cluster can begin after this outcome of a first command.
fn lets_begin(outcome: &RecordedOutcome) -> bool {
    matches!(
        outcome.known(),
        Ok(Outcome::Done | Outcome::AlreadyInitialised | Outcome::Expired | Outcome::LevelNotActive)
    )
}
