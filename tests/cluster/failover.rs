//! When the leader dies, the other nodes take writes again, and no decryption fails for a client that tries another
//! node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::three_nodes;
use crate::support::user::{DataKey, User};

const DEATHS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn writes_resume_and_no_decryption_fails_when_leaders_die() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let mut keys = user.create_many("before", 12).await;
    let over = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn(keep_decrypting(user.clone(), keys.clone(), Arc::clone(&over)));
    for death in 0..DEATHS {
        let leader = cluster.leader().await;
        cluster.kill(leader).await;
        let name = format!("after-death-{death}");
        user.create_somewhere(leader, &name).await;
        let survivor = cluster.leader().await;
        assert_ne!(survivor, leader);
        keys.push(user.generate(survivor, &name).await.expect("the key is there"));
        cluster.start_nodes(&[leader]).await;
        user.assert_decrypts(leader, &keys).await;
    }
    over.store(true, Ordering::Relaxed);
    assert!(reading.await.expect("no decryption fails") > 0);
    cluster.assert_equal_digests().await;
}

/// Decrypts until `over` is set. Returns how often.
async fn keep_decrypting(user: User, keys: Vec<DataKey>, over: Arc<AtomicBool>) -> usize {
    let mut done = 0;
    while !over.load(Ordering::Relaxed) {
        user.decrypt_somewhere(done % 3, &keys[done % keys.len()]).await;
        done += 1;
    }
    done
}
