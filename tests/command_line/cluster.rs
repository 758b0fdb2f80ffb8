//! `cluster status` at any node.

use crate::shell::Shell;
use crate::support::processes::Processes;

#[tokio::test(flavor = "multi_thread")]
async fn a_followers_status_has_the_leaders_figures() {
    let cluster = Processes::start().await;
    let admin = Shell::of(&cluster);
    let status = admin.json(&["cluster", "status"]);
    let leader = usize::try_from(status["leader"].as_u64().expect("there is one")).expect("it is small") - 1;
    let follower = admin.server_at((leader + 1) % 3);
    let seen = admin.json(&["cluster", "status", "--server", &follower]);
    let lags: Vec<_> = seen["members"].as_array().expect("there are some").iter().map(|one| &one["lag"]).collect();
    assert!(lags.iter().any(|lag| lag.is_u64()), "{seen}");
    assert_eq!(seen["members"][leader]["heard_ms"], 0, "{seen}");

    cluster.pause(leader).await;
    let blind = admin.run(&["cluster", "status", "--server", &follower]);
    assert_eq!(blind.code, 0, "{blind:?}");
    cluster.go_on(leader);
}
