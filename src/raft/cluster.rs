//! The handle with which the rest of the node writes to the cluster and reads from it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::adapter::metrics::Raft;
use super::cluster_file::{CANNOT_WRITE, ClusterFileKeeper};
use super::dispute::Dispute;
use super::failure::Failure;
use super::forwarding::leader::{Leader, Leadership};
use super::forwarding::writes::{WriteError, WriteQueue};
use super::leases::fence::{Fence, FenceFigures};
use super::leases::held::{HeldLease, Standing};
use super::leases::reads::Reads;
use super::protocol::types::{NodeId, TypeConfig};
use super::status::RaftStatus;
use super::watch::waits::Waits;
use crate::blocking;
use crate::disk::{DiskRoom, RoomFigures};
use crate::state::{EncodedCommand, RecordedOutcome, RingVersion};
use crate::store::{FolderLock, KeystoreCheckpoint, LogStore, Progress, Snapshots, StoreId, View};

/// How long a node that hands leadership over waits for another one to lead.
const HAND_OVER: Duration = Duration::from_secs(1);

/// This node as a member of the cluster. Dropping it ends the tasks.
pub struct Cluster {
    pub(super) raft: Raft,
    pub(super) view: Arc<View>,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) leadership: Arc<Leadership>,
    pub(super) writes: WriteQueue,
    pub(super) reads: Reads,
    pub(super) lease: Arc<HeldLease>,
    pub(super) fence: Fence,
    pub(super) dispute: Dispute,
    pub(super) log: LogStore,
    pub(super) room: Arc<DiskRoom>,
    pub(super) snapshots: Snapshots,
    pub(super) checkpoint: KeystoreCheckpoint,
    pub(super) cluster_file: Arc<ClusterFileKeeper>,
    pub(super) folder: FolderLock,
    pub(super) failure: Failure,
    pub(super) waits: Waits,
    /// Dropping the set ends its tasks.
    pub(super) tasks: parking_lot::Mutex<JoinSet<()>>,
    pub(super) stop_listener: parking_lot::Mutex<Option<tokio::sync::oneshot::Sender<()>>>,
}

impl Cluster {
    /// The state that this node has applied.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// How far this node has applied the log. The receiver stays up to date.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// The id of this node's store.
    pub fn store_id(&self) -> StoreId {
        self.leadership.links().owner.store_id
    }

    /// The id of this node.
    pub fn node_id(&self) -> NodeId {
        self.leadership.links().owner.node_id
    }

    /// Whether the file `cluster.id` of this node durably holds this key ring.
    pub fn has_noted_ring(&self, ring: &[RingVersion]) -> bool {
        self.cluster_file.has_ring(ring)
    }

    /// The index up to which this node has applied the log.
    pub fn seen_index(&self) -> u64 {
        self.progress.borrow().index()
    }

    /// Sends a command to the leader and waits until a quorum holds it durably and this node has applied it.
    ///
    /// # Errors
    /// The deadline came first. The error says whether the command may still take effect.
    pub async fn write(&self, command: &EncodedCommand, by: Instant) -> Result<RecordedOutcome, WriteError> {
        self.writes.write(command, by).await
    }

    /// Waits until this node has applied everything that was committed when the call began.
    ///
    /// # Errors
    /// No leader answered before the deadline.
    pub async fn linearize(&self, by: Instant) -> Result<(), WriteError> {
        let read = self.reads.ask(by).await.ok_or(WriteError::NoLeader)?;
        let mut progress = self.progress.clone();
        match tokio::time::timeout_at(by.into(), progress.wait_for(|progress| progress.reached(read.index))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(WriteError::NoLeader),
        }
    }

    /// Waits until no member can serve without the revocations that this node has applied. Returns the names of the
    /// members that are not known to have applied all of them, but whose leases have run out.
    ///
    /// # Errors
    /// [`WriteError::NotEverywhere`] if the deadline came first.
    pub async fn fence(&self, by: Instant) -> Result<Vec<String>, WriteError> {
        self.fence.wait(by).await
    }

    /// How often and how long this node has waited for revocations so far.
    pub fn fence_figures(&self) -> FenceFigures {
        self.fence.figures()
    }

    /// The end of this node's lease: nanoseconds of `CLOCK_BOOTTIME`; 0 before the first lease.
    pub fn lease_until_ns(&self) -> i64 {
        self.lease.until_ns()
    }

    /// Whether this node holds a lease now. This is one comparison, so every request can afford it.
    pub fn holds_lease(&self) -> bool {
        self.lease.holds()
    }

    /// What this node may do now with the keys it knows.
    pub fn standing(&self) -> Standing {
        self.lease.standing()
    }

    /// What this node may do with the keys it knows, after one attempt to renew a lease that has run out.
    pub async fn standing_after_renewal(&self) -> Standing {
        self.lease.standing_after_renewal().await
    }

    /// Whether this node's state differs from another node's, and too few nodes answer to say which one is right.
    pub fn is_disputed(&self) -> bool {
        self.dispute.is_open()
    }

    /// How often this has been so since this node started.
    pub fn disputes(&self) -> u64 {
        self.dispute.count()
    }

    /// Whether this node leads.
    pub fn leads(&self) -> bool {
        self.leadership.leader() == Leader::Here
    }

    /// The cluster as this node sees it.
    pub fn status(&self) -> RaftStatus {
        RaftStatus::of(
            &self.leadership.metrics().now(),
            &self.progress.borrow(),
            self.leadership.links(),
            self.view.cluster().map(|cluster| cluster.level),
            self.holds_lease(),
            self.room.lacks_room(),
        )
    }

    /// The highest feature level that every member can read, as their prefaces say.
    ///
    /// # Errors
    /// The names of the members that this node has yet to hear from.
    pub fn highest_level_of_all(&self) -> Result<u32, Vec<String>> {
        let links = self.leadership.links();
        links.versions().highest_level_of_all(links.own_key(), &links.members())
    }

    /// How often and how long this node has flushed its log so far.
    pub fn flush_figures(&self) -> crate::store::FlushFigures {
        self.log.flush_figures()
    }

    /// The room on the disk of this node's data folder.
    pub fn room(&self) -> RoomFigures {
        self.room.figures()
    }

    /// Whether the log of this node waits for room on its disk.
    pub fn waits_for_room(&self) -> bool {
        self.log.waits_for_room()
    }

    /// When the newest snapshot was made, in Unix nanoseconds. `None` without a snapshot.
    pub fn snapshot_at(&self) -> Option<i64> {
        self.snapshots.newest().ok().flatten().map(|snapshot| snapshot.header.created_at_ns)
    }

    /// Starts to build a snapshot and to purge the log that it covers.
    pub async fn snapshot(&self) {
        drop(self.raft.trigger().snapshot().await);
    }

    /// Hands leadership, if this node has it, to the voter with the longest log. Returns whether another node leads
    /// now.
    pub async fn hand_over(&self) -> bool {
        match self.successor() {
            Some(successor) => self.hand_to(successor).await,
            None => !self.leads(),
        }
    }

    async fn hand_to(&self, successor: NodeId) -> bool {
        if !self.leadership.begin_to_hand_over(successor).await {
            return false;
        }
        let mut metrics = self.leadership.metrics();
        let other = |metrics: &openraft::RaftMetrics<TypeConfig>| {
            metrics.current_leader.is_some_and(|leader| leader != metrics.id)
        };
        tokio::time::timeout(HAND_OVER, metrics.wait_for(other)).await.is_ok_and(|handed_over| handed_over)
    }

    fn successor(&self) -> Option<NodeId> {
        let metrics = self.leadership.metrics().now().clone();
        let replication = metrics.replication.as_ref()?;
        let in_doubt = self.leadership.links().contacts().in_doubt();
        let voters = metrics.membership_config.voter_ids().filter(|id| *id != metrics.id && !in_doubt.contains(id));
        voters.max_by_key(|id| replication.get(id).copied().flatten())
    }

    /// Hands leadership over, ends consensus on this node, and closes its files.
    pub async fn stop(&self) {
        if self.leads() && self.hand_over().await {
            tracing::info!("this node handed leadership over");
        }
        self.end_consensus().await;
        let (log, checkpoint) = (self.log.clone(), self.checkpoint.clone());
        let (cluster_file, folder) = (Arc::clone(&self.cluster_file), self.folder.clone());
        let closed = blocking::spawn(move || {
            if let Err(error) = cluster_file.write_if_changed() {
                tracing::warn!(%error, "{CANNOT_WRITE}");
            }
            // The next start then has nothing to replay. If this fails, the log still has everything.
            let written = checkpoint.run();
            log.close();
            folder.release();
            written
        });
        if let Ok(Err(error)) = closed.await {
            tracing::error!(%error, "this node cannot make its keystore durable; its next start replays the log");
        }
    }

    /// Writes what this node has applied of the cluster's facts to `cluster.id`, and leaves consensus as
    /// [`Cluster::stop`] does.
    ///
    /// # Errors
    /// The file could not be written. The node has left consensus even so.
    pub async fn leave(&self) -> io::Result<()> {
        let cluster_file = Arc::clone(&self.cluster_file);
        let written = blocking::spawn(move || cluster_file.write_if_changed()).await;
        self.stop().await;
        written.map_err(io::Error::other)?
    }

    /// Ends consensus on this node at once, as a crash would, but closes its files.
    pub async fn kill(&self) {
        self.end_consensus().await;
        let (log, folder) = (self.log.clone(), self.folder.clone());
        let close = move || {
            log.close();
            folder.release();
        };
        drop(blocking::spawn(close).await);
    }

    async fn end_consensus(&self) {
        self.tasks.lock().abort_all();
        // Consensus may wait for a flush that waits for room.
        self.log.give_up_held();
        drop(self.raft.shutdown().await);
        self.waits.set_peers(Vec::new());
        if let Some(stop) = self.stop_listener.lock().take() {
            // The listener may have ended by itself.
            let _ = stop.send(());
        }
    }
}
