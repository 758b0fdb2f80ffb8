//! All nodes start after a stop, and one of them has lost something meanwhile. The others serve the same cluster, and that
//! node serves, or says what it needs.

use std::fs;
use std::path::Path;

use keyraft::tls::PeerKey;

use super::data_folder::{self, Copied, sled_folder, snapshots};
use super::slots::{CLUSTER_ID, NODE_RECORD};
use super::support::processes::Processes;
use super::support::status;
use super::support::user::DataKey;
use super::{LASTING, assert_serve, three_nodes};

/// What becomes of the node.
enum Outcome {
    /// It serves, and has logged a line with these words.
    Serves(&'static [&'static str]),
    /// It waits, and its status says so in these words.
    Waits(&'static [&'static str]),
    /// It ends, and has logged these words.
    Ends(&'static [&'static str]),
}
use Outcome::{Ends, Serves, Waits};

type Lose = fn(&Path);

/// What one node has lost.
struct Loss {
    name: &'static str,
    number: usize,
    lose: Lose,
    outcome: Outcome,
}

/// Three nodes that do not run, with a copy of each data folder.
struct Stopped {
    processes: Processes,
    keys: Vec<DataKey>,
    folders: Vec<Copied>,
    cluster: keyraft::state::ClusterId,
}

impl Stopped {
    /// Stops three nodes that have purged their logs.
    async fn new() -> Self {
        let mut processes = Processes::start().await;
        let keys = processes.admin().create_many("key", 240).await;
        for data in processes.data_folders() {
            let built = async || (!snapshots(&data).is_empty()).then_some(());
            status::wait_for("a snapshot", std::slice::from_ref(&data), built).await;
        }
        status::assert_equal_digests(&processes.data_folders()).await;
        for number in 0..3 {
            processes.stop(number).await;
        }
        let folders = processes.data_folders().iter().map(|data| Copied::of(data)).collect();
        let cluster = data_folder::facts(&processes.data(0)).cluster.id;
        Self { processes, keys, folders, cluster }
    }

    /// Gives each node its folder as it was when all of them stopped.
    fn put_back(&self) {
        self.folders.iter().zip(self.processes.data_folders()).for_each(|(copied, data)| copied.put_back(&data));
    }

    async fn start_after(&mut self, Loss { name, number, lose, outcome }: Loss) {
        println!("{name} of node {}", number + 1);
        self.put_back();
        lose(&self.processes.data(number));
        let before = self.processes.log(number).len();
        (0..3).for_each(|node| self.processes.begin(node));
        let others = [(number + 1) % 3, (number + 2) % 3];
        for other in others {
            status::wait_for_state(&self.processes.data(other), "serving").await;
        }
        let data = self.processes.data(number);
        let mut serving = others.to_vec();
        match outcome {
            Serves(words) => {
                status::wait_for_state(&data, "serving").await;
                serving.push(number);
                self.assert_logged(number, before, words);
            }
            Waits(words) => status::wait_for_words(&data, words).await,
            Ends(words) => {
                assert_eq!(self.processes.ended(number).await.code(), Some(LASTING), "{name}");
                self.assert_logged(number, before, words);
            }
        }
        assert_serve(&self.processes, &serving, &self.keys[..12], "after").await;
        let folders: Vec<_> = serving.iter().map(|node| self.processes.data(*node)).collect();
        status::assert_equal_digests(&folders).await;
        self.assert_one_cluster().await;
        (0..3).for_each(|node| self.processes.end_if_running(node));
    }

    fn assert_logged(&self, number: usize, from: usize, words: &[&str]) {
        let log = self.processes.log(number)[from..].to_owned();
        assert!(words.is_empty() || super::outsider::has_line(&log, words), "no line with {words:?} in\n{log}");
    }

    /// Fails if a node belongs to another cluster than before.
    async fn assert_one_cluster(&self) {
        for data in self.processes.data_folders() {
            let Ok(status) = status::of(&data).await else { continue };
            let cluster = status["cluster_id"].as_str();
            assert!(cluster.is_none_or(|id| id == self.cluster.to_string()), "{status}");
        }
    }
}

fn remove(path: &Path) {
    fs::remove_dir_all(path).expect("the folder is there");
}

fn remove_file(path: &Path) {
    fs::remove_file(path).expect("the file is there");
}

/// Changes some bytes in the middle of what is written in a file.
fn damage(path: &Path) {
    let mut content = fs::read(path).expect("the file is there");
    let written = content.iter().rposition(|byte| *byte != 0).expect("it has content");
    content[written / 2..written / 2 + 16].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(path, content).expect("the folder is writable");
}

const BEGUN: &[&str] = &["belongs to a cluster that has begun", "Never put back a copy or a backup"];

const IN_DOUBT: &[&str] = &["this node neither votes nor leads until it has caught up with a leader"];

const KEEP: &[&str] = &["Keep the data folder as it is", "Leave this node stopped"];

#[tokio::test(flavor = "multi_thread")]
async fn with_one_folder_lost_or_sealed_the_others_serve_and_the_node_says_what_it_needs() {
    let mut stopped = Stopped::new().await;
    for number in [0, 2] {
        stopped.start_after(Loss { name: "the folder", number, lose: remove, outcome: Waits(BEGUN) }).await;
        let blank = |data: &Path| {
            remove(data);
            fs::create_dir(data).expect("the folder is writable");
        };
        stopped
            .start_after(Loss { name: "everything in the folder", number, lose: blank, outcome: Waits(BEGUN) })
            .await;
    }
    let but_cluster_id = |data: &Path| {
        ["log", "keystore", "snapshots"].iter().for_each(|folder| remove(&data.join(folder)));
        remove_file(&data.join("node.record"));
    };
    let name = "everything but cluster.id";
    stopped.start_after(Loss { name, number: 0, lose: but_cluster_id, outcome: Ends(&["no log"]) }).await;
    let root_key = stopped.processes.root_key();
    let own = root_key.with_file_name("own-root.key");
    stopped.processes.replace_in_config(0, &root_key.display().to_string(), &own.display().to_string());
    let outcome = Waits(&["the root key of the cluster", "own-root.key: No such file"]);
    stopped.start_after(Loss { name: "the root key", number: 0, lose: |_| {}, outcome }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_file_lost_or_damaged_the_others_serve_and_the_node_says_what_it_needs() {
    let mut stopped = Stopped::new().await;
    let keystore = |data: &Path| remove(&data.join("keystore"));
    let sled = |data: &Path| damage(&sled_folder(data).join("db"));
    let snapshot = |data: &Path| snapshots(data).iter().for_each(|path| damage(path));
    let both = |data: &Path| ["keystore", "snapshots"].iter().for_each(|folder| remove(&data.join(folder)));
    let rebuilds: &[&str] = &["the keystore is damaged; the node rebuilds it"];
    let all = |data: &Path| ["log", "keystore", "snapshots"].iter().for_each(|folder| remove(&data.join(folder)));
    let losses: [(&str, Lose, Outcome); 12] = [
        ("cluster.id", |data| remove_file(&data.join("cluster.id")), Serves(&["cluster.id"])),
        ("both slots of cluster.id", |data| CLUSTER_ID.damage(data), Serves(&["cluster.id"])),
        ("node.record", |data| remove_file(&data.join("node.record")), Ends(&["no node.record"])),
        ("both slots of node.record", |data| NODE_RECORD.damage(data), Ends(KEEP)),
        ("the log", |data| remove(&data.join("log")), Serves(IN_DOUBT)),
        ("the log, the keystore and the snapshots", all, Serves(IN_DOUBT)),
        ("bytes of the log", |data| damage(&last_file(&data.join("log"))), Serves(IN_DOUBT)),
        ("the keystore", keystore, Serves(rebuilds)),
        ("bytes of the keystore", sled, Serves(rebuilds)),
        ("the snapshots", |data| remove(&data.join("snapshots")), Serves(&[])),
        ("bytes of the snapshots", snapshot, Serves(&[])),
        ("the keystore and the snapshots", both, Serves(rebuilds)),
    ];
    for (name, lose, outcome) in losses {
        stopped.start_after(Loss { name, number: 1, lose, outcome }).await;
    }
}

/// The last file of a folder that has more than zeros.
fn last_file(folder: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(folder).expect("the folder is there").flatten().map(|entry| entry.path());
    let written = files.filter(|path| fs::read(path).is_ok_and(|content| content.iter().any(|byte| *byte != 0)));
    written.filter(|path| path.extension().is_some()).max().expect("the log has files")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_without_their_folders_found_no_other_cluster() {
    let mut stopped = Stopped::new().await;
    for number in [0, 1] {
        remove(&stopped.processes.data(number));
    }
    (0..3).for_each(|number| stopped.processes.begin(number));
    for number in [0, 1] {
        status::wait_for_words(&stopped.processes.data(number), BEGUN).await;
    }
    status::wait_for_words(&stopped.processes.data(2), &["votes of 2 of the 3 nodes are needed"]).await;
    stopped.assert_one_cluster().await;
    let refusal = stopped.processes.admin().create(2, "nowhere").await.expect_err("there is no quorum");
    assert_ne!(refusal.status, Some(404), "{refusal:?}");
}

/// Gives a node another TLS key than the one by which its cluster knows it.
fn other_key(data: &Path) {
    let key = PeerKey::generate().expect("keys can be made");
    fs::write(data.join("peer.key"), key.pem().as_bytes()).expect("the file is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_its_folder_or_its_key_and_the_others_all_log_what_to_do() {
    let (mut processes, keys) = three_nodes().await;
    let empty = ["a node that this one does not know refuses it", "knows this node by another TLS key or another data"];
    let strange = ["another node refuses this one", "expects another TLS key", "leave this node stopped"];
    let losses: [(&str, Lose, [&str; 3], &[&str]); 2] = [
        (
            "the folder",
            remove,
            [empty[0], empty[1], "that the disk is mounted"],
            &["empty data folder", "says what to do"],
        ),
        ("the key", other_key, strange, &["has another TLS key than the membership records", "start it with the key"]),
    ];
    for (what, lose, says, others_say) in losses {
        processes.stop(2).await;
        let (data, from) = (processes.data(2), processes.log(2).len());
        let whole = Copied::of(&data);
        lose(&data);
        processes.begin(2);
        processes.wait_for_log(2, &says).await;
        for number in [0, 1] {
            processes.wait_for_log(number, &[&["this node refused a connection"], others_say].concat()).await;
            processes.wait_for_log(number, &["peer", "has another key than the membership records"]).await;
        }
        let log = processes.log(2)[from..].to_owned();
        assert!(!log.contains("closed the connection before it said"), "{what}: {log}");
        assert_serve(&processes, &[0, 1], &keys, &format!("without-{}", what.replace(' ', "-"))).await;
        processes.end(2);
        whole.put_back(&data);
        processes.start_all().await;
    }
    status::assert_equal_digests(&processes.data_folders()).await;
}
