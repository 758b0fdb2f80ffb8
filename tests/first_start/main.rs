//! The first start of a cluster, with a crash at each of its steps. Needs a build with the feature `failpoints`, whose binary
//! ends at the points that `FAILPOINTS` names.

mod crash;
mod lost;
#[expect(dead_code, reason = "this binary uses a part of what the tests share")]
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use keyraft::failpoint::Failpoint;
use keyraft::store::ClusterFile;
use support::processes::Processes;
use support::status;

/// All points, in the order of a first start.
const POINTS: [Failpoint; 13] = [
    Failpoint::FolderNoted,
    Failpoint::Founding,
    Failpoint::DocumentReceived,
    Failpoint::DocumentNoted,
    Failpoint::StoreMade,
    Failpoint::StoreNoted,
    Failpoint::DocumentHandedOver,
    Failpoint::AllNoted,
    Failpoint::BegunNoted,
    Failpoint::FirstEntryWritten,
    Failpoint::FirstCommandProposed,
    Failpoint::FirstCommandApplied,
    Failpoint::DocumentDropped,
];

/// Points that every node comes to, and maybe only after it serves.
const LATE: [Failpoint; 2] = [Failpoint::FirstCommandApplied, Failpoint::DocumentDropped];

/// Starts three new nodes, of which these crash at a point. Returns once one of them has, or all three serve because none of
/// them comes to that point. Says which have crashed.
async fn start_crashing(crashing: &[usize], point: Failpoint) -> (Processes, Vec<usize>) {
    let mut processes = Processes::prepare();
    for number in 0..3 {
        if crashing.contains(&number) {
            processes.begin_with_variable(number, "FAILPOINTS", &format!("{}=return", point.name()));
        } else {
            processes.begin(number);
        }
    }
    loop {
        let crashed: Vec<_> = crashing.iter().copied().filter(|number| processes.has_ended(*number)).collect();
        if !crashed.is_empty() || (!LATE.contains(&point) && serving(&processes).await.len() == 3) {
            return (processes, crashed);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The nodes that serve.
async fn serving(processes: &Processes) -> Vec<usize> {
    let mut serving = Vec::new();
    for number in 0..3 {
        let status = status::of(&processes.data(number)).await;
        serving.extend(status.ok().filter(|status| status["node"]["state"] == "serving").map(|_| number));
    }
    serving
}

/// The clusters that these nodes know.
fn clusters(processes: &Processes, nodes: &[usize]) -> BTreeSet<String> {
    let id = |number: &usize| {
        let file = ClusterFile::open(&processes.data(*number)).ok()?;
        file.facts().map(|facts| facts.cluster.id.to_string())
    };
    nodes.iter().filter_map(id).collect()
}

/// Fails unless all nodes serve one cluster, in which each of them creates a key.
async fn assert_one_cluster(processes: &Processes, what: &str) {
    for data in processes.data_folders() {
        status::wait_for_state(&data, "serving").await;
    }
    let user = processes.admin();
    for node in 0..3 {
        user.create_through(node, &format!("key-{node}")).await;
    }
    assert_eq!(clusters(processes, &[0, 1, 2]).len(), 1, "{what}");
    status::assert_equal_digests(&processes.data_folders()).await;
}
