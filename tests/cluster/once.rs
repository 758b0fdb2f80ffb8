//! A command takes effect once, however often and wherever it is sent, and only while the rules permit it.

use futures::future::join_all;
use keyraft::state::Outcome;

use crate::support::consensus::{Consensus, create, create_as, delete};
use crate::support::settings::{APP, OPS, identity};

#[tokio::test(flavor = "multi_thread")]
async fn a_create_sent_again_after_a_delete_does_not_bring_the_key_back() {
    let consensus = Consensus::start().await;
    let (created, creation) = create(consensus.node(0).seen_index(), "key");
    assert_eq!(consensus.write(0, &created).await, Outcome::Done);
    assert_eq!(consensus.write(1, &delete(0, "key", creation)).await, Outcome::Done);
    for node in consensus.all() {
        assert_eq!(consensus.write(node, &created).await, Outcome::Done, "it gets the first outcome");
        assert_eq!(consensus.creation("key").await, None);
    }
    consensus.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_sent_again_after_a_create_does_not_delete_the_new_key() {
    let consensus = Consensus::start().await;
    let (first, old) = create(0, "key");
    let (second, new) = create(0, "key");
    let deleted = delete(0, "key", old);
    for command in [&first, &deleted, &second] {
        assert_eq!(consensus.write(2, command).await, Outcome::Done);
    }
    for node in consensus.all() {
        assert_eq!(consensus.write(node, &deleted).await, Outcome::Done, "it gets the first outcome");
        // This is another request, which saw the same creation.
        assert_eq!(consensus.write(node, &delete(0, "key", old)).await, Outcome::KeyNotFound);
        assert_eq!(consensus.creation("key").await, Some(new));
    }
    consensus.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_sent_through_every_node_takes_effect_once() {
    let consensus = Consensus::start().await;
    for round in 0..20 {
        let name = format!("key-{round}");
        let (created, creation) = create(0, &name);
        let outcomes = join_all(consensus.all().map(|node| consensus.write(node, &created))).await;
        assert_eq!(outcomes, vec![Outcome::Done; consensus.all().len()]);
        let deleted = delete(0, &name, creation);
        let outcomes = join_all(
            consensus
                .all()
                .flat_map(|node| [(node, &deleted), (node, &created)])
                .map(async |(node, command)| consensus.write(node, command).await),
        );
        assert_eq!(outcomes.await, vec![Outcome::Done; 2 * consensus.all().len()]);
        assert_eq!(consensus.creation(&name).await, None);
    }
    consensus.assert_equal_digests().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_remembers_done_commands() {
    let mut consensus = Consensus::start().await;
    let (gone, old) = create(0, "gone");
    let (kept, new) = create(0, "kept");
    let deleted = delete(0, "gone", old);
    for command in [&gone, &deleted, &kept] {
        assert_eq!(consensus.write(0, command).await, Outcome::Done);
    }
    let survivor = consensus.kill_leader().await;
    for command in [&gone, &deleted, &kept] {
        assert_eq!(consensus.write(survivor, command).await, Outcome::Done, "it gets the first outcome");
    }
    assert_eq!(consensus.creation("gone").await, None);
    assert_eq!(consensus.creation("kept").await, Some(new));
    consensus.assert_equal_digests().await;
}

/// The rules at the command's place in the log decide, and not those that the sending node knew.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_actor_lacks_the_permit_is_denied() {
    let consensus = Consensus::start().await;
    for (actor, name, outcome) in [
        (APP, "my-app-key", Outcome::Done),
        (APP, "other-key", Outcome::Denied),
        (OPS, "my-app-other", Outcome::Denied),
        ("00000000000000000000000000000000000000000000000000000000000000ff", "my-app-third", Outcome::Denied),
    ] {
        let (command, creation) = create_as(identity(actor), name);
        assert_eq!(consensus.write(1, &command).await, outcome, "{name}");
        assert_eq!(consensus.creation(name).await, (outcome == Outcome::Done).then_some(creation));
    }
    consensus.assert_equal_digests().await;
}
