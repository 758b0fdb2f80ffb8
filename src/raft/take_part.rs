//! Starts consensus on a prepared node.

use std::io;
use std::sync::Arc;

use openraft::SnapshotPolicy;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::adapter::log_storage::LogStorage;
use super::adapter::metrics::{Metrics, Raft};
use super::adapter::network::Network;
use super::adapter::pending::Pending;
use super::adapter::state_machine::StateMachine;
use super::cluster::Cluster;
use super::cluster_file::ClusterFileKeeper;
use super::dispute::Dispute;
use super::doubt::catch_up::CatchUp;
use super::doubt::log_doubt::LogDoubt;
use super::failure::Failure;
use super::forwarding::hand_over::HandOver;
use super::forwarding::leader::Leadership;
use super::forwarding::room_gate::RoomGate;
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
use super::peer_port::room::AppendRoom;
use super::peer_port::service::Running;
use super::protocol::membership::decode_stored;
use super::start::{PeerListener, PreparedNode, StartError};
use super::tasks;
use super::ticks;
use super::watch::full_disk::FullDisk;
use super::watch::probe::{self, WatchedDisk};
use super::watch::stalled_disk::StalledDisk;
use crate::blocking;
use crate::config::{ClusterConfig, ConsistencyConfig};
use crate::disk::DiskRoom;
use crate::store::{Keystore, KeystoreCheckpoint, LogId, LogStore, Progress, Snapshots, View};

/// For how many of the longest election timeouts a leader without a quorum is quiet, and then sends heartbeats again.
const QUIET_ELECTIONS: u32 = 4;

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
        let doubt = Arc::new(LogDoubt::of(log.record().clone()));
        let leadership = Arc::new(Leadership::new(raft.clone(), Arc::clone(&links)));
        let grants = Arc::new(LeaseGrants::new(Arc::clone(&leadership), progress.clone(), consistency.lease));
        let reads = Reads::start(Arc::clone(&leadership), Arc::clone(&grants), Arc::clone(&digests));
        let lease = HeldLease::new(consistency, reads.clone(), progress.clone());
        let room = Arc::clone(&listener.room);
        let gate = Arc::new(RoomGate::new(Arc::clone(&leadership), Arc::clone(&room), config.timing.heartbeat));
        let answering = Running {
            raft: raft.clone(),
            gate: Arc::clone(&gate),
            append_room: AppendRoom { raft: raft.clone(), room: Arc::clone(&room), log: log.clone() },
            grants: Arc::clone(&grants),
            lease: Arc::clone(&lease),
            digests: Arc::clone(&digests),
            progress: progress.clone(),
            view: Arc::clone(&view),
            snapshots: snapshots.clone(),
            doubt: Arc::clone(&doubt),
        };
        // From now on the peer service answers all calls. A listener takes part once, so the cell is empty.
        drop(listener.running.set(answering));
        let cluster_file = keeper(&listener, &cluster, &log, &view, &raft);
        let writes = WriteQueue::start(Arc::clone(&leadership), Arc::clone(&gate), Arc::clone(&view), pending);
        let mut spawned = JoinSet::new();
        begin_cluster(&mut spawned, &cluster, &leadership, &writes, &view, &progress, &failure);
        let check = digest_check(digests, &leadership, &checkpoint, &failure);
        spawned.spawn(check.run(unconfirmed));
        spawned.spawn(ticks::run(raft.clone(), Arc::clone(&links), Arc::clone(&lease), config.timing));
        spawned.spawn(tasks::follow_membership(Metrics::of(&raft), links, Arc::clone(&leadership)));
        spawned.spawn(tasks::watch_consensus(Metrics::of(&raft), failure.clone()));
        spawned.spawn(catch_up(doubt, &leadership, &failure).run());
        keep_on_disk(&mut spawned, &raft, &log, &snapshots, &checkpoint, config, &failure);
        spawned.spawn(Arc::clone(&cluster_file).follow(progress.clone()));
        spawned.spawn(Arc::clone(&lease).keep(Arc::clone(&leadership)));
        spawned.spawn(probe::ask_peers(Arc::clone(&leadership)));
        let disk = watched_disk(&log, &room, gate, &leadership, config);
        spawned.spawn(probe::look(Arc::clone(&leadership), Arc::clone(&lease), disk, listener.waits.clone()));
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
            room,
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
        log.keep_room(Arc::clone(&listener.room));
        let in_doubt = log.record().doubt().is_some();
        // The log may have had entries. The node gets its first one from a leader.
        if let Some(founder) = cluster.founder.as_ref().filter(|_| !in_doubt) {
            first_entry::append(&log, &founder.document.members).await?;
        }
        // If the log ends before the last applied entry, openraft purges it up to there. By then the keystore must be durable.
        // Otherwise the log has what a keystore in memory would lose.
        let durable = keystore.checkpoint();
        let synced = blocking::spawn(move || durable.run()).await.map_err(io::Error::other)?;
        if log.state()?.last < keystore.last_applied() {
            synced?;
        }
        snapshot_what_the_log_lacks(&keystore, &log, &snapshots).await?;
        let state_machine = StateMachine::new(keystore, snapshots.clone(), pending);
        let network = Network::new(Arc::clone(&listener.links), dispute, snapshots.clone());
        let storage = LogStorage::new(log.clone(), listener.failure.clone());
        let config = raft_config(&listener.config, in_doubt)?;
        let raft = Raft::new(listener.owner.node_id, config, network, storage, state_machine).await;
        let raft = raft.map_err(|error| StartError::Consensus(error.to_string()))?;
        Ok((Started { listener, cluster, log, snapshots }, raft))
    }
}

/// Builds a snapshot if openraft needs one that goes further than those that this node has. It takes for granted that the
/// newest snapshot goes as far as the log is purged, but somebody may have removed that one, or it was damaged. And it purges
/// a log that ends before what the node has applied.
async fn snapshot_what_the_log_lacks(keystore: &Keystore, log: &LogStore, snapshots: &Snapshots) -> io::Result<()> {
    let index = |position: Option<LogId>| position.map(|id| id.index);
    let (applied, state) = (keystore.last_applied(), log.state()?);
    let lacks = if index(state.last) < index(applied) { applied } else { state.purged };
    let covered = snapshots.newest()?.and_then(|snapshot| snapshot.header.applied.last);
    if index(covered) >= index(lacks) {
        return Ok(());
    }
    let (build, snapshots) = (keystore.begin_snapshot(), snapshots.clone());
    blocking::spawn(move || build.run(&snapshots)).await.map_err(io::Error::other)??;
    Ok(())
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

fn digest_check(
    digests: Arc<DigestExchange>,
    leadership: &Arc<Leadership>,
    checkpoint: &KeystoreCheckpoint,
    failure: &Failure,
) -> DigestCheck {
    let (leadership, checkpoint) = (Arc::clone(leadership), checkpoint.clone());
    DigestCheck { digests, leadership, checkpoint, failure: failure.clone() }
}

fn catch_up(doubt: Arc<LogDoubt>, leadership: &Leadership, failure: &Failure) -> CatchUp {
    let (raft, links) = (leadership.raft().clone(), Arc::clone(leadership.links()));
    CatchUp { doubt, raft, links, failure: failure.clone() }
}

fn watched_disk(
    log: &LogStore,
    room: &Arc<DiskRoom>,
    gate: Arc<RoomGate>,
    leadership: &Arc<Leadership>,
    config: &ClusterConfig,
) -> WatchedDisk {
    let hand_over = Arc::new(HandOver::new(Arc::clone(leadership), config.timing.heartbeat));
    WatchedDisk {
        stalled: StalledDisk::new(log.clone(), Arc::clone(&hand_over), config.storage.stall),
        full: FullDisk { log: log.clone(), room: Arc::clone(room), gate, hand_over, looked: None },
    }
}

/// A founder proposes the first command until the cluster has begun.
fn begin_cluster(
    spawned: &mut JoinSet<()>,
    cluster: &KnownCluster,
    leadership: &Arc<Leadership>,
    writes: &WriteQueue,
    view: &Arc<View>,
    progress: &watch::Receiver<Progress>,
    failure: &Failure,
) {
    let Some(founder) = &cluster.founder else { return };
    let (leadership, writes, view) = (Arc::clone(leadership), writes.clone(), Arc::clone(view));
    let command = founder.document.first_command.clone();
    let (progress, failure) = (progress.clone(), failure.clone());
    spawned.spawn(FirstCommand { command, leadership, writes, view, progress, failure }.propose());
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
    let (taken, written) = (checkpoint.clone(), snapshots.clone());
    spawned.spawn(tasks::snapshot_when_large(raft.clone(), log.clone(), written, taken, config.snapshot));
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

fn raft_config(config: &ClusterConfig, in_doubt: bool) -> Result<Arc<openraft::Config>, StartError> {
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let raft = openraft::Config {
        cluster_name: "keyraft".to_owned(),
        heartbeat_interval: millis(config.timing.heartbeat),
        election_timeout_min: millis(config.timing.election_min),
        election_timeout_max: millis(config.timing.election_max),
        enable_pre_vote: Some(true),
        // `doubt` turns it on when the node has caught up.
        enable_elect: !in_doubt,
        // A restarted leader must be elected again: entries that followers committed may not have reached its own disk.
        enable_leader_restore: Some(false),
        // A leader without a quorum is quiet in between. Otherwise it holds the votes of the nodes that it still reaches, and
        // those nodes elect no leader with the rest. openraft asks for at least twice the longest election timeout.
        quorum_loss_probe_interval: Some(millis(config.timing.election_max * QUIET_ELECTIONS)),
        // `tasks` decides by bytes when to build one. A count of entries cut throughput by a factor of 2.5.
        snapshot_policy: SnapshotPolicy::Never,
        // `tasks` purges the log.
        max_in_snapshot_log_to_keep: u64::MAX,
        replication_lag_threshold: u64::MAX,
        install_snapshot_timeout: millis(config.snapshot.transfer_timeout),
        ..openraft::Config::default()
    };
    raft.validate().map(Arc::new).map_err(|error| StartError::Consensus(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use bytes::Bytes;

    use super::*;
    use crate::state::ClusterId;
    use crate::store::{FoundKeystore, Owner, Store, StoreId, Vote};
    use crate::test_vectors::store_keys;

    fn id(index: u64) -> LogId {
        LogId { term: 1, node: 1, index }
    }

    fn apply(keystore: &mut Keystore, index: u64) {
        keystore.advance(id(index));
        keystore.commit();
    }

    #[tokio::test]
    async fn a_start_has_a_snapshot_of_everything_that_the_log_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let owner = Owner { store_id: StoreId([1; 16]), node_id: 1 };
        let Store { log, snapshots, keystore, .. } =
            Store::create(dir.path(), owner, &store_keys(ClusterId([1; 16]))).unwrap();
        let FoundKeystore::Whole(mut keystore) = keystore else { panic!("a new store is whole") };
        log.save_vote(Vote { term: 1, node: 1, committed: true }).unwrap();
        let (sender, durable) = mpsc::sync_channel(1);
        let entries = (0..60).map(|index| (id(index), Bytes::new()));
        log.append(entries, Box::new(move |result| sender.send(result).unwrap())).unwrap();
        durable.recv().unwrap().unwrap();
        apply(&mut keystore, 20);
        let older = keystore.begin_snapshot().run(&snapshots).unwrap();
        apply(&mut keystore, 59);
        snapshot_what_the_log_lacks(&keystore, &log, &snapshots).await.unwrap();
        assert_eq!(snapshots.newest().unwrap(), Some(older), "the log has the rest");
        // The snapshot for which the log was purged is lost.
        log.purge(id(40)).unwrap();
        // After that, the keystore goes further than the log.
        for applied in [59, 80] {
            apply(&mut keystore, applied);
            snapshot_what_the_log_lacks(&keystore, &log, &snapshots).await.unwrap();
            assert_eq!(snapshots.newest().unwrap().unwrap().header.applied.last, Some(id(applied)));
        }
    }
}
