//! When the leader dies, the other nodes take writes again, and no decryption fails for a client that tries another
//! node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::nodes;
use crate::support::user::{DataKey, User};

const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn writes_resume_and_no_decryption_fails_when_leaders_die() {
    let mut cluster = nodes().await;
    let user = cluster.admin();
    let mut keys = user.create_many("before", 12).await;
    let over = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn(keep_decrypting(user.clone(), cluster.all().len(), keys.clone(), Arc::clone(&over)));
    for round in 0..ROUNDS {
        let mut dead = Vec::new();
        // As many as a quorum can spare, one after the other.
        while cluster.running().count() > cluster.quorum() {
            let leader = cluster.leader().await;
            cluster.kill(leader).await;
            dead.push(leader);
            let name = format!("after-death-{round}-{}", dead.len());
            user.create_somewhere(leader, &name).await;
            let survivor = cluster.leader().await;
            assert_ne!(survivor, leader);
            keys.push(user.generate(survivor, &name).await.expect("the key is there"));
        }
        cluster.start_nodes(&dead).await;
        for node in dead {
            user.assert_decrypts(node, &keys).await;
        }
    }
    over.store(true, Ordering::Relaxed);
    assert!(reading.await.expect("no decryption fails") > 0);
    cluster.assert_equal_digests().await;
}

/// Decrypts until `over` is set. Returns how often.
async fn keep_decrypting(user: User, nodes: usize, keys: Vec<DataKey>, over: Arc<AtomicBool>) -> usize {
    let mut done = 0;
    while !over.load(Ordering::Relaxed) {
        user.decrypt_somewhere(done % nodes, &keys[done % keys.len()]).await;
        done += 1;
    }
    done
}
