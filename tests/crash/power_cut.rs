//! Acknowledged writes survive a power cut, and the nodes agree afterwards. The power cut is a file system that
//! suddenly takes no more writes.
//!
//! `scripts/power-cut` makes the file system and runs these tests. They need root and a folder that they may unmount.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::future::join_all;
use keyraft::crypto::RootKey;
use keyraft::kms;
use keyraft::policy::{KeyName, Rules};
use keyraft::state::{self, Change, CreationId, Current, Memory, Outcome, Remembered, RequestId};
use keyraft::store::{FoundKeystore, Keystore, LogId, OnLoss, Owner, Store, StoreId, StoreKeys};

use crate::support::consensus;
use crate::support::processes::Processes;
use crate::support::status;
use crate::support::user::User;

/// Variables with the mounted file system, its image, and the number of cuts.
const FOLDER: &str = "KEYRAFT_POWER_CUT_DIR";
const IMAGE: &str = "KEYRAFT_POWER_CUT_IMAGE";
const CUTS: &str = "KEYRAFT_POWER_CUTS";
/// The variable with the facts about the cluster of the store that is cut off, in hexadecimal.
const CLUSTER_FACTS: &str = "KEYRAFT_POWER_CUT_CLUSTER";
/// The variable that makes a process the one whose store is cut off.
const WRITER: &str = "KEYRAFT_POWER_CUT_WRITER";

const OWNER: Owner = Owner { store_id: StoreId([1; 16]), node_id: 1 };
const CLIENTS: usize = 24;
/// How many keys the store alone takes between two checkpoints: about 12 MiB, so that batches reach their full size.
const CHECKPOINT_EVERY: u64 = 12_000;
/// The settings of the nodes: durable checkpoints are rare, so that sled has much that is not durable.
const SETTINGS: [(&str, &str); 6] = [
    ("heartbeat:", "100ms"),
    ("election_min:", "400ms"),
    ("election_max:", "800ms"),
    ("log_bytes:", "2097152"),
    ("keep_entries:", "50"),
    ("checkpoint_every:", "2s"),
];

/// The file system that loses its power.
struct Disk {
    folder: PathBuf,
    image: PathBuf,
}

impl Disk {
    fn named() -> Self {
        let path =
            |name| PathBuf::from(std::env::var_os(name).unwrap_or_else(|| panic!("scripts/power-cut sets {name}")));
        Self { folder: path(FOLDER), image: path(IMAGE) }
    }

    /// From now on no write reaches the disk, not even those in the file system's own log.
    fn cut(&self) {
        run("xfs_io", &["-x", "-c", "shutdown", &text(&self.folder)]);
    }

    /// Mounts the disk as the next start of the machine finds it.
    fn back(&self) {
        run("umount", &[&text(&self.folder)]);
        run("mount", &["-o", "loop", &text(&self.image), &text(&self.folder)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "scripts/power-cut runs it"]
async fn no_acknowledged_key_is_lost_to_a_power_cut() {
    let (disk, cuts) = (Disk::named(), cuts());
    let mut processes = Processes::start_in(&disk.folder, &SETTINGS).await;
    let user = processes.admin();
    let mut acknowledged: Vec<String> = Vec::new();
    let (mut lost, mut rebuilt) = (0, 0);
    for cut in 0..cuts {
        let over = Arc::new(AtomicBool::new(false));
        let clients = (0..CLIENTS).map(|client| {
            let (user, over) = (user.clone(), Arc::clone(&over));
            tokio::spawn(async move { creates(&user, cut, client, &over).await })
        });
        let clients: Vec<_> = clients.collect();
        tokio::time::sleep(Duration::from_millis(rand::random_range(500..5_000))).await;
        disk.cut();
        over.store(true, Ordering::Relaxed);
        let created: Vec<_> = join_all(clients).await.into_iter().flat_map(|keys| keys.expect("no panic")).collect();
        for node in 0..3 {
            processes.end(node);
        }
        disk.back();
        processes.start_all().await;
        status::assert_equal_digests(&processes.data_folders()).await;
        acknowledged.extend(created.iter().cloned());
        let sample = if cut + 1 == cuts { &acknowledged } else { &created };
        let missing = missing(&user, sample).await;
        lost += missing.len();
        let damaged = (0..3).filter(|node| processes.log(*node).contains("the keystore was damaged")).count();
        rebuilt = rebuilt.max(damaged);
        println!("cut {cut}: {} acknowledged, {} looked for, missing: {missing:?}", created.len(), sample.len());
    }
    println!("{cuts} cuts, {} acknowledged keys, {lost} lost, {rebuilt} nodes rebuilt a keystore", acknowledged.len());
    assert_eq!(lost, 0);
}

#[test]
#[ignore = "scripts/power-cut runs it"]
fn a_store_notices_that_it_lost_durable_writes() {
    let (disk, cuts) = (Disk::named(), cuts());
    let dir = disk.folder.join("store");
    let (mut torn, mut durable) = (0, 0);
    for cut in 0..cuts {
        let mut writer = Writer::start(&dir);
        let made = writer.until(cut % 4, Duration::from_millis(rand::random_range(0..2_500)), || disk.cut());
        disk.back();
        // A node that was cut off before its store was made makes it at its next start.
        let store = match made {
            Some(_) => Store::open(&dir, OWNER, &keys(), OnLoss::Refuse),
            None => Store::create(&dir, OWNER, &keys()),
        };
        let (store, durable_to) = (store.expect("the folder can be used"), made.unwrap_or(0));
        match store.keystore {
            FoundKeystore::Whole(keystore) => {
                let applied = keystore.last_applied().map_or(0, |id| id.index);
                assert!(applied >= durable_to, "cut {cut}: {durable_to} was durable, {applied} is there");
                assert_holds_the_first(&keystore, applied);
                println!("cut {cut}: durable to {durable_to}, found {applied}");
            }
            FoundKeystore::Rebuilt { damage, .. } | FoundKeystore::NeedsPeer { damage } => {
                // A snapshot and the log have everything and rebuild it. The store only has to notice the damage.
                println!("cut {cut}: durable to {durable_to}, but {damage}");
                torn += 1;
            }
        }
        durable += u64::from(durable_to > 0);
        store.log.close();
        std::fs::remove_dir_all(&dir).expect("the folder is ours");
    }
    println!("{cuts} cuts of a store, {durable} of them after a checkpoint; {torn} were damaged and noticed");
}

/// The process whose store is cut off, and not a test. It fills batches of up to 8 MiB, and prints the durable index.
#[test]
#[ignore = "a part of another"]
fn writes_until_cut_off() {
    let Some(dir) = std::env::var_os(WRITER) else { return };
    let store = Store::create(Path::new(&dir), OWNER, &keys()).expect("the folder can be made");
    let FoundKeystore::Whole(mut keystore) = store.keystore else { panic!("a new store is whole") };
    println!("durable 0");
    let checkpoint = keystore.checkpoint();
    std::thread::spawn(move || {
        loop {
            std::thread::park_timeout(Duration::from_millis(700));
            checkpoint.write().expect("cut off");
        }
    });
    let checkpoint = keystore.checkpoint();
    for index in 1.. {
        apply(&mut keystore, index);
        let due = index % CHECKPOINT_EVERY == 0;
        if due || index % 512 == 0 {
            keystore.commit();
        }
        if due {
            checkpoint.run().expect("cut off");
            assert!(!checkpoint.is_memory_only(), "cut off");
            println!("durable {index}");
        }
    }
}

struct Writer {
    process: Child,
    lines: std::sync::mpsc::Receiver<u64>,
}

impl Writer {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a test has a program"));
        command.args(["power_cut::writes_until_cut_off", "--exact", "--ignored", "--nocapture"]).env(WRITER, dir);
        command.env(CLUSTER_FACTS, hex::encode(cluster().into_stored().bytes));
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, lines) = std::sync::mpsc::sync_channel(1024);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(index) = line.split("durable ").nth(1).and_then(|index| index.trim().parse().ok()) {
                    let _ = sender.send(index);
                }
            }
        });
        Self { process, lines }
    }

    /// Lets the process reach this many checkpoints and then write for this long. Then cuts it off and ends it. Returns the
    /// last index that it had called durable, 0 for a new store, or `None` if it had not made the store yet.
    fn until(&mut self, checkpoints: usize, time: Duration, cut: impl FnOnce()) -> Option<u64> {
        let reached = if checkpoints > 0 { self.lines.iter().take(checkpoints + 1).last() } else { None };
        std::thread::park_timeout(time);
        let durable_to = self.lines.try_iter().last().or(reached);
        cut();
        let _ = self.process.kill();
        let _ = self.process.wait();
        durable_to
    }
}

/// Applies the command at this index. The first one makes a cluster, and every other one a key of the largest size.
fn apply(keystore: &mut Keystore, index: u64) {
    let mut request_id = [0; 16];
    request_id[..8].copy_from_slice(&index.to_be_bytes());
    let change = match index {
        1 => Change::SetCluster(cluster().into_stored()),
        _ => Change::PutKey {
            name: format!("key-{index}"),
            version: 1,
            record: consensus::record(CreationId(request_id), 900).encode().into(),
            revokes: false,
        },
    };
    keystore.change(index, vec![change]);
    keystore.remember(Remembered { request_id: RequestId(request_id), index, outcome: Outcome::Done.into() });
    keystore.advance(LogId { term: 1, node: 1, index });
}

/// The root key of the cluster whose store is cut off, the same in every process.
fn root_key() -> RootKey {
    BASE64_STANDARD.encode([7; 32]).parse().expect("32 bytes in base64")
}

/// The facts about the cluster, which a parent hands to the process that writes.
fn cluster() -> state::ClusterState {
    static CLUSTER: OnceLock<state::ClusterState> = OnceLock::new();
    let of_variable =
        |text: String| state::ClusterState::decode(&hex::decode(text).expect("hexadecimal")).expect("facts");
    CLUSTER.get_or_init(|| std::env::var(CLUSTER_FACTS).map_or_else(|_| new_cluster(), of_variable)).clone()
}

fn new_cluster() -> state::ClusterState {
    let command = kms::first_command(state::HIGHEST_LEVEL, &root_key(), &kms::FilePolicies::new(), None);
    let (rules, memory) = (Rules::default(), Memory::default());
    let empty = Current {
        cluster: None,
        rules: &rules,
        record: &|_, _| None,
        memory: &memory,
        members: &Vec::new,
        records_under: &|_| 0,
    };
    let (_, changes) = state::apply(&command, empty);
    let Some(Change::SetCluster(cluster)) = changes.into_iter().next() else {
        panic!("the first command makes a cluster")
    };
    cluster.value
}

fn keys() -> StoreKeys {
    let state::ClusterState { id, incarnation, .. } = cluster();
    let integrity = kms::open_cluster(&cluster(), &root_key()).expect("its root key opens it").integrity;
    StoreKeys { cluster: id, incarnation, integrity }
}

fn assert_holds_the_first(keystore: &Keystore, applied: u64) {
    // Opening it has checked count and digest.
    assert_eq!(keystore.view().key_count(), applied.saturating_sub(1));
    let last = format!("key-{applied}");
    assert!(applied < 2 || keystore.view().newest(KeyName::parse(&last).expect("a name")).is_some());
}

/// Creates keys until `over` is set. Returns the acknowledged ones.
async fn creates(user: &User, cut: usize, client: usize, over: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let name = format!("cut-{cut}-{client}-{number}");
        let created = tokio::time::timeout(Duration::from_secs(2), user.create(number % 3, &name)).await;
        if over.load(Ordering::Relaxed) {
            acknowledged.extend(matches!(created, Ok(Ok(()))).then_some(name));
            break;
        }
        if matches!(created, Ok(Ok(()))) {
            acknowledged.push(name);
        }
    }
    acknowledged
}

async fn missing(user: &User, names: &[String]) -> Vec<String> {
    use futures::StreamExt;
    let looked = futures::stream::iter(names).map(async |name| {
        let node = name.len() % 3;
        let found = user.ask(node, "GET", &format!("/v1/key/describe/{name}"), None).await;
        found.err().map(|refusal| format!("{name}: {refusal:?}"))
    });
    looked.buffered(32).filter_map(std::future::ready).collect().await
}

fn cuts() -> usize {
    std::env::var(CUTS).ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(15)
}

fn run(program: &str, arguments: &[&str]) {
    let ran = Command::new(program).args(arguments).status();
    assert!(ran.as_ref().is_ok_and(std::process::ExitStatus::success), "{program} {arguments:?}: {ran:?}");
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
