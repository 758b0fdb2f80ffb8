//! The log of each node has the facts of an incident, and does not call routine events errors.

use crate::support::processes::Processes;
use crate::support::status;

#[tokio::test(flavor = "multi_thread")]
async fn elections_losses_and_returns_are_logged() {
    let mut processes = Processes::start().await;
    processes.admin().create_many("key", 240).await;
    for number in 0..3 {
        processes.wait_for_log(number, &["the node starts", "version=", " feature_level=", "api=", "peer="]).await;
        processes.wait_for_log(number, &["the node's state changed", "serving"]).await;
        processes.wait_for_log(number, &["built a snapshot", "index="]).await;
    }
    let leader = status::of(&processes.data(0)).await.expect("it answers")["leader"].as_u64().expect("a leader");
    let leader = usize::try_from(leader).expect("ids are small") - 1;
    let (one, two) = ((leader + 1) % 3, (leader + 2) % 3);
    processes.kill(leader);
    let name = format!("node-{}", leader + 1);
    for number in [one, two] {
        processes.wait_for_log(number, &["lost a peer", &name, "connection refused"]).await;
        processes.wait_for_log(number, &["a node leads", &format!("last_leader=\"{name}\""), "last_ended="]).await;
    }
    processes.kill(one);
    processes.wait_for_log(two, &["lost the quorum", "needed=2"]).await;
    processes.wait_for_log(two, &["isolated"]).await;
    processes.wait_for_log(two, &["this node waits", "votes of 2 of the 3 nodes are needed"]).await;
    processes.start_all().await;
    processes.wait_for_log(two, &["a peer is back", &name]).await;
    processes.wait_for_log(two, &["the quorum is back"]).await;
    processes.wait_for_log(two, &["no longer isolated"]).await;
    processes.wait_for_log(two, &["this node no longer waits"]).await;
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
