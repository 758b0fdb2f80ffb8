//! The log of each node has the facts of an incident, and does not call routine events errors.

use crate::support::processes::Processes;
use crate::support::status;

/// Waits until a node has logged a line with all of these words.
async fn logged(processes: &Processes, number: usize, words: &[&str]) {
    let has = async || {
        let log = processes.log(number);
        log.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    };
    status::wait_for(&format!("node {number} to log {words:?}"), &[], has).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn elections_losses_and_returns_are_logged() {
    let mut processes = Processes::start().await;
    processes.admin().create_many("key", 240).await;
    for number in 0..3 {
        logged(&processes, number, &["the node starts", "version=", " feature_level=", "api=", "peer="]).await;
        logged(&processes, number, &["the node's state changed", "serving"]).await;
        logged(&processes, number, &["built a snapshot", "index="]).await;
    }
    let leader = status::of(&processes.data(0)).await.expect("it answers")["leader"].as_u64().expect("a leader");
    let leader = usize::try_from(leader).expect("ids are small") - 1;
    let (one, two) = ((leader + 1) % 3, (leader + 2) % 3);
    processes.kill(leader);
    let name = format!("node-{}", leader + 1);
    for number in [one, two] {
        logged(&processes, number, &["lost a peer", &name, "connection refused"]).await;
        logged(&processes, number, &["a node leads", &format!("last_leader=\"{name}\""), "last_ended="]).await;
    }
    processes.kill(one);
    logged(&processes, two, &["lost the quorum", "needed=2"]).await;
    logged(&processes, two, &["isolated"]).await;
    logged(&processes, two, &["this node waits", "votes of 2 of the 3 nodes are needed"]).await;
    processes.start_all().await;
    logged(&processes, two, &["a peer is back", &name]).await;
    logged(&processes, two, &["the quorum is back"]).await;
    logged(&processes, two, &["no longer isolated"]).await;
    logged(&processes, two, &["this node no longer waits"]).await;
    for number in 0..3 {
        processes.stop(number).await;
        let log = processes.log(number);
        assert!(!log.contains("ERROR"), "a restart is not an error:\n{log}");
        assert!(!log.contains("leader=\"node "), "leaders are named, not numbered:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_alone_does_not_name_a_leader() {
    let mut processes = Processes::start().await;
    (0..3).for_each(|number| processes.kill(number));
    let before = processes.log(0).len();
    processes.begin(0);
    let waits = async || processes.log(0)[before..].contains("this node waits").then_some(());
    status::wait_for("node 0 to wait", &[], waits).await;
    let log = processes.log(0)[before..].to_owned();
    assert!(!log.contains("a node leads"), "it has heard from nobody:\n{log}");
    processes.start_all().await;
    let leads = async || processes.log(0)[before..].contains("a node leads").then_some(());
    status::wait_for("node 0 to log who leads", &[], leads).await;
}
