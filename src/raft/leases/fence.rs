//! The fence of a revocation: the node acknowledges the revocation once no member can serve without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::grants::LeaseGrants;
use crate::clock;
use crate::raft::forwarding::leader::{Leader, Leadership};
use crate::raft::forwarding::writes::WriteError;
use crate::raft::protocol::types::NodeId;
use crate::raft::protocol::wire::FenceRequest;

/// The pause between two attempts while no leader answers.
const RETRY: Duration = Duration::from_millis(5);

/// The fence on the node to which a client sent the revocation.
pub(in crate::raft) struct Fence {
    leadership: Arc<Leadership>,
    grants: Arc<LeaseGrants>,
    waits: AtomicU64,
    waited_ns: AtomicU64,
    waited_out: AtomicU64,
}

/// How often and how long this node has waited for revocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FenceFigures {
    /// Waits for a revocation.
    pub waits: u64,
    /// The time they took together, in nanoseconds.
    pub waited_ns: u64,
    /// Members that did not report the revocation, so that the node waited until their leases ran out.
    pub waited_out: u64,
}

impl Fence {
    pub(in crate::raft) fn new(leadership: Arc<Leadership>, grants: Arc<LeaseGrants>) -> Self {
        let [waits, waited_ns, waited_out] = [const { AtomicU64::new(0) }; 3];
        Self { leadership, grants, waits, waited_ns, waited_out }
    }

    /// Has the leader wait for every revocation that this node has applied.
    pub(in crate::raft) async fn wait(&self, by: Instant) -> Result<Vec<String>, WriteError> {
        let (began, index) = (Instant::now(), self.grants.last_revocation());
        let behind = tokio::time::timeout_at(by.into(), async {
            loop {
                if let Some(behind) = self.ask(index).await {
                    return behind;
                }
                tokio::time::sleep(RETRY).await;
            }
        });
        let behind = behind.await.map_err(|_| WriteError::NotEverywhere);
        self.waits.fetch_add(1, Relaxed);
        self.waited_ns.fetch_add(clock::nanos(began.elapsed()), Relaxed);
        self.waited_out.fetch_add(behind.as_ref().map_or(0, |behind| behind.len() as u64), Relaxed);
        behind
    }

    /// How often and how long this node has waited so far.
    pub(in crate::raft) fn figures(&self) -> FenceFigures {
        FenceFigures {
            waits: self.waits.load(Relaxed),
            waited_ns: self.waited_ns.load(Relaxed),
            waited_out: self.waited_out.load(Relaxed),
        }
    }

    /// Asks the leader once. `None` when the asked node does not lead or stops leading.
    async fn ask(&self, index: u64) -> Option<Vec<String>> {
        let epoch = self.leadership.epoch();
        match epoch.0 {
            Leader::Here => self.grants.wait_for_revocation(index).await,
            Leader::There(id) => tokio::select! {
                behind = self.ask_peer(id, index) => behind,
                () = self.leadership.changed_since(epoch) => None,
            },
            Leader::Unknown => None,
        }
    }

    async fn ask_peer(&self, id: NodeId, index: u64) -> Option<Vec<String>> {
        let mut client = self.leadership.client(id)?;
        let request = FenceRequest { index, applied: self.grants.applied() };
        client.fence(request).await.ok().map(|reply| reply.into_inner().behind)
    }
}
