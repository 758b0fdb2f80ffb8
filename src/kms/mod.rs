//! The operations of the key server. Each takes a permit, and reads what this node has applied or writes through Raft.

mod access;
mod access_changes;
mod audit;
mod begin;
mod cluster_keys;
mod cluster_status;
mod compare;
mod data;
mod deletion;
mod error;
mod fence;
mod file_policies;
mod keys;
mod opened;
mod replicate_uses;
mod resolve;
mod ring;
mod ring_changes;
mod ring_follow;
mod ring_search;
mod status;
mod unopenable;
mod uses;
mod versions;
mod write;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

pub use crate::crypto::{Cipher, CipherError, ClusterKeys};
pub use crate::raft::{FenceFigures, FollowLog, NodeVersion, PeerLog, RaftMemberStatus, RaftStatus, Standing};
pub use crate::state::ReadableLevels;
pub use access::IdentityDescription;
pub use audit::NamedLog;
pub use begin::{FilePolicies, first_command, wait_until_caught_up, wait_until_initialised};
pub use cluster_keys::open_cluster;
pub use data::DataKey;
pub use error::Error;
pub use fence::Behind;
pub use keys::{Import, ImportedHmac, KeyDescription};
pub use ring::{OpenedRing, RootKeySource, SealError, reopen_ring};
pub use ring_changes::RingChangeError;
pub use ring_search::{LONGEST_RING, StoredRing, rings_in};
pub use status::{ClusterStatus, NodeState, StateSource, StorageFigures, ThisNode};
pub use versions::{KeyVersion, KeyVersions};

use crate::config::CacheConfig;
use crate::crypto::Ring;
use crate::policy::Identity;
use crate::raft::Cluster;
use crate::state::ClusterId;
use opened::OpenedKeys;
use status::SeenOnDisk;
use unopenable::UnopenableRecords;

/// The key server's operations.
///
/// Each takes a [`Permit`](crate::policy::Permit) and a deadline. A node answers at once from its own state when it
/// knows the key. Everything else is linearizable (design, "Reads").
pub struct Kms {
    cluster: Arc<Cluster>,
    /// The cluster's id, to which each record of a key is bound.
    cluster_id: ClusterId,
    ring: ArcSwap<Ring>,
    /// Held while the ring is opened again.
    reopening: Mutex<()>,
    /// Gives the root key when the ring has changed. The node does not keep it in between.
    root: RootKeySource,
    opened: OpenedKeys,
    unopenable: UnopenableRecords,
    file_admin: ArcSwap<Option<Identity>>,
    /// How long a deleted key can be restored. With 0, a deletion removes the key at once.
    deletion_window_ns: AtomicU64,
    state: StateSource,
    this_node: ThisNode,
    seen_on_disk: SeenOnDisk,
}

impl Kms {
    /// The operations on this cluster, with the cluster's open key ring.
    pub fn new(
        cluster: Arc<Cluster>,
        opened: OpenedRing,
        root: RootKeySource,
        cache: CacheConfig,
        node: ThisNode,
        state: StateSource,
    ) -> Self {
        let OpenedRing { cluster_id, ring } = opened;
        Self {
            cluster,
            cluster_id,
            ring: ArcSwap::from_pointee(ring),
            reopening: Mutex::default(),
            root,
            opened: OpenedKeys::new(cache),
            unopenable: UnopenableRecords::default(),
            file_admin: ArcSwap::default(),
            deletion_window_ns: AtomicU64::new(0),
            state,
            this_node: node,
            seen_on_disk: SeenOnDisk::default(),
        }
    }

    /// The admin that this node's configuration file names.
    pub fn file_admin(&self) -> Option<Identity> {
        **self.file_admin.load()
    }

    /// Sets the admin that the configuration file names, after the node has read the file again.
    pub fn set_file_admin(&self, admin: Option<Identity>) {
        self.file_admin.store(Arc::new(admin));
    }

    /// Drops opened keys that are old or unused from the cache. Never ends.
    pub async fn sweep_opened_keys(&self) {
        self.opened.sweep().await;
    }

    /// Whether this node holds a lease now.
    pub fn holds_lease(&self) -> bool {
        self.cluster.holds_lease()
    }

    async fn linearize(&self, by: Instant) -> Result<(), Error> {
        Ok(self.cluster.linearize(by).await?)
    }
}
