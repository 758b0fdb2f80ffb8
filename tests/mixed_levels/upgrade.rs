//! A cluster whose nodes are replaced by newer ones, one after the other, and whose level then rises.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::join_all;
use keyraft::policy::Actor;
use keyraft::raft::RaiseLevelError;
use keyraft::state::{Command, EncodedCommand, Operation, Outcome, RequestId, note};
use tokio::task::JoinHandle;

use super::cluster::Version::{New, Old};
use super::cluster::{MixedCluster, deadline};
use super::new_log::new_log;
use super::support::user::User;

/// How many clients write at the same time.
const WRITERS: usize = 6;
/// How many keys they create before and after the level rises, at least.
const KEYS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn the_level_rises_while_clients_write_once_every_node_is_new() {
    let mut cluster = MixedCluster::start([Old, Old, Old]).await;
    let user = cluster.admin();
    let mut keys = user.create_many("old", 12).await;
    for node in 0..3 {
        cluster.stop(node).await;
        cluster.start_node(node, New).await;
        let first = cluster.handle(0);
        assert_eq!(first.view().level(), Some(1));
        if node < 2 {
            first.raise_level(deadline()).await.expect_err("an old node is left");
        }
        user.assert_decrypts(node, &keys).await;
    }
    let writers = Writers::start(&user);
    writers.wait_for(KEYS).await;
    for node in 0..3 {
        let heard = async || cluster.handle(node).highest_level_of_all().is_ok_and(|level| level == 2).then_some(());
        cluster.wait_for("every node to say that it reads level 2", heard).await;
    }
    // Any node may ask.
    let asked = (cluster.leader().await + 1) % 3;
    assert_eq!(cluster.handle(asked).raise_level(deadline()).await, Ok(2));
    writers.wait_for(writers.done() + KEYS).await;
    let names = writers.stop().await;
    for name in &names {
        keys.push(user.generate(names.len() % 3, name).await.expect("a key that was created exists"));
    }
    for node in 0..3 {
        cluster.wait_for("the level", async || (cluster.handle(node).view().level() == Some(2)).then_some(())).await;
        user.assert_decrypts(node, &keys).await;
    }
    let rises = new_log().lines().filter(|line| line.ends_with("raised its feature level from=1 to=2")).count();
    assert!(rises >= 3, "each node logs it: {rises}");
    let again = cluster.handle(asked).raise_level(deadline()).await;
    assert_eq!(again, Err(RaiseLevelError::OwnVersion { active: 2 }));
    cluster.assert_equal_and_whole().await;
    a_command_of_the_level_before_is_not_decided(&cluster).await;
    notes_have_their_outcome_on_every_node(&cluster).await;
    cluster.stop(0).await;
    an_old_binary_leaves_the_folder_as_it_is(&mut cluster, 0).await;
    cluster.kill(1).await;
    an_old_binary_leaves_the_folder_as_it_is(&mut cluster, 1).await;
    for node in 0..3 {
        user.assert_decrypts(node, &keys).await;
    }
    cluster.assert_equal_and_whole().await;
}

async fn a_command_of_the_level_before_is_not_decided(cluster: &MixedCluster) {
    for node in 0..3 {
        let node = cluster.handle(node);
        let late = raise(1, node.seen_index());
        let outcome = node.write(&late, deadline()).await.expect("it has an outcome");
        assert_eq!(outcome, Outcome::LevelNotActive);
    }
}

async fn notes_have_their_outcome_on_every_node(cluster: &MixedCluster) {
    for sender in 0..3 {
        let text = [b'n', b'0' + u8::try_from(sender).expect("small")];
        let note = note(RequestId(rand::random()), cluster.handle(sender).seen_index(), &text);
        // Sent again through the other nodes, it has the outcome that they remember.
        for node in (sender..3).chain(0..sender) {
            let outcome = cluster.handle(node).write(&note, deadline()).await.expect("it is decided");
            assert_eq!((outcome.known(), &outcome.detail()[..]), (Ok(Outcome::Noted), &text[..]), "node {node}");
        }
    }
    cluster.assert_equal_and_whole().await;
}

/// Starts the old version on the folder of a node of a cluster at level 2, several times, and then the new one again.
async fn an_old_binary_leaves_the_folder_as_it_is(cluster: &mut MixedCluster, node: usize) {
    let before = cluster.files(node);
    for attempt in 0..3 {
        let logged = cluster.log(node).len();
        cluster.begin(node, Old).await;
        let status = cluster.ended(node).await;
        assert_eq!(status.code(), Some(2), "attempt {attempt}: {status}");
        let log = cluster.log(node)[logged..].to_owned();
        let says =
            "cluster.id needs a version of Keyraft that reads level 2; this one reads level 1: run a newer version";
        assert!(log.trim_end().ends_with(says), "attempt {attempt}: {log}");
        assert_eq!(cluster.files(node), before, "attempt {attempt}: {log}");
    }
    cluster.admin().create_somewhere(2, &format!("while-{node}-failed")).await;
    cluster.start_node(node, New).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_new_nodes_begins_at_their_level() {
    let cluster = MixedCluster::start([New, New, New]).await;
    assert_eq!(cluster.handle(0).view().level(), Some(2));
    let keys = cluster.admin().create_many("new", 9).await;
    cluster.admin().assert_decrypts(1, &keys).await;
    cluster.assert_equal_and_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_node_ends_before_it_appends_what_it_cannot_read() {
    let mut cluster = MixedCluster::start([Old, New, New]).await;
    let user = cluster.admin();
    let keys = user.create_many("old", 12).await;
    cluster.make_lead(1, "led").await;
    // Only a mistake in a later version could propose this while an old node is a member.
    let node = cluster.handle(1);
    let forced = raise(2, node.seen_index());
    assert_eq!(node.write(&forced, deadline()).await.expect("two of three are enough"), Outcome::Done);
    let status = cluster.ended(0).await;
    assert_eq!(status.code(), Some(2), "{status}");
    let log = cluster.log(0);
    assert!(log.contains("a log entry has feature level 2, but this version knows only levels up to 1"), "{log}");
    cluster.create(&[1, 2], "without", 9).await;
    // It appended nothing of level 2, so its own folder does not keep the old version from starting. The others refuse it.
    let logged = cluster.log(0).len();
    cluster.begin(0, Old).await;
    cluster.wait_for("a refusal", async || cluster.log(0)[logged..].contains("level 2").then_some(())).await;
    let purged = cluster.create_until_purged(1, &[1, 2], "beside").await;
    cluster.kill(0).await;
    cluster.start_node(0, New).await;
    assert!(cluster.snapshot_index(0) > purged, "a snapshot raises its level");
    assert_eq!(cluster.handle(0).view().level(), Some(2));
    for node in 0..3 {
        user.assert_decrypts(node, &keys).await;
    }
    cluster.assert_equal_and_whole().await;
}

/// A command of this level that raises the level to 2.
fn raise(level: u32, seen_index: u64) -> EncodedCommand {
    let operation = Operation::RaiseLevel { to: 2 };
    let command = Command { time_ns: 0, actor: Actor::Node, action: None, file_names_admin: false, operation };
    command.encode(level, RequestId(rand::random()), seen_index)
}

/// Clients that create one key after the other, each through another node.
struct Writers {
    stopped: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

impl Writers {
    fn start(user: &User) -> Self {
        let (stopped, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let write = |writer: usize| {
            let (user, stopped, done) = (user.clone(), Arc::clone(&stopped), Arc::clone(&done));
            tokio::spawn(async move {
                let mut names = Vec::new();
                while !stopped.load(Ordering::Relaxed) {
                    let name = format!("writer-{writer}-{}", names.len());
                    let created = user.create((writer + names.len()) % 3, &name).await;
                    created.unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
                    names.push(name);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                names
            })
        };
        let tasks = (0..WRITERS).map(write).collect();
        Self { stopped, done, tasks }
    }

    /// How many keys they have created.
    fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until they have created this many keys.
    async fn wait_for(&self, keys: usize) {
        let reached = async || (self.done() >= keys).then_some(());
        super::support::status::wait_for("the writers", &[], reached).await;
    }

    /// Stops them. Returns the names of the keys that they created.
    ///
    /// # Panics
    /// A key was not created.
    async fn stop(self) -> Vec<String> {
        self.stopped.store(true, Ordering::Relaxed);
        let names = join_all(self.tasks).await;
        names.into_iter().flat_map(|names| names.expect("every create has succeeded")).collect()
    }
}
