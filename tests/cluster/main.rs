//! Tests of clusters of real nodes in one process. Each file has one invariant.

mod access_writes;
mod at_rest;
mod audit;
mod authorisation;
mod cluster_file;
mod damaged;
mod deletion_window;
mod differing;
mod drain;
mod failover;
mod file_keys;
mod full_disk;
mod hostile;
mod in_doubt;
mod nothing_lost;
mod offline;
mod older_copy;
mod once;
mod one_winner;
mod partial_partition;
mod peer_keys;
mod read_your_writes;
mod refused_bodies;
mod revocation;
mod ring;
mod rules;
mod sealed;
mod silent_sockets;
mod snapshot_install;
mod streams;
#[expect(dead_code, reason = "this binary uses a part of what the tests share")]
#[path = "../support/mod.rs"]
mod support;
mod unopenable;
mod versions;
mod waiting;
mod wiped;

use keyraft::config::Config;
use support::api_key::ApiKey;
use support::cluster::TestCluster;
use support::settings::{ADMIN_KEY, node_count};

/// Nodes that serve, with the configuration of every test: three, or as many as `KEYRAFT_TEST_NODES` says.
///
/// This is for properties of a whole cluster, of its quorum, or of every node of it. [`three_nodes`] is for what one node
/// does with its files, its listener or its seal, which the number of the others does not change, and for properties of
/// exactly three nodes.
async fn nodes() -> TestCluster {
    nodes_with(|_| {}).await
}

/// The same, each with its configuration as `adjust` leaves it.
async fn nodes_with(adjust: impl Fn(&mut Config)) -> TestCluster {
    cluster(node_count(), adjust).await
}

/// Three nodes that serve, with the configuration of every test.
async fn three_nodes() -> TestCluster {
    cluster(3, |_| {}).await
}

/// Nodes that serve, each with its configuration as `adjust` leaves it.
async fn cluster(count: usize, adjust: impl Fn(&mut Config)) -> TestCluster {
    TestCluster::start(count, &ApiKey::parse(ADMIN_KEY), |config, _| adjust(config)).await
}
