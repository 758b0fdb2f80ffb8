//! Somebody who can write to the data folder of a node changes its log, with checksums that fit. The node does not use what
//! it did not write.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use keyraft::store::{LogId, Vote};
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::codeq::{Decode, Encode};
use raft_log::{Config, RaftLog};

use super::data_folder::Copied;
use super::slots::NODE_RECORD;
use super::support::processes::Processes;
use super::support::status;
use super::support::user::DataKey;
use super::wire::store::TaggedRecord;
use super::{LASTING, assert_serve, three_nodes};

/// The bytes of a stored payload before those of the entry: format, length and tag.
const FRAME_BYTES: usize = 1 + 4 + 16;
/// A node writes what it has applied to its keystore durably no more often than this.
const SELDOM: [(&str, &str); 4] =
    [("heartbeat:", "100ms"), ("election_min:", "400ms"), ("election_max:", "800ms"), ("checkpoint_every:", "1h")];

/// The types of the log, with payloads as they stand there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct StoredTypes;

#[derive(Debug, Clone)]
struct Stored(Vec<u8>);

impl raft_log::Types for StoredTypes {
    type LogId = LogId;
    type LogPayload = Stored;
    type Vote = Vote;
    type Callback = SyncSender<io::Result<()>>;
    type UserData = Vec<u8>;

    fn log_index(log_id: &LogId) -> u64 {
        log_id.index
    }

    fn payload_size(payload: &Stored) -> u64 {
        payload.0.len() as u64
    }
}

impl Encode for Stored {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        w.write_all(&self.0).map(|()| self.0.len())
    }
}

impl Decode for Stored {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        let mut bytes = vec![0; FRAME_BYTES];
        r.read_exact(&mut bytes)?;
        let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize;
        bytes.resize(FRAME_BYTES + length, 0);
        r.read_exact(&mut bytes[FRAME_BYTES..])?;
        Ok(Self(bytes))
    }
}

type Entries = Vec<(LogId, Stored)>;
type Change = fn(&mut Entries);

fn open(log: &Path) -> RaftLog<StoredTypes> {
    RaftLog::open(Arc::new(Config::new(log.display()))).expect("the node has closed its log")
}

/// Gives a node that does not run a log with other entries.
fn forge(data: &Path, change: impl FnOnce(&mut Entries)) {
    let log = data.join("log");
    let (mut entries, note): (Entries, _) = {
        let log = open(&log);
        let entries = log.read(0, u64::MAX).collect::<Result<_, _>>().expect("the entries can be read");
        (entries, log.log_state().user_data.clone())
    };
    assert_eq!(entries.first().map(|(id, _)| id.index), Some(0), "nothing was purged yet");
    change(&mut entries);
    std::fs::remove_dir_all(&log).expect("the folder is there");
    std::fs::create_dir(&log).expect("the folder is writable");
    let mut log = open(&log);
    log.save_user_data(note).expect("the folder is writable");
    log.append(entries).expect("the folder is writable");
    let (done, wait) = std::sync::mpsc::sync_channel(1);
    log.flush(true, Some(done)).expect("the folder is writable");
    wait.recv().expect("the log answers").expect("the folder is writable");
}

/// Changes the last byte of the entry of an index from the end.
fn change_entry(entries: &mut Entries, from_end: usize) {
    let at = entries.len() - 1 - from_end;
    *entries[at].1.0.last_mut().expect("an entry has bytes") ^= 1;
}

/// Appends a copy of the last entry, as a leader of its term would.
fn append_entry(entries: &mut Entries) {
    let (id, payload) = entries.last().expect("there are entries").clone();
    entries.push((LogId { index: id.index + 1, ..id }, payload));
}

/// Starts node 3, which must say what is wrong with its log, and serve the same state as the others once it has caught up.
async fn assert_catches_up(processes: &mut Processes, keys: &[DataKey], found: &str) {
    processes.start_all().await;
    processes.wait_for_log(2, &["neither votes nor leads until it has caught up", found]).await;
    processes.wait_for_log(2, &["the log of this node has caught up with the leader"]).await;
    assert_serve(processes, &[0, 1, 2], keys, "after").await;
    status::assert_equal_digests(&processes.data_folders()).await;
}

/// Three nodes, of which node 3 was killed when its keystore had much less than its log, which says that it is committed.
async fn killed() -> (Processes, Vec<DataKey>) {
    let mut processes = Processes::start_in(&std::env::temp_dir(), &SELDOM).await;
    let keys = processes.admin().create_many("key", 12).await;
    status::assert_equal_digests(&processes.data_folders()).await;
    let data = processes.data(2);
    let applied = status::of(&data).await.expect("it answers")["applied"].as_u64().expect("a position");
    let noted = async || {
        let record: TaggedRecord = NODE_RECORD.newest(&data);
        record.committed.filter(|committed| committed.index >= applied).map(drop)
    };
    status::wait_for("node 3 to note what is committed", std::slice::from_ref(&data), noted).await;
    processes.kill(2);
    (processes, keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_entries_of_a_log_are_not_used_and_the_node_catches_up() {
    let attempts: [(&str, Change); 4] = [
        ("is not the one that this node wrote there", |entries| change_entry(entries, 0)),
        ("is not the one that this node wrote there", |entries| change_entry(entries, 3)),
        ("is not the one that this node wrote there", append_entry),
        ("which this node noted as committed", |entries| entries.truncate(entries.len() - 5)),
    ];
    for (found, change) in attempts {
        let (mut processes, keys) = killed().await;
        forge(&processes.data(2), change);
        assert_catches_up(&mut processes, &keys, found).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_written_anew_with_the_same_entries_is_the_log_of_the_node() {
    let (mut processes, keys) = killed().await;
    forge(&processes.data(2), |_| {});
    processes.start_all().await;
    assert!(!processes.has_logged(2, &["neither votes nor leads"]), "{}", processes.log(2));
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
    status::assert_equal_digests(&processes.data_folders()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_log_is_not_applied_where_nothing_else_is_left() {
    let (mut processes, keys) = three_nodes().await;
    processes.stop(2).await;
    let data = processes.data(2);
    for folder in ["keystore", "snapshots"] {
        std::fs::remove_dir_all(data.join(folder)).expect("the folder is there");
    }
    forge(&data, |entries| change_entry(entries, 3));
    assert_catches_up(&mut processes, &keys, "is not the one that this node wrote there").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_another_node_is_refused() {
    let (mut processes, keys) = three_nodes().await;
    for number in [1, 2] {
        processes.stop(number).await;
    }
    let others = Copied::of(&processes.data(1).join("log"));
    processes.begin(1);
    status::wait_for_state(&processes.data(1), "serving").await;
    others.put_back(&processes.data(2).join("log"));
    processes.begin(2);
    let how = processes.ended(2).await;
    assert!(
        how.code() == Some(LASTING)
            && processes.has_logged(2, &["the log and the keystore beside it belong to node 2"]),
        "{how}\n{}",
        processes.log(2)
    );
    assert_serve(&processes, &[0, 1], &keys, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_entry_that_the_keystore_has_applied_is_dropped() {
    let (mut processes, keys) = three_nodes().await;
    processes.stop(2).await;
    forge(&processes.data(2), |entries| change_entry(entries, 3));
    processes.start_all().await;
    let words = ["log", "is not the one that this node wrote there"];
    assert!(processes.has_logged(2, &words), "{}", processes.log(2));
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
    status::assert_equal_digests(&processes.data_folders()).await;
}
