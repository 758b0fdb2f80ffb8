//! Somebody who can write to the data folder of a node changes its node record, or puts an older one back.

use std::fs;

use super::data_folder::Copied;
use super::slots::NODE_RECORD;
use super::support::status;
use super::wire::store::TaggedRecord;
use super::{LASTING, assert_serve, three_nodes};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_forged_vote_or_start_ends() {
    let (mut processes, keys) = three_nodes().await;
    processes.stop(2).await;
    let (data, whole) = (processes.data(2), Copied::of(&processes.data(2)));
    let attempts: [fn(&mut TaggedRecord); 3] = [
        |record| record.vote.as_mut().expect("it has voted").term += 5,
        |record| record.committed = None,
        |record| record.starts.as_mut().expect("it has started").own.clear(),
    ];
    for (number, change) in attempts.into_iter().enumerate() {
        NODE_RECORD.forge(&data, change);
        processes.begin(2);
        let how = processes.ended(2).await;
        let words = ["node.record is not the one that this node wrote", "Keep the data folder as it is"];
        assert!(how.code() == Some(LASTING) && processes.has_logged(2, &words), "{how}\n{}", processes.log(2));
        assert_serve(&processes, &[0, 1], &keys, &format!("during-{number}")).await;
        whole.put_back(&data);
    }
    processes.start_all().await;
    assert_serve(&processes, &[0, 1, 2], &keys, "after").await;
    status::assert_equal_digests(&processes.data_folders()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_the_record_of_an_earlier_start_or_of_another_node_ends() {
    let (mut processes, keys) = three_nodes().await;
    let record = processes.data(2).join("node.record");
    processes.stop(2).await;
    let earlier = fs::read(&record).expect("the file is there");
    processes.start_all().await;
    processes.admin().create_many("later", 3).await;
    processes.stop(2).await;
    processes.stop(1).await;
    let of_another = fs::read(processes.data(1).join("node.record")).expect("the file is there");
    processes.begin(1);
    status::wait_for_state(&processes.data(1), "serving").await;
    for (content, found) in
        [(earlier, "an older copy of the folder"), (of_another, "node.record is not the one that this node wrote")]
    {
        fs::write(&record, content).expect("the folder is writable");
        processes.begin(2);
        let how = processes.ended(2).await;
        assert!(how.code() == Some(LASTING) && processes.has_logged(2, &[found]), "{how}\n{}", processes.log(2));
    }
    assert_serve(&processes, &[0, 1], &keys, "after").await;
}
