//! While some links between nodes are cut, wholly or in one direction, nodes that reach each other and are a quorum elect
//! a leader and acknowledge writes. No node stops decrypting. Once the links are mended, nothing is lost.

use std::time::Duration;

use keyraft::config::{Config, RouteConfig};

use super::{cluster, nodes_with};
use crate::support::cluster::TestCluster;
use crate::support::links::Links;
use crate::support::user::DataKey;

/// How many keys clients create while links are cut: enough for several terms, if leaders do not last.
const KEYS: usize = 15;

/// A client that asks a node which cannot know tries the next one soon.
fn short_timeouts(config: &mut Config) {
    let short = RouteConfig { skip_auth: false, timeout: Some(Duration::from_secs(1)) };
    let paths = ["/v1/key/create", "/v1/key/generate", "/v1/key/decrypt"];
    config.api.extend(paths.map(|path| (path.to_owned(), short)));
}

/// Nodes that serve, with links between them, and some keys.
async fn with_links() -> (TestCluster, Links, Vec<DataKey>) {
    linked(nodes_with(short_timeouts).await).await
}

async fn linked(mut cluster: TestCluster) -> (TestCluster, Links, Vec<DataKey>) {
    cluster.stop_all().await;
    let links = Links::between_all(&mut cluster).await;
    cluster.start_all().await;
    let keys = cluster.admin().create_many("before", 6).await;
    (cluster, links, keys)
}

/// Creates keys while links are cut, and fails if a node does not decrypt what it knew before.
async fn work(cluster: &TestCluster, through: &[usize], keys: &mut Vec<DataKey>) {
    let (user, known) = (cluster.admin(), keys.clone());
    for number in 0..KEYS {
        let name = format!("during-{number}");
        user.create_somewhere(through[number % through.len()], &name).await;
        keys.push(user.generate_somewhere(through[number % through.len()], &name).await);
    }
    for node in cluster.running() {
        user.assert_decrypts(node, &known).await;
    }
}

async fn assert_whole_again(cluster: &TestCluster, links: &Links, keys: &[DataKey]) {
    links.mend();
    cluster.leader().await;
    cluster.assert_equal_digests().await;
    for node in cluster.running() {
        cluster.admin().assert_decrypts(node, keys).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_elect_another_leader_if_they_hear_nothing_from_theirs() {
    let (cluster, links, mut keys) = with_links().await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    others.iter().for_each(|other| links.lose(leader, *other));
    let elected = cluster.leader_of(&others).await;
    assert_ne!(elected, leader);
    work(&cluster, &others, &mut keys).await;
    assert_whole_again(&cluster, &links, &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_hears_nothing_from_its_followers_is_replaced() {
    let (cluster, links, mut keys) = with_links().await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    others.iter().for_each(|other| links.lose(*other, leader));
    work(&cluster, &others, &mut keys).await;
    assert_ne!(cluster.leader_of(&others).await, leader);
    assert_whole_again(&cluster, &links, &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_hears_nothing_keeps_nobody_from_writing() {
    let (cluster, links, mut keys) = with_links().await;
    let deaf = cluster.follower().await;
    let others = cluster.others(deaf);
    others.iter().for_each(|other| links.lose(*other, deaf));
    work(&cluster, &others, &mut keys).await;
    assert_whole_again(&cluster, &links, &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_nobody_hears_keeps_nobody_from_writing() {
    let (cluster, links, mut keys) = with_links().await;
    let unheard = cluster.follower().await;
    let others = cluster.others(unheard);
    others.iter().for_each(|other| links.lose(unheard, *other));
    work(&cluster, &others, &mut keys).await;
    assert_whole_again(&cluster, &links, &keys).await;
}

/// In a chain, the nodes in the middle reach a quorum: their neighbours and themselves. Those at the ends do not if there
/// are five.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_reach_only_their_neighbours_take_writes() {
    let (cluster, links, mut keys) = with_links().await;
    for one in cluster.all() {
        for other in cluster.all().filter(|other| *other > one + 1) {
            links.lose(one, other);
            links.lose(other, one);
        }
    }
    let all: Vec<_> = cluster.all().collect();
    work(&cluster, &all, &mut keys).await;
    assert_whole_again(&cluster, &links, &keys).await;
}

/// Five nodes: with three, the leader reaches a quorum as long as it reaches one node.
#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_elects_a_leader_although_the_old_one_reaches_a_node_of_it() {
    let (mut cluster, links, mut keys) = linked(cluster(5, short_timeouts).await).await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    let (dead, quorum) = (others[3], &others[..3]);
    cluster.kill(dead).await;
    // The leader reaches `quorum[0]` only. The three nodes of `quorum` reach each other.
    quorum[1..].iter().for_each(|cut_off| links.close(leader, *cut_off));
    let elected = cluster.leader_of(quorum).await;
    assert_ne!(elected, leader);
    work(&cluster, quorum, &mut keys).await;
    links.mend();
    cluster.start_nodes(&[dead]).await;
    assert_whole_again(&cluster, &links, &keys).await;
}
