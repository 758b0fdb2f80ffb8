//! openraft on a log in which somebody has changed an entry since the node opened it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use bytes::Bytes;
use openraft::entry::RaftEntry;
use tokio::sync::watch;

use super::log_storage::LogStorage;
use super::metrics::{Metrics, Raft};
use super::network::Network;
use super::pending::Pending;
use super::state_machine::StateMachine;
use crate::raft::dispute::Dispute;
use crate::raft::failure::Failure;
use crate::raft::peers::links::Links;
use crate::raft::preface::shown_seal::ShownSeal;
use crate::raft::protocol::entry::encode_payload;
use crate::raft::protocol::types::{Entry, LeaderId, Member, Membership, Proposal, RaftLogId, to_store_id};
use crate::raft::tasks;
use crate::state::{ClusterId, EncodedCommand, LOWEST_LEVEL, RequestId};
use crate::store::{FoundKeystore, Keystore, LogId, LogStore, Owner, Progress, Snapshots, Store, StoreId, Vote};
use crate::test_vectors::store_keys;
use crate::tls::{PeerKey, PeerTls};

const OWNER: Owner = Owner { store_id: StoreId([1; 16]), node_id: 1 };
/// More than the log keeps in memory, so that it reads the first entries from the disk.
const ENTRIES: u8 = 40;
const BODY_BYTES: usize = 1 << 20;
const FORGED: u8 = 2;

/// The membership, or a large command that nobody can read.
fn entry(index: u8, body: u8) -> (LogId, Bytes) {
    let id = RaftLogId::new(LeaderId { term: 1, node_id: OWNER.node_id }, index.into());
    let entry = if index == 0 {
        let members = BTreeMap::from([(OWNER.node_id, Member::default())]);
        Entry::new_membership(id, Membership::new(vec![members.keys().copied().collect()], members).unwrap())
    } else {
        let command = EncodedCommand::new(LOWEST_LEVEL, RequestId([index; 16]), 0, &vec![body; BODY_BYTES]);
        Entry::new_normal(id, Proposal::new(&command))
    };
    (to_store_id(&id), encode_payload(&entry))
}

/// A node whose log is open and has entries that it has not applied.
struct OpenNode {
    dir: tempfile::TempDir,
    log: LogStore,
    snapshots: Snapshots,
    keystore: Keystore,
    progress: watch::Receiver<Progress>,
    failure: Failure,
}

impl OpenNode {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path(), OWNER, &store_keys(ClusterId([1; 16]))).unwrap();
        let FoundKeystore::Whole(keystore) = store.keystore else { panic!("a new store is whole") };
        store.log.save_vote(Vote { term: 1, node: OWNER.node_id, committed: true }).unwrap();
        for index in 0..ENTRIES {
            let (sender, durable) = sync_channel(1);
            let on_durable = Box::new(move |result| SyncSender::send(&sender, result).unwrap());
            store.log.append([entry(index, index)], on_durable).unwrap();
            // What is not durable yet stays in memory.
            durable.recv().unwrap().unwrap();
        }
        let (progress, failure) = (keystore.progress(), Failure::default());
        Self { dir, log: store.log, snapshots: store.snapshots, keystore, progress, failure }
    }

    fn forge(dir: &tempfile::TempDir) {
        LogStore::forge_on_disk(dir.path(), entry(FORGED, FORGED), entry(FORGED, 99).1);
    }

    /// openraft on this node. It campaigns only if a test tells it to.
    async fn consensus(self) -> (Option<Raft>, Failed) {
        let tls = Arc::new(PeerTls::of_own_key(&PeerKey::generate().unwrap()).unwrap());
        let links = Arc::new(Links::new(OWNER, "a", tls, HashMap::new(), ShownSeal::default()));
        let network = Network::new(links, Dispute::default(), self.snapshots.clone());
        let storage = LogStorage::new(self.log, self.failure.clone());
        let machine = StateMachine::new(self.keystore, self.snapshots, Pending::default());
        let config = openraft::Config {
            enable_elect: false,
            enable_heartbeat: false,
            enable_leader_restore: Some(false),
            ..openraft::Config::default()
        };
        let raft = Raft::new(OWNER.node_id, Arc::new(config.validate().unwrap()), network, storage, machine).await;
        (raft.ok(), Failed { dir: self.dir, progress: self.progress, failure: self.failure })
    }
}

/// What is left of a node whose consensus has begun.
struct Failed {
    dir: tempfile::TempDir,
    progress: watch::Receiver<Progress>,
    failure: Failure,
}

impl Failed {
    /// The node ends with the reason that an operator needs, and has applied nothing that depends on the entry.
    async fn assert_reported(self) {
        let reason = self.failure.reported().await;
        let text = format!("entry {FORGED} of the log is not the one that this node wrote there");
        assert!(reason.text.contains(&text) && reason.is_lasting, "{reason}");
        assert!(!self.progress.borrow().reached(FORGED.into()), "{:?}", self.progress.borrow());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_was_changed_before_openraft_starts_ends_the_node() {
    let node = OpenNode::new();
    node.log.commit(entry(ENTRIES - 1, 0).0).unwrap();
    OpenNode::forge(&node.dir);
    let (_raft, failed) = node.consensus().await;
    failed.assert_reported().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_was_changed_while_openraft_runs_ends_the_node() {
    let (raft, failed) = OpenNode::new().consensus().await;
    let raft = raft.expect("the log is whole");
    OpenNode::forge(&failed.dir);
    // As the leader, it commits all entries, and then reads them to apply them.
    raft.trigger().elect(false).await.unwrap();
    tasks::watch_consensus(Metrics::of(&raft), failed.failure.clone()).await;
    failed.assert_reported().await;
}
