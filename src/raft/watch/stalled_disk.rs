//! Notices a disk that does not finish a flush of the log. A leader then hands leadership to a voter whose disk did.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::raft::forwarding::hand_over::HandOver;
use crate::raft::protocol::types::from_store_id;
use crate::store::LogStore;

/// Watches the flushes of this node's log.
pub(in crate::raft) struct StalledDisk {
    log: LogStore,
    hand_over: Arc<HandOver>,
    /// How long a flush may take until the disk counts as stalled.
    stall: Duration,
    /// When the stall began that the log has mentioned.
    since: Option<Instant>,
}

impl StalledDisk {
    pub(in crate::raft) fn new(log: LogStore, hand_over: Arc<HandOver>, stall: Duration) -> Self {
        Self { log, hand_over, stall, since: None }
    }

    /// Looks whether the disk stalls. A leader then hands leadership over.
    pub(in crate::raft) async fn look(&mut self) {
        let flush = self.log.flush_under_way().filter(|flush| flush.begun.elapsed() >= self.stall);
        match (self.since, &flush) {
            (None, Some(flush)) => {
                tracing::error!(
                    ms = flush.begun.elapsed().as_millis(),
                    "the disk of cluster.data stalls: a flush of the Raft log has not ended. The node serves the keys it \
                     knows, but can make no change durable. Look into the system's log for errors of the disk"
                );
                self.since = Some(flush.begun);
            }
            (Some(since), None) => {
                tracing::info!(ms = since.elapsed().as_millis(), "the disk of cluster.data no longer stalls");
                self.since = None;
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        if let Some(flush) = flush {
            // Who made the last entry of this flush durable is caught up, and its disk does not stall.
            self.hand_over.run(flush.last.map(from_store_id), |_| true, "its disk stalls").await;
        }
    }
}
