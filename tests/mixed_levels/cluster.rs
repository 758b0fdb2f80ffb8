//! A cluster of three nodes of two versions. Each node keeps its data folder and its addresses when its version changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use keyraft::config::Config;
use keyraft::node::Node;
use keyraft::raft::Cluster;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::new_log::new_log;
use super::old_binary::old_binary;
use super::support::processes::Processes;
use super::support::status;
use super::support::user::User;

/// How long a command may take. After that the cluster counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);
const AT_A_TIME: usize = 16;
/// How many keys a test creates before it looks for a snapshot. That is less than one snapshot covers.
const BETWEEN_SNAPSHOTS: usize = 64;
/// How often it does so at most.
const ROUNDS: usize = 150;

/// Which version a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The usual build, which knows level 1.
    Old,
    /// The test build, which knows level 2, too.
    New,
}

/// The cluster. Nodes are counted from zero.
pub struct MixedCluster {
    /// The nodes that run the old version, and the files of all.
    old: Processes,
    /// The nodes that run the new version.
    new: [Option<Node>; 3],
}

impl MixedCluster {
    /// Starts a new cluster whose nodes run these versions, and waits until all serve.
    pub async fn start(versions: [Version; 3]) -> Self {
        // This begins to log what the new nodes do.
        new_log();
        let mut cluster = Self { old: Processes::prepare_with(old_binary()), new: [None, None, None] };
        for (number, version) in versions.into_iter().enumerate() {
            cluster.begin(number, version).await;
        }
        for number in 0..3 {
            cluster.wait_until_serving(number).await;
        }
        cluster
    }

    /// Starts a node and does not wait until it serves.
    pub async fn begin(&mut self, number: usize, version: Version) {
        match version {
            Version::Old => self.old.begin(number),
            Version::New => {
                let (config, _) = Config::load(&self.old.config_file(number)).expect("`dev` writes a valid file");
                let started = Node::start(config).await;
                self.new[number] = Some(started.unwrap_or_else(|error| panic!("node {number}: {error:?}")));
            }
        }
    }

    /// Starts a node and waits until it serves.
    pub async fn start_node(&mut self, number: usize, version: Version) {
        self.begin(number, version).await;
        self.wait_until_serving(number).await;
    }

    /// Stops a node as SIGTERM does.
    pub async fn stop(&mut self, number: usize) {
        match self.new[number].take() {
            Some(node) => node.stop().await.unwrap_or_else(|error| panic!("node {number}: {error}")),
            None => self.old.stop(number).await,
        }
    }

    /// Ends a node as a crash does.
    pub async fn kill(&mut self, number: usize) {
        match self.new[number].take() {
            Some(node) => node.kill().await,
            None => self.old.kill(number),
        }
    }

    /// Waits until a node of the old version ends by itself. Returns how.
    pub async fn ended(&mut self, number: usize) -> ExitStatus {
        self.old.ended(number).await
    }

    /// The version that a running node runs.
    pub fn version(&self, number: usize) -> Version {
        if self.new[number].is_some() { Version::New } else { Version::Old }
    }

    /// The handle of a node of the new version.
    pub fn handle(&self, number: usize) -> Arc<Cluster> {
        self.new[number].as_ref().and_then(Node::cluster).expect("the node takes part")
    }

    /// The admin as a client of all nodes.
    pub fn admin(&self) -> User {
        self.old.admin()
    }

    /// The log of a node, as far as it ran the old version.
    pub fn log(&self, number: usize) -> String {
        self.old.log(number)
    }

    /// The local status of a running node.
    pub async fn status(&self, number: usize) -> Option<Value> {
        status::of(&self.old.data(number)).await.ok()
    }

    /// Waits until `look` finds something.
    pub async fn wait_for<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        status::wait_for(what, &self.old.data_folders(), look).await
    }

    pub async fn wait_until_serving(&self, number: usize) {
        status::wait_for_state(&self.old.data(number), "serving").await;
    }

    /// The number of the leader, once all nodes agree on it.
    pub async fn leader(&self) -> usize {
        let agreed = async || {
            let seen = status::of_all(&self.old.data_folders()).await.ok()?;
            let leader = seen[0]["leader"].as_u64()?;
            seen.iter().all(|status| status["leader"] == leader).then_some(leader)
        };
        usize::try_from(self.wait_for("a leader", agreed).await).expect("ids are small") - 1
    }

    /// Makes a node the leader. All nodes must run, and do so afterwards.
    pub async fn make_lead(&mut self, wanted: usize, key: &str) {
        let mut round = 0;
        loop {
            let leader = self.leader().await;
            if leader == wanted {
                return;
            }
            round += 1;
            let third = 3 - leader - wanted;
            let versions = [self.version(leader), self.version(third)];
            self.kill(third).await;
            // The leader hands over to the node that has most of its log. The killed one lacks this entry.
            self.admin().create_somewhere(leader, &format!("{key}-{round}")).await;
            self.stop(leader).await;
            self.begin(leader, versions[0]).await;
            self.begin(third, versions[1]).await;
            self.wait_until_serving(leader).await;
            self.wait_until_serving(third).await;
            assert!(round < 10, "node {wanted} does not become the leader");
        }
    }

    /// Creates keys through these nodes in turn.
    pub async fn create(&self, nodes: &[usize], prefix: &str, count: usize) {
        let user = &self.admin();
        let created = (0..count).map(|number| async move {
            let (node, name) = (nodes[number % nodes.len()], format!("{prefix}-{number}"));
            user.create(node, &name).await.unwrap_or_else(|refusal| panic!("{name} on node {node}: {refusal:?}"));
        });
        futures::stream::iter(created).buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
    }

    /// Creates keys through these nodes until the leader has purged its log up to here. Returns the index of a snapshot
    /// that it made on the way.
    pub async fn create_until_purged(&self, leader: usize, nodes: &[usize], prefix: &str) -> u64 {
        let mut built = vec![self.snapshot_index(leader)];
        for round in 0..ROUNDS {
            self.create(nodes, &format!("{prefix}-{round}"), BETWEEN_SNAPSHOTS).await;
            built.push(self.snapshot_index(leader));
            built.dedup();
            // The leader purges after a snapshot, but not what it is just sending to a node that is away. So the second
            // purge is the first one to be sure of, and it comes before the third snapshot.
            if let [_, first, _, _] = built[..] {
                return first;
            }
        }
        panic!("node {leader} builds no snapshots: {built:?}");
    }

    /// The index of a node's newest snapshot, with which the name of the file begins.
    pub fn snapshot_index(&self, number: usize) -> u64 {
        let files = std::fs::read_dir(self.old.data(number).join("snapshots")).expect("the folder is there").flatten();
        let names = files.filter_map(|file| file.file_name().into_string().ok());
        let snapshots = names.filter_map(|name| name.strip_suffix(".snapshot")?.split('-').next()?.parse().ok());
        snapshots.max().unwrap_or(0)
    }

    /// Fails unless all nodes have the same state once they have applied the same entries, and nothing was damaged.
    pub async fn assert_equal_and_whole(&self) {
        status::assert_equal_digests(&self.old.data_folders()).await;
        let damaged = |log: &str| log.lines().find(|line| line.contains("damaged")).map(str::to_owned);
        assert_eq!(damaged(&new_log()), None, "a new node");
        for number in 0..3 {
            assert_eq!(damaged(&self.log(number)), None, "node {number}");
            let aside = self.old.data(number).join("keystore/damaged");
            assert!(!aside.exists(), "node {number} has set a keystore aside");
        }
    }

    /// The SHA-256 of each file in a node's data folder, by path. The socket and lock files are left out.
    pub fn files(&self, number: usize) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        list(&self.old.data(number), &mut files);
        assert!(files.len() > 4, "{files:#?}");
        files
    }
}

/// The time until which a command may take.
pub fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

fn list(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(folder).expect("the folder is readable").map(|entry| entry.expect("it is readable"))
    {
        let (path, kind) = (entry.path(), entry.file_type().expect("it is there"));
        if kind.is_dir() {
            list(&path, files);
        } else if kind.is_file() && !path.to_string_lossy().to_lowercase().contains("lock") {
            let bytes = std::fs::read(&path).expect("the file is readable");
            files.insert(path, hex::encode(Sha256::digest(bytes)));
        }
    }
}
