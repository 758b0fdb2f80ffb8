//! What somebody can do who holds a part of a node but not its seal: tests with processes of the built binary. Each file
//! is about one thing that can be held (docs/security.md).

#![expect(dead_code, reason = "this binary uses a part of what the tests share, and of the generated messages")]

mod cold_starts;
mod data_folder;
mod forged_cluster_id;
mod forged_keystore;
mod forged_log;
mod forged_record;
mod founded;
mod healthy_starts;
mod old_connection;
mod other_cluster;
mod outsider;
mod peer_connection;
mod peer_preface;
mod put_back;
mod sealed;
mod slots;
mod stolen_folder;
mod stolen_tls_key;
#[path = "../support/mod.rs"]
mod support;
mod thief_traffic;
mod wire;

use support::processes::Processes;
use support::user::DataKey;

/// The exit code of a node that somebody must look at before it starts again (docs/command-line.md, "Exit codes").
const LASTING: i32 = 2;

/// Three nodes that serve, and data keys that the tests try to open later.
async fn three_nodes() -> (Processes, Vec<DataKey>) {
    let processes = Processes::start().await;
    let keys = processes.admin().create_many("key", 12).await;
    (processes, keys)
}

/// Fails unless these nodes open all data keys and create a key each.
async fn assert_serve(processes: &Processes, nodes: &[usize], keys: &[DataKey], prefix: &str) {
    let user = processes.admin();
    for &node in nodes {
        user.assert_decrypts(node, keys).await;
        user.create_through(node, &format!("{prefix}-{node}")).await;
    }
}
