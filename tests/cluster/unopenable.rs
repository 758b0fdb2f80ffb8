//! A node compares a record that does not open with a peer's. If the records differ, the node rebuilds its keystore and
//! never serves the record. If they are the same everywhere, only that key is lost.

use std::fs;
use std::path::Path;
use std::time::Duration;

use keyraft::state::Digest;
use serde_json::json;

use super::three_nodes;
use crate::support::cluster::TestCluster;
use crate::support::user::{Refusal, User};

/// The settings with which the folder was made. sled refuses others.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
/// How often the test tries to open a folder that is still in use, every [`PAUSE`].
const ATTEMPTS: usize = 200;
const PAUSE: Duration = Duration::from_millis(20);
/// The key under which a keystore has its applied position and its digest.
const APPLIED: &[u8] = b"@";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_record_differs_from_its_peers_rebuilds() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("key", 10).await;
    let node = cluster.follower().await;
    alter(&mut cluster, &[node], "key-3").await;
    user.assert_decrypts(node, &keys[..3]).await;
    let refusal = user.decrypt(node, &keys[3]).await.expect_err("another record is never served");
    assert!(refusal.moves_on(), "a client asks the next node: {refusal:?}");
    let ended = cluster.ended(node).await.to_string();
    assert!(ended.contains("key-3") && ended.contains("the next start rebuilds the keystore"), "{ended}");
    cluster.start_nodes(&[node]).await;
    user.assert_decrypts(node, &keys).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_opens_nowhere_affects_only_its_key() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("key", 10).await;
    alter(&mut cluster, &[0, 1, 2], "key-3").await;
    let rest: Vec<_> = keys.iter().filter(|key| key.name != "key-3").cloned().collect();
    for node in 0..3 {
        for refusal in futures::future::join_all((0..8).map(|_| refusal(&user, node))).await {
            assert!(refusal.is(409, "key cannot be opened"), "{refusal:?}");
        }
        user.assert_decrypts(node, &rest).await;
    }
    // A client may still delete the key.
    user.delete(0, "key-3").await.expect("a key that does not open can be deleted");
    user.create(1, "key-3").await.expect("and made again");
    user.generate(2, "key-3").await.expect("and used");
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_waits_until_a_peer_can_compare_its_record() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let keys = user.create_many("key", 4).await;
    let node = cluster.follower().await;
    alter(&mut cluster, &[node], "key-3").await;
    let others: Vec<_> = (0..3).filter(|other| *other != node).collect();
    for &other in &others {
        cluster.kill(other).await;
    }
    let refusal = user.decrypt(node, &keys[3]).await.expect_err("a record that does not open is never served");
    assert!(refusal.is(409, "key cannot be opened"), "{refusal:?}");
    user.assert_decrypts(node, &keys[..3]).await;
    cluster.start_nodes(&others).await;
    cluster
        .wait_for("the node to notice", async || {
            let refusal = user.decrypt(node, &keys[3]).await.expect_err("a record that does not open is never served");
            refusal.moves_on().then_some(())
        })
        .await;
    cluster.ended(node).await;
}

async fn refusal(user: &User, node: usize) -> Refusal {
    let asked = user.ask(node, "PUT", "/v1/key/generate/key-3", Some(&json!({}))).await;
    asked.expect_err("a record that does not open is never served")
}

/// Stops nodes, changes the same bit of a key's record on each, and starts them again. Count and digest agree with the
/// changed record, as after a fault of memory before they were computed.
async fn alter(cluster: &mut TestCluster, nodes: &[usize], name: &str) {
    for &node in nodes {
        cluster.stop(node).await;
        alter_keystore(&cluster.data(node).join("keystore"), name);
    }
    cluster.start_nodes(nodes).await;
}

fn alter_keystore(keystore: &Path, name: &str) {
    let folder = keystore.join(fs::read_to_string(keystore.join("CURRENT")).expect("a keystore names its folder"));
    let config = sled::Config::new().path(&folder).segment_size(SEGMENT_BYTES).flush_every_ms(None);
    let db = opened(&config);
    let key = [b"k", name.as_bytes(), &[0, 0, 0, 0, 1]].concat();
    let record = db.get(&key).expect("it can be read").expect("the key is there").to_vec();
    let mut altered = record.clone();
    *altered.last_mut().expect("a record has bytes") ^= 1;
    let applied = db.get(APPLIED).expect("it can be read").expect("it says how far it is");
    db.insert(APPLIED, with_digest_of(&applied, &key, &record, &altered)).expect("it can be written");
    db.insert(key, altered).expect("it can be written");
    db.flush().expect("it can be written");
}

/// sled closes its folder with its last handle, and a request of this process that ends late may still have one.
fn opened(config: &sled::Config) -> sled::Db {
    for _ in 0..ATTEMPTS {
        if let Ok(db) = config.open() {
            return db;
        }
        std::thread::park_timeout(PAUSE);
    }
    config.open().expect("the node has let go of it")
}

/// The applied position with the digest for the changed record, in its field 3, of 32 bytes.
fn with_digest_of(applied: &[u8], key: &[u8], record: &[u8], altered: &[u8]) -> Vec<u8> {
    const FIELD: [u8; 2] = [3 << 3 | 2, 32];
    let at = applied.windows(2).position(|bytes| bytes == FIELD).expect("the digest is there") + FIELD.len();
    let mut digest = Digest::from_bytes(applied[at..at + 32].try_into().expect("32 bytes"));
    digest.remove(key, record);
    digest.add(key, altered);
    [&applied[..at], &digest.to_bytes(), &applied[at + 32..]].concat()
}
