//! Somebody puts a data folder back as it was earlier. The node would vote with fewer entries than it acknowledged, so it
//! ends.

use super::data_folder::Copied;
use super::support::processes::Processes;
use super::support::status;
use super::{LASTING, assert_serve, three_nodes};

const KEYS: usize = 50;

/// What both sides log about an older copy.
fn words(peer: &str, node: &str) -> [String; 3] {
    [format!("{peer} noted start"), "an older copy of the folder".to_owned(), format!("leave {node} stopped")]
}

async fn assert_ends(processes: &mut Processes, number: usize, peers: &[usize]) {
    let how = processes.ended(number).await;
    assert_eq!(how.code(), Some(LASTING), "{how}");
    let node = format!("node-{}", number + 1);
    let noticed = async || {
        let by = |peer: &&usize| {
            let words = words(&format!("node-{}", **peer + 1), &node);
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            processes.has_logged(**peer, &words) && processes.has_logged(number, &words)
        };
        peers.iter().find(by).map(drop)
    };
    status::wait_for(&format!("{node} and a peer to log that its folder is older"), &[], noticed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_in_a_folder_that_was_put_back_ends_and_the_others_go_on() {
    let (mut processes, mut keys) = three_nodes().await;
    processes.stop(2).await;
    let older = Copied::of(&processes.data(2));
    processes.start_all().await;
    keys.extend(processes.admin().create_many("later", 6).await);
    processes.stop(2).await;
    older.put_back(&processes.data(2));
    processes.begin(2);
    assert_ends(&mut processes, 2, &[0, 1]).await;
    assert_serve(&processes, &[0, 1], &keys, "after").await;
    // It ends each time.
    processes.begin(2);
    assert_ends(&mut processes, 2, &[0, 1]).await;
    status::assert_equal_digests(&processes.data_folders()[..2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_two_nodes_acknowledged_are_not_forgotten_by_a_folder_that_was_put_back() {
    let (mut processes, _) = three_nodes().await;
    let user = processes.admin();
    processes.stop(2).await;
    let older = Copied::of(&processes.data(2));
    processes.start_all().await;
    // Node 2 misses what the others acknowledge.
    processes.kill(1);
    let mut keys = Vec::new();
    for number in 0..KEYS {
        let name = format!("acknowledged-{number}");
        user.create_somewhere(0, &name).await;
        keys.push(user.generate_somewhere(0, &name).await);
    }
    processes.stop(2).await;
    processes.kill(0);
    older.put_back(&processes.data(2));
    // Without node 1, these two would be a quorum that knows none of the keys.
    processes.begin(1);
    processes.begin(2);
    assert_ends(&mut processes, 2, &[1]).await;
    status::wait_for_words(&processes.data(1), &["votes of 2 of the 3 nodes are needed"]).await;
    for key in &keys {
        let refusal = user.decrypt(1, key).await.expect_err("node 2 cannot know the key");
        assert_ne!(refusal.status, Some(404), "{refusal:?}");
        let refusal = user.create(1, &key.name).await.expect_err("node 2 has no quorum");
        assert!(refusal.status.is_none_or(|status| status >= 500), "{refusal:?}");
    }
    processes.begin(0);
    for number in [0, 1] {
        status::wait_for_state(&processes.data(number), "serving").await;
    }
    for key in &keys {
        let refusal = user.create(1, &key.name).await.expect_err("the key exists");
        assert!(refusal.is(400, "key already exists"), "{refusal:?}");
    }
    assert_serve(&processes, &[0, 1], &keys, "after").await;
}
