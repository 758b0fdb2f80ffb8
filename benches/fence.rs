//! Measures what it costs to wait until every node has applied a deletion: the same deletions, with and without the fence.
//!
//! `cargo bench --bench fence` starts three nodes with consensus only, and prints the medians of the rounds.

#[expect(dead_code, unused_imports, reason = "this binary uses a part of what the tests share, and runs no tests")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use futures::StreamExt;
use keyraft::raft::Cluster;
use keyraft::state::EncodedCommand;
use support::consensus::{Consensus, create, delete};

const ROUNDS: usize = 7;
/// Deletions of each client in a round, and the fewest in a round.
const DELETIONS: usize = 10;
const AT_LEAST: usize = 100;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(measure());
}

async fn measure() {
    let consensus = Consensus::start().await;
    let leader = (0..3).find(|node| consensus.node(*node).leads()).expect("a node leads");
    println!("{:<9} {:>7} {:>16} {:>16} {:>6}", "through", "clients", "without, µs each", "fenced, µs each", "ratio");
    for (through, node) in [("leader", leader), ("follower", (leader + 1) % 3)] {
        for clients in [1, 64] {
            let mut taken = [Vec::new(), Vec::new()];
            for round in 0..2 * ROUNDS {
                let fenced = round % 2;
                taken[fenced].push(one_round(&consensus, node, clients, fenced == 1).await);
            }
            let [plain, fenced] = taken.map(median_us);
            println!("{through:<9} {clients:>7} {plain:>16.0} {fenced:>16.0} {:>6.2}", fenced / plain);
        }
    }
}

/// Creates keys, deletes them, and returns the time of a deletion.
async fn one_round(consensus: &Consensus, node: usize, clients: usize, fenced: bool) -> Duration {
    let count = AT_LEAST.max(clients * DELETIONS);
    let cluster = consensus.node(node);
    let (creations, deletions): (Vec<_>, Vec<_>) = (0..count)
        .map(|number| {
            let name = format!("key-{number}");
            let (created, creation) = create(cluster.seen_index(), &name);
            (created, delete(cluster.seen_index(), &name, creation))
        })
        .unzip();
    each(&creations, 64, cluster, false).await;
    let began = Instant::now();
    each(&deletions, clients, cluster, fenced).await;
    began.elapsed() / u32::try_from(count).expect("a few thousand")
}

async fn each(commands: &[EncodedCommand], clients: usize, cluster: &Cluster, fenced: bool) {
    let by = Instant::now() + Duration::from_secs(60);
    let written = futures::stream::iter(commands).map(async |command| {
        cluster.write(command, by).await.expect("a leader answers");
        if fenced {
            cluster.fence(by).await.expect("every node answers");
        }
    });
    written.buffer_unordered(clients).collect::<()>().await;
}

fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}
