//! Acknowledged writes survive kill -9 of one or all nodes, again and again, in the middle of their work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;

use crate::support::processes::Processes;
use crate::support::status;
use crate::support::user::{DataKey, User};

const ROUNDS: usize = 10;
/// In one of this many rounds the test kills all nodes.
const POWER_CUT_EVERY: usize = 3;
const WRITERS: usize = 4;
/// The longest time before a round kills nodes, and before it starts them again.
const MILLIS: u64 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_to_kill_9() {
    let mut processes = Processes::start().await;
    let user = processes.admin();
    let over = Arc::new(AtomicBool::new(false));
    let writers = (0..WRITERS).map(|writer| tokio::spawn(keep_creating(user.clone(), writer, Arc::clone(&over))));
    let writers: Vec<_> = writers.collect();
    for round in 0..ROUNDS {
        some_time().await;
        let victims = if round % POWER_CUT_EVERY == 1 { vec![0, 1, 2] } else { vec![rand::random_range(0..3)] };
        for victim in victims {
            processes.kill(victim);
        }
        some_time().await;
        processes.start_all().await;
    }
    over.store(true, Ordering::Relaxed);
    let created: Vec<_> = join_all(writers).await.into_iter().flat_map(|keys| keys.expect("no write fails")).collect();
    assert!(created.len() > ROUNDS, "only {} keys were created", created.len());
    for (node, data) in processes.data_folders().iter().enumerate() {
        status::wait_for_state(data, "serving").await;
        user.assert_decrypts(node, &created).await;
    }
    status::assert_equal_digests(&processes.data_folders()).await;
}

/// Creates keys, each with a data key, until `over` is set.
async fn keep_creating(user: User, writer: usize, over: Arc<AtomicBool>) -> Vec<DataKey> {
    let mut created = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let (node, name) = (created.len() % 3, format!("key-{writer}-{}", created.len()));
        user.create_somewhere(node, &name).await;
        created.push(user.generate_somewhere((node + 1) % 3, &name).await);
    }
    created
}

async fn some_time() {
    tokio::time::sleep(Duration::from_millis(rand::random_range(0..MILLIS))).await;
}
