//! The state of this node, and of the cluster as this node sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::disk::RoomFigures;
use crate::raft::{Cluster, FenceFigures, Standing};
use crate::store::folder_bytes;

/// How long the node shows the same figures of its disk, because each look walks through the data folder.
const FIGURES_LAST: Duration = Duration::from_secs(1);

/// What a node is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// Starting: it waits for peers, the log, a leader, or the keys of its configuration file.
    Starting,
    /// Rebuilding its damaged keystore.
    Rebuilding,
    /// Sealed: it does not have the root key that opens the key ring.
    Sealed,
    /// Serving clients.
    Serving,
    /// Serving clients with the keys that it knows, although no leader has renewed its lease.
    Isolated,
    /// Not serving, because it has been without a leader for too long.
    Offline,
    /// Not serving, because no sink takes audit records and the configuration requires one.
    Unaudited,
    /// Not serving, because its state differs from another node's, and too few nodes answer to say which one is right.
    Disputed,
    /// Finishing open requests before it ends.
    Draining,
}

/// Returns the state of this node now. The code that runs the node provides it.
pub type StateSource = Arc<dyn Fn() -> NodeState + Send + Sync>;

/// The state of the cluster as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The cluster's id in hexadecimal, or `None` before the cluster's first command.
    pub cluster_id: Option<String>,
    /// This node's name.
    pub name: String,
    /// What this node is doing.
    pub state: NodeState,
    /// What it may do without asking the leader.
    pub standing: Standing,
    /// The end of its lease, in nanoseconds of `CLOCK_BOOTTIME`, or 0 before its first lease.
    pub lease_until_ns: i64,
    /// How many revocations this node has waited for, and for how long.
    pub fences: FenceFigures,
    /// How often its state was disputed since it started.
    pub disputes: u64,
    /// The key that checks the signatures in this node's audit file, in hexadecimal. A sealed node does not have it.
    pub audit_key: Option<String>,
    /// Consensus.
    pub raft: crate::raft::RaftStatus,
    /// Storage.
    pub storage: StorageFigures,
}

/// Figures of the storage for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StorageFigures {
    /// The number of keys.
    pub keys: u64,
    /// Log flushes so far.
    pub fsyncs: u64,
    /// Time spent in them, in nanoseconds.
    pub fsync_ns: u64,
    /// The time of the newest snapshot in Unix nanoseconds, if this node has one.
    pub snapshot_at: Option<i64>,
    /// The bytes of all files in the data folder.
    pub disk_bytes: u64,
    /// The room on its disk.
    pub room: RoomFigures,
    /// Whether the log waits for room.
    pub waits_for_room: bool,
}

/// The last figures of the disk, and the time of that look.
#[derive(Debug, Default)]
pub(super) struct SeenOnDisk(Mutex<Option<(Instant, StorageFigures)>>);

/// The name and the data folder of this node.
#[derive(Debug, Clone)]
pub struct ThisNode {
    /// The node's name.
    pub name: String,
    /// Its data folder.
    pub data: PathBuf,
}

impl NodeState {
    /// The state's name, as status shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Rebuilding => "rebuilding",
            Self::Sealed => "sealed",
            Self::Serving => "serving",
            Self::Isolated => "isolated",
            Self::Offline => "offline",
            Self::Unaudited => "unaudited",
            Self::Disputed => "disputed",
            Self::Draining => "draining",
        }
    }
}

impl SeenOnDisk {
    pub(super) fn figures(&self, cluster: &Cluster, this_node: &ThisNode) -> StorageFigures {
        let mut seen = self.0.lock();
        match *seen {
            Some((at, figures)) if at.elapsed() < FIGURES_LAST => figures,
            _ => {
                let (snapshot_at, disk_bytes) = (cluster.snapshot_at(), folder_bytes(&this_node.data));
                let figures = StorageFigures { snapshot_at, disk_bytes, ..StorageFigures::default() };
                *seen = Some((Instant::now(), figures));
                figures
            }
        }
    }
}
