//! The first command replicates the policies of the configuration file, and they hold on every node alike.

use std::collections::BTreeMap;

use keyraft::policy::{Pattern, Policy, PolicyName};
use serde_json::json;

use super::nodes;
use crate::support::api_key::ApiKey;
use crate::support::cluster::TestCluster;
use crate::support::connection::Client;
use crate::support::settings::{ADMIN_KEY, APP, APP_KEY, OPS, identity};
use crate::support::user::User;

const FORBIDDEN: &str = "not authorized: insufficient permissions";

fn app(cluster: &TestCluster) -> User {
    cluster.user(Client::new(Some(ApiKey::parse(APP_KEY).credential())))
}

/// Fails unless the policy `app` holds on every node. Each round makes further keys.
async fn assert_rules_hold(cluster: &TestCluster, round: &str) {
    let (app, admin) = (app(cluster), cluster.admin());
    for node in cluster.all() {
        let key = format!("my-app-{round}-{node}");
        app.create(node, &key).await.expect("its policy allows it");
        app.generate(cluster.in_turn(node + 1), &key).await.expect("its policy allows it");
        let internal = format!("my-app-internal-{round}-{node}");
        app.create(node, &internal).await.expect("creating is not denied");
        for refused in [
            app.generate(node, &internal).await.map(drop),
            app.create(node, &format!("other-{round}-{node}")).await,
            app.delete(node, &key).await,
        ] {
            let refusal = refused.expect_err("denied before allowed, and nothing else is allowed");
            assert!(refusal.is(403, FORBIDDEN), "node {node}: {refusal:?}");
        }
        let read = admin.ask(node, "GET", "/v1/policy/read/app", None).await.expect("the policy is there");
        assert_eq!(read["deny"].as_object().map(serde_json::Map::len), Some(2), "{read}");
        let described = admin.ask(node, "GET", &format!("/v1/identity/describe/{APP}"), None).await;
        assert_eq!(described.expect("the identity is there")["policy"], json!("app"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_of_the_file_hold_on_every_node() {
    let cluster = nodes().await;
    assert_rules_hold(&cluster, "first").await;
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_changes_no_policy() {
    let mut cluster = nodes().await;
    cluster.stop_all().await;
    for node in cluster.all() {
        let everything = Policy::new(vec![Pattern::parse("/v1/*").expect("a pattern")], Vec::new());
        let name = PolicyName::parse("app").expect("a name");
        cluster.config_mut(node).policies = BTreeMap::from([(name, (everything, vec![identity(OPS)]))]);
    }
    cluster.start_all().await;
    assert_rules_hold(&cluster, "again").await;
    let ops = cluster.admin().ask(0, "GET", &format!("/v1/identity/describe/{OPS}"), None).await;
    assert_eq!(ops.expect("the identity is there")["policy"], json!("ops"));
    cluster.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_command_that_the_cluster_refuses_ends_the_node_with_the_reason() {
    // The configuration file cannot have such a policy. A later version might let it pass.
    let mut cluster = TestCluster::prepare(1, &ApiKey::parse(ADMIN_KEY), |config, _| {
        let allow = (0..1000).map(|number| Pattern::parse(&format!("/v1/key/create/{number:080}")).expect("it is one"));
        let name = PolicyName::parse("too-large").expect("it is a name");
        config.policies = BTreeMap::from([(name, (Policy::new(allow, []), Vec::new()))]);
    });
    cluster.begin_nodes(&[0]).await;
    let why = cluster.ended(0).await.to_string();
    assert!(why.contains("refused its first command") && why.contains("outcome 9"), "{why}");
}
