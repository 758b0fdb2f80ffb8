//! Somebody who can write to the data folder of a node changes its node record.

use super::data_folder::Copied;
use super::slots::NODE_RECORD;
use super::support::status;
use super::wire::store::TaggedRecord;
use super::{assert_serve, three_nodes};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_forged_vote_or_start_ends() {
    let (mut processes, keys) = three_nodes().await;
    processes.stop(2).await;
    let (data, whole) = (processes.data(2), Copied::of(&processes.data(2)));
    let attempts: [fn(&mut TaggedRecord); 3] = [
        |record| record.vote.as_mut().expect("it has voted").term += 5,
        |record| record.committed = None,
        |record| record.starts.get_or_insert_default().spoken ^= true,
    ];
    for (number, change) in attempts.into_iter().enumerate() {
        NODE_RECORD.forge(&data, change);
        processes.begin(2);
        let how = processes.ended(2).await;
        let words = ["node.record is not the one that this node wrote", "Keep the data folder as it is"];
        assert!(!how.success() && processes.has_logged(2, &words), "{how}\n{}", processes.log(2));
        assert_serve(&processes, &[0, 1], &keys, &format!("during-{number}")).await;
        whole.put_back(&data);
    }
    processes.start_all().await;
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
    status::assert_equal_digests(&processes.data_folders()).await;
}
