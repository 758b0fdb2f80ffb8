//! Nodes of both versions in one cluster, which begins at the level that all of them can read and stays there.

use std::time::{Duration, Instant};

use keyraft::policy::Actor;
use keyraft::raft::RaiseLevelError;
use keyraft::state::{Command, EncodedCommand, Operation, Outcome, RequestId, note};
use serde_json::{Value, json};

use super::cluster::Version::{New, Old};
use super::cluster::{MixedCluster, Version, deadline};

/// How long a node of the new version tries to have a command decided that no leader takes.
const REFUSAL: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn one_new_node_among_two_old_ones() {
    nodes_of_both_versions([Old, Old, New]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_old_node_among_two_new_ones() {
    nodes_of_both_versions([New, Old, New]).await;
}

async fn nodes_of_both_versions(versions: [Version; 3]) {
    let mut cluster = MixedCluster::start(versions).await;
    let user = cluster.admin();
    every_node_shows_the_levels_of_all(&cluster).await;
    let mut keys = user.create_many("first", 12).await;
    let [old, new] = [Old, New].map(|wanted| versions.iter().position(|version| *version == wanted).expect("one"));
    for (round, leader) in [old, new].into_iter().enumerate() {
        cluster.make_lead(leader, &format!("led-{round}")).await;
        keys.extend(user.create_many(&format!("round-{round}"), 12).await);
        commands_of_other_levels_have_no_effect(&cluster, new).await;
        the_level_cannot_be_raised(&cluster, versions).await;
        let other = [old, new][1 - round];
        a_node_installs_a_snapshot(&mut cluster, leader, other, &format!("meanwhile-{round}")).await;
        for node in 0..3 {
            user.assert_decrypts(node, &keys).await;
        }
        cluster.assert_equal_and_whole().await;
    }
    for (node, version) in versions.into_iter().enumerate() {
        cluster.stop(node).await;
        cluster.start_node(node, version).await;
        user.assert_decrypts(node, &keys).await;
    }
    every_node_shows_the_levels_of_all(&cluster).await;
    cluster.assert_equal_and_whole().await;
}

/// Waits until the status of each node has the active level, and the levels that each node can read.
async fn every_node_shows_the_levels_of_all(cluster: &MixedCluster) {
    let readable = |number: usize| match cluster.version(number) {
        Old => json!({ "lowest": 1, "highest": 1 }),
        New => json!({ "lowest": 1, "highest": 2 }),
    };
    let expected: Vec<Value> = (0..3).map(readable).collect();
    for number in 0..3 {
        let shown = async || {
            let status = cluster.status(number).await?;
            let levels: Vec<_> = status["members"].as_array()?.iter().map(|member| member["levels"].clone()).collect();
            (status["level"] == 1 && levels == expected && status["node"]["levels"] == expected[number]).then_some(())
        };
        cluster.wait_for(&format!("node {number} to show the levels {expected:?}"), shown).await;
    }
}

/// A command of level 2 is never decided, and one that level 1 does not know is malformed for all.
async fn commands_of_other_levels_have_no_effect(cluster: &MixedCluster, new: usize) {
    let node = cluster.handle(new);
    let note = note(RequestId(rand::random()), node.seen_index(), b"too early");
    let outcome = node.write(&note, Instant::now() + REFUSAL).await;
    assert!(outcome.is_err(), "no leader takes it: {outcome:?}");
    let operation = Operation::AdvanceTime { time_ns: 1 };
    let command = Command { time_ns: 0, actor: Actor::Node, action: None, file_names_admin: false, operation };
    let request_id = RequestId(rand::random());
    let known = command.encode(1, request_id, node.seen_index());
    let unknown = [known.body(), &[0xfa, 0x01, 0]].concat();
    let unknown = EncodedCommand::new(1, request_id, node.seen_index(), &unknown);
    let outcome = node.write(&unknown, deadline()).await.expect("it is decided");
    assert_eq!(outcome, Outcome::Malformed);
    cluster.assert_equal_and_whole().await;
}

async fn the_level_cannot_be_raised(cluster: &MixedCluster, versions: [Version; 3]) {
    let named = |version| (0..3).filter(move |number| versions[*number] == version);
    let old: Vec<String> = named(Old).map(|number| format!("node-{}", number + 1)).collect();
    for number in named(New) {
        let refused = cluster.handle(number).raise_level(deadline()).await.expect_err("a member cannot read level 2");
        let text = refused.to_string();
        let RaiseLevelError::Members { active: 1, next: 2, unready } = refused else { panic!("{text}") };
        let unready: Vec<String> = unready.into_iter().map(|member| member.name).collect();
        assert_eq!(unready, old, "{text}");
        assert!(text.contains(&format!("{} reads level 1", old[0])), "{text}");
    }
}

/// A node that was away while the log was purged gets a snapshot from a leader of the other version.
async fn a_node_installs_a_snapshot(cluster: &mut MixedCluster, leader: usize, away: usize, prefix: &str) {
    let (version, others) = (cluster.version(away), (0..3).filter(|node| *node != away).collect::<Vec<_>>());
    cluster.kill(away).await;
    let purged = cluster.create_until_purged(leader, &others, prefix).await;
    cluster.start_node(away, version).await;
    assert_eq!(cluster.leader().await, leader, "the leader has not changed");
    assert!(cluster.snapshot_index(away) > purged, "node {away} got what it missed as a snapshot");
}
