//! Starts consensus on a prepared node.

use std::io;
use std::sync::Arc;

use openraft::SnapshotPolicy;
use tokio::task::JoinSet;

use super::adapter::log_storage::LogStorage;
use super::adapter::metrics::{Metrics, Raft};
use super::adapter::network::Network;
use super::adapter::pending::Pending;
use super::adapter::state_machine::StateMachine;
use super::cluster::Cluster;
use super::cluster_file::ClusterFileKeeper;
use super::dispute::Dispute;
use super::failure::Failure;
use super::forwarding::leader::Leadership;
use super::forwarding::writes::WriteQueue;
use super::integrity::digest_check::DigestCheck;
use super::joining::first_command::FirstCommand;
use super::joining::first_entry;
use super::known_cluster::KnownCluster;
use super::leases::digest_exchange::DigestExchange;
use super::leases::fence::Fence;
use super::leases::grants::LeaseGrants;
use super::leases::held::HeldLease;
use super::leases::reads::Reads;
use super::peer_port::service::Running;
use super::protocol::membership::decode_stored;
use super::start::{PeerListener, PreparedNode, StartError};
use super::tasks;
use super::watch::probe;
use crate::config::{ClusterConfig, ConsistencyConfig};
use crate::store::{Keystore, KeystoreCheckpoint, LogStore, Snapshots, View};

impl PreparedNode {
    /// Takes part in consensus.
    ///
    /// # Errors
    /// The disk failed, or openraft did not start.
    pub async fn take_part(self, consistency: ConsistencyConfig) -> Result<Cluster, StartError> {
        let (digests, unconfirmed) = DigestExchange::new(&self.keystore);
        let (pending, dispute) = (Pending::default(), digests.dispute.clone());
        let (view, progress, checkpoint) =
            (Arc::clone(self.keystore.view()), self.keystore.progress(), self.keystore.checkpoint());
        self.listener.links.belongs_to(Arc::clone(&view));
        let (started, raft) = self.consensus(pending.clone(), dispute.clone()).await?;
        let Started { listener, cluster, log, snapshots } = started;
        let (links, config, failure) = (Arc::clone(&listener.links), &listener.config, listener.failure.clone());
        let leadership = Arc::new(Leadership::new(raft.clone(), Arc::clone(&links)));
        let grants = Arc::new(LeaseGrants::new(Arc::clone(&leadership), progress.clone(), consistency.lease));
        let answering = Running {
            raft: raft.clone(),
            grants: Arc::clone(&grants),
            digests: Arc::clone(&digests),
            progress: progress.clone(),
            view: Arc::clone(&view),
            snapshots: snapshots.clone(),
        };
        // From now on the peer service answers all calls. A listener takes part once, so the cell is empty.
        drop(listener.running.set(answering));
        let cluster_file = keeper(&listener, &cluster, &log, &view, &raft);
        let writes = WriteQueue::start(Arc::clone(&leadership), Arc::clone(&view), pending);
        let reads = Reads::start(Arc::clone(&leadership), Arc::clone(&grants), Arc::clone(&digests));
        let lease = HeldLease::new(consistency, reads.clone(), progress.clone());
        let mut spawned = JoinSet::new();
        if let Some(founder) = &cluster.founder {
            let (leadership, writes, view) = (Arc::clone(&leadership), writes.clone(), Arc::clone(&view));
            let command = founder.document.first_command.clone();
            let (progress, failure) = (progress.clone(), failure.clone());
            spawned.spawn(FirstCommand { command, leadership, writes, view, progress, failure }.propose());
        }
        let check = DigestCheck {
            digests,
            leadership: Arc::clone(&leadership),
            checkpoint: checkpoint.clone(),
            failure: failure.clone(),
        };
        spawned.spawn(check.run(unconfirmed));
        spawned.spawn(tasks::follow_membership(Metrics::of(&raft), links, Arc::clone(&leadership)));
        spawned.spawn(tasks::watch_consensus(Metrics::of(&raft), failure.clone()));
        keep_on_disk(&mut spawned, &raft, &log, &snapshots, &checkpoint, config, &failure);
        spawned.spawn(Arc::clone(&cluster_file).follow(progress.clone()));
        spawned.spawn(Arc::clone(&lease).keep(Arc::clone(&leadership)));
        spawned.spawn(probe::ask_peers(Arc::clone(&leadership)));
        spawned.spawn(probe::look(Arc::clone(&leadership), Arc::clone(&lease), listener.waits.clone()));
        Ok(Cluster {
            raft,
            writes,
            view,
            progress,
            fence: Fence::new(Arc::clone(&leadership), grants),
            leadership,
            reads,
            lease,
            dispute,
            log,
            snapshots,
            checkpoint,
            cluster_file,
            folder: listener.lock,
            failure,
            waits: listener.waits,
            tasks: parking_lot::Mutex::new(spawned),
            stop_listener: parking_lot::Mutex::new(Some(listener.stop)),
        })
    }

    /// Starts openraft on the log and the keystore, with the members that this node knows.
    async fn consensus(self, pending: Pending, dispute: Dispute) -> Result<(Started, Raft), StartError> {
        let Self { listener, cluster, log, snapshots, keystore } = self;
        show_members(&listener, &keystore);
        if let Some(founder) = &cluster.founder {
            first_entry::append(&log, &founder.document.members).await?;
        }
        // openraft may purge the log up to the last applied entry. By then that entry must be durable in the keystore.
        let durable = keystore.checkpoint();
        tokio::task::spawn_blocking(move || durable.run()).await.map_err(io::Error::other)??;
        let state_machine = StateMachine::new(keystore, snapshots.clone(), pending);
        let network = Network::new(Arc::clone(&listener.links), dispute, snapshots.clone());
        let storage = LogStorage::new(log.clone(), listener.failure.clone());
        let raft =
            Raft::new(listener.owner.node_id, raft_config(&listener.config)?, network, storage, state_machine).await;
        let raft = raft.map_err(|error| StartError::Consensus(error.to_string()))?;
        Ok((Started { listener, cluster, log, snapshots }, raft))
    }
}

fn keeper(
    listener: &PeerListener,
    cluster: &KnownCluster,
    log: &LogStore,
    view: &Arc<View>,
    raft: &Raft,
) -> Arc<ClusterFileKeeper> {
    Arc::new(ClusterFileKeeper {
        file: Arc::clone(&listener.local.file),
        integrity: cluster.keys.integrity.clone(),
        owner: listener.owner,
        admission: cluster.facts.admission.clone(),
        log: log.clone(),
        view: Arc::clone(view),
        metrics: Metrics::of(raft),
    })
}

/// Starts the tasks that build snapshots and make the keystore durable.
fn keep_on_disk(
    spawned: &mut JoinSet<()>,
    raft: &Raft,
    log: &LogStore,
    snapshots: &Snapshots,
    checkpoint: &KeystoreCheckpoint,
    config: &ClusterConfig,
    failure: &Failure,
) {
    spawned.spawn(tasks::snapshot_when_large(raft.clone(), log.clone(), snapshots.clone(), config.snapshot));
    let every = config.snapshot.checkpoint_every;
    spawned.spawn(tasks::checkpoint_regularly(checkpoint.clone(), every, failure.clone()));
    spawned.spawn(tasks::record_progress(log.record().clone(), failure.clone()));
}

/// The parts of a prepared node without its keystore, which openraft has.
struct Started {
    listener: PeerListener,
    cluster: KnownCluster,
    log: LogStore,
    snapshots: Snapshots,
}

/// The keystore may have a newer membership than `cluster.id`.
fn show_members(listener: &PeerListener, keystore: &Keystore) {
    if let Some(stored) = decode_stored(keystore.membership())
        && stored.nodes().next().is_some()
    {
        listener.links.set_members(stored.nodes().map(|(id, member)| (*id, member.clone())).collect());
    }
}

fn raft_config(config: &ClusterConfig) -> Result<Arc<openraft::Config>, StartError> {
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let raft = openraft::Config {
        cluster_name: "keyraft".to_owned(),
        heartbeat_interval: millis(config.timing.heartbeat),
        election_timeout_min: millis(config.timing.election_min),
        election_timeout_max: millis(config.timing.election_max),
        enable_pre_vote: Some(true),
        // A restarted leader must be elected again: entries that followers committed may not have reached its own disk.
        enable_leader_restore: Some(false),
        // `tasks` decides by bytes when to build one. A count of entries cut throughput by a factor of 2.5.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: config.snapshot.keep_entries,
        replication_lag_threshold: u64::MAX,
        install_snapshot_timeout: millis(config.snapshot.transfer_timeout),
        ..openraft::Config::default()
    };
    raft.validate().map(Arc::new).map_err(|error| StartError::Consensus(error.to_string()))
}
