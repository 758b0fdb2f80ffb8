//! A node that reaches no leader serves only the keys it knows, for a while.

use std::time::Duration;

use keyraft::config::{Config, RouteConfig};

use super::nodes_with;

const SHORT: Duration = Duration::from_secs(1);

fn short_timeouts(config: &mut Config) {
    config.consistency.lease = SHORT;
    let short = RouteConfig { skip_auth: false, timeout: Some(SHORT) };
    let paths = ["/v1/key/create", "/v1/key/generate", "/v1/key/describe", "/v1/key/list", "/v1/key/delete"];
    config.api.extend(paths.map(|path| (path.to_owned(), short)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_quorum_serves_only_known_keys() {
    let mut cluster = nodes_with(short_timeouts).await;
    let user = cluster.admin();
    let mut keys = user.create_many("known", 6).await;
    let alone = cluster.follower().await;
    for other in cluster.others(alone) {
        cluster.kill(other).await;
    }
    let until = tokio::time::Instant::now() + 3 * SHORT;
    while tokio::time::Instant::now() < until {
        user.assert_decrypts(alone, &keys).await;
    }
    keys.push(user.generate(alone, "known-0").await.expect("known keys make data keys, too"));
    for (method, target) in [
        ("PUT", "/v1/key/create/new"),
        ("PUT", "/v1/key/generate/new"),
        ("GET", "/v1/key/describe/known-0"),
        ("GET", "/v1/key/list/"),
        ("DELETE", "/v1/key/delete/known-0"),
    ] {
        let body = target.contains("generate").then(|| serde_json::json!({}));
        let held = user.ask(alone, method, target, body.as_ref()).await.expect_err("no leader can confirm it");
        assert_eq!(held.status, Some(503), "{method} {target}: {held:?}");
    }
    let status = cluster.local_status(alone).await.expect("the node answers");
    assert!(status["leader"].is_null() && status["node"]["state"] == "isolated", "{status}");
    let others = cluster.others(alone);
    cluster.start_nodes(&others).await;
    user.create_somewhere(alone, "new-again").await;
    user.assert_decrypts(others[0], &keys).await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_not_be_offline_closes_its_listener_with_the_lease() {
    let mut cluster = nodes_with(|config| {
        short_timeouts(config);
        config.consistency.offline = Duration::ZERO;
    })
    .await;
    let user = cluster.admin();
    let keys = user.create_many("known", 3).await;
    let alone = cluster.follower().await;
    for other in cluster.others(alone) {
        cluster.kill(other).await;
    }
    let status = cluster.wait_for_state(alone, "offline").await;
    assert!(status["node"]["reason"].is_string(), "it says why: {status}");
    let refused = user.decrypt(alone, &keys[0]).await.expect_err("the listener is closed");
    assert_eq!(refused.status, None, "{refused:?}");
    // The listener opens again by itself.
    let missing = cluster.quorum() - 1;
    cluster.start_nodes(&cluster.others(alone)[..missing]).await;
    cluster.wait_until_serving(alone).await;
    user.assert_decrypts(alone, &keys).await;
    cluster.assert_equal_digests().await;
}
