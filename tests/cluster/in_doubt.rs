//! A node whose log lost entries neither votes nor leads until it has caught up with a leader. So nothing that the cluster
//! acknowledged is lost, and the node comes back by itself.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::three_nodes;
use super::waiting::wait_until_waiting_for;
use crate::support::cluster::TestCluster;

/// Takes the place of what a node that does not run holds under these names: older copies, from before it acknowledged more.
struct Older {
    names: [&'static str; 2],
    from: PathBuf,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_tail_elects_no_leader_that_lacks_acknowledged_writes() {
    elects_nobody_without_the_writes_that_were_lost(three_nodes().await, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_five_nodes_that_lost_their_tails_elect_no_leader_that_lacks_acknowledged_writes() {
    elects_nobody_without_the_writes_that_were_lost(super::cluster(5, |_| {}).await, 2).await;
}

/// One node acknowledges writes together with so many others, which lose them all again, while as many are behind.
async fn elects_nobody_without_the_writes_that_were_lost(mut cluster: TestCluster, losers: usize) {
    let user = cluster.admin();
    user.create_many("before", 5).await;
    let holder = cluster.leader().await;
    let others: Vec<_> = cluster.running().filter(|node| *node != holder).collect();
    let (short, behind) = others.split_at(losers);
    let mut older = Vec::new();
    for &node in short {
        cluster.stop(node).await;
        older.push((node, Older::of(&cluster, node)));
    }
    cluster.start_nodes(short).await;
    for &node in behind {
        cluster.stop(node).await;
    }
    let mut keys = Vec::new();
    for number in 0..10 {
        let name = format!("since-{number}");
        user.create_through(holder, &name).await;
        keys.push(user.generate(holder, &name).await.expect("the key is there"));
    }
    cluster.kill_all().await;
    older.iter().for_each(|(node, older)| older.put_back(&cluster, *node));
    cluster.begin_nodes(&others).await;
    for &node in short {
        wait_until_waiting_for(&cluster, node, &["the log of this node lost entries"]).await;
    }
    for &node in behind {
        let status = wait_until_waiting_for(&cluster, node, &["because their logs lost entries: node-"]).await;
        assert_eq!(status["leader"], Value::Null, "{status}");
    }
    // The others elect again with the node that has all acknowledged writes.
    cluster.start_nodes(&[holder]).await;
    for &node in &others {
        cluster.wait_until_serving(node).await;
        user.assert_decrypts(node, &keys).await;
    }
    cluster.assert_equal_digests().await;
    for &node in short {
        wait_until_it_waits_for_nothing(&cluster, node).await;
    }
    // By now the nodes that had lost their tails vote again.
    cluster.stop(holder).await;
    for &node in &behind[1..] {
        cluster.stop(node).await;
    }
    let left: Vec<_> = cluster.running().collect();
    cluster.leader_of(&left).await;
    user.create_through(short[0], "after").await;
    user.assert_decrypts(behind[0], &keys).await;
}

/// The leader goes on meanwhile, and remembers what the node acknowledged to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_log_is_damaged_or_lost_comes_back_under_the_same_leader() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let mut keys = user.create_many("before", 10).await;
    let losses: [fn(&TestCluster, usize); 2] =
        [break_chain, |cluster, node| fs::remove_dir_all(cluster.data(node).join("log")).expect("the folder is there")];
    for (number, lose) in losses.into_iter().enumerate() {
        let (leader, node) = (cluster.leader().await, cluster.follower().await);
        cluster.kill(node).await;
        // What it has applied elsewhere must not make up for the loss.
        for name in ["keystore", "snapshots"] {
            fs::remove_dir_all(cluster.data(node).join(name)).expect("the folder is there");
        }
        lose(&cluster, node);
        let name = format!("during-{number}");
        user.create_through(leader, &name).await;
        keys.push(user.generate(leader, &name).await.expect("the key is there"));
        cluster.start_nodes(&[node]).await;
        wait_until_it_waits_for_nothing(&cluster, node).await;
        user.assert_decrypts(node, &keys).await;
        cluster.assert_equal_digests().await;
        // It votes and leads again.
        let other = 3 - leader - node;
        cluster.stop(leader).await;
        cluster.leader_of(&[node, other]).await;
        user.create_through(node, &format!("after-{number}")).await;
        cluster.start_nodes(&[leader]).await;
    }
}

impl Older {
    fn of(cluster: &TestCluster, node: usize) -> Self {
        let older = Self { names: ["log", "keystore"], from: cluster.data(node).with_extension("older") };
        older.names.iter().for_each(|name| copy_all(&cluster.data(node).join(name), &older.from.join(name)));
        older
    }

    fn put_back(&self, cluster: &TestCluster, node: usize) {
        for name in self.names {
            fs::remove_dir_all(cluster.data(node).join(name)).expect("the folder is there");
            copy_all(&self.from.join(name), &cluster.data(node).join(name));
        }
    }
}

async fn wait_until_it_waits_for_nothing(cluster: &TestCluster, node: usize) {
    let waits = async || {
        let status = cluster.local_status(node).await.ok()?;
        (status["waiting_for"] == Value::Array(Vec::new())).then_some(())
    };
    cluster.wait_for(&format!("node {node} to wait for nothing"), waits).await;
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("the folder can be read");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("the entry is there").is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("the file can be copied");
        }
    }
}

/// Changes one bit in the middle of the last file of a log.
fn break_chain(cluster: &TestCluster, node: usize) {
    let files = fs::read_dir(cluster.data(node).join("log")).expect("the folder is there");
    let files = files.map(|file| file.expect("the folder can be read").path());
    let last = files.filter(|path| path.extension().is_some_and(|end| end == "wal")).max().expect("the log has files");
    let mut bytes = fs::read(&last).expect("the file can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(last, bytes).expect("the file can be written");
}
