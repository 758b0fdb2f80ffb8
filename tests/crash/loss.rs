//! A node that lost a part of its disk says so. It rebuilds that part if it can. Otherwise it takes no part.

use std::fs;

use crate::support::processes::Processes;
use crate::support::status;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_that_it_rebuilds_and_that_it_must_not_come_back() {
    let mut processes = Processes::start().await;
    let user = processes.admin();
    let keys = user.create_many("key", 30).await;
    processes.kill(1);
    fs::remove_dir_all(processes.data(1).join("keystore")).expect("the folder is there");
    processes.start_all().await;
    user.assert_decrypts(1, &keys).await;
    assert!(processes.log(1).contains("the keystore is damaged; the node rebuilds it"), "{}", processes.log(1));
    status::assert_equal_digests(&processes.data_folders()).await;

    processes.kill(2);
    fs::remove_dir_all(processes.data(2)).expect("the folder is there");
    processes.begin(2);
    let words = "Never put back a copy or a backup";
    let says = async || processes.log(2).contains(words).then_some(());
    status::wait_for("the node to say that it must not come back", &[processes.data(2)], says).await;
    processes.kill(2);
    user.assert_decrypts(0, &keys).await;
    user.create_somewhere(1, "after").await;
}
