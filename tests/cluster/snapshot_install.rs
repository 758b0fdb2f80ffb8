//! A follower that was down while the log was purged catches up from a snapshot and loses nothing.

use std::time::Duration;

use keyraft::config::{Config, SnapshotConfig};

use super::nodes_with;
use crate::support::cluster::TestCluster;

/// How many keys the test creates: enough for about three snapshots under [`snapshots_early`].
const KEYS: usize = 640;
const AT_A_TIME: usize = 16;
/// A node has a snapshot beyond this index by then.
const COVERED: u64 = 300;

/// Snapshots as often as a configuration may ask for. A node keeps no entries before a snapshot.
pub fn snapshots_early(config: &mut Config) {
    config.cluster.snapshot = SnapshotConfig {
        log_bytes: 64 * 1024,
        keep_entries: 0,
        checkpoint_every: Duration::from_millis(200),
        ..SnapshotConfig::default()
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_away_too_long_installs_a_snapshot() {
    let mut cluster = nodes_with(snapshots_early).await;
    let user = cluster.admin();
    let mut keys = user.create_many("before", 10).await;
    let away = cluster.follower().await;
    let others = cluster.others(away);
    cluster.kill(away).await;
    for first in (0..KEYS).step_by(AT_A_TIME) {
        let name = |number: usize| format!("meanwhile-{number}");
        let creates = (first..first + AT_A_TIME).map(|number| {
            let (user, node, name) = (&user, others[number % others.len()], name(number));
            async move { user.create(node, &name).await }
        });
        for created in futures::future::join_all(creates).await {
            created.expect("the others are enough");
        }
        keys.push(user.generate(others[0], &name(first)).await.expect("the key is there"));
    }
    user.delete(others[0], "before-0").await.expect("the key is there");
    keys.retain(|key| key.name != "before-0");
    for other in others {
        wait_for_a_snapshot_beyond(&cluster, other, COVERED).await;
    }
    cluster.start_nodes(&[away]).await;
    assert!(snapshot_index(&cluster, away) > COVERED, "the node got what it missed as a snapshot");
    user.assert_decrypts(away, &keys).await;
    let gone = user.ask(away, "GET", "/v1/key/describe/before-0", None).await.expect_err("the key was deleted");
    assert!(gone.is(404, "key does not exist"), "{gone:?}");
    cluster.assert_equal_digests().await;
    // The node has the snapshot on its own disk, too, and can serve when it is the one that is left.
    cluster.kill_all().await;
    cluster.start_all().await;
    keys.extend(user.create_many("after", 9).await);
    user.assert_decrypts(away, &keys).await;
    cluster.assert_equal_digests().await;
}

async fn wait_for_a_snapshot_beyond(cluster: &TestCluster, node: usize, index: u64) {
    let what = format!("a snapshot of node {node}");
    cluster.wait_for(&what, async || (snapshot_index(cluster, node) > index).then_some(())).await;
}

/// The index of a node's newest snapshot, with which the name of the file begins.
fn snapshot_index(cluster: &TestCluster, node: usize) -> u64 {
    let files = std::fs::read_dir(cluster.data(node).join("snapshots")).expect("the folder is there").flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    let snapshots = names.filter_map(|name| name.strip_suffix(".snapshot")?.split('-').next()?.parse().ok());
    snapshots.max().unwrap_or(0)
}
