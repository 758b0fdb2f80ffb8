//! A node ends when its machine turns out to be a copy, and takes part again once somebody starts it.

use std::fs;

use crate::support::processes::Processes;
use crate::support::status;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_ends_when_the_generation_id_of_its_machine_changes() {
    let mut processes = Processes::start().await;
    let keys = processes.admin().create_many("before", 3).await;
    let generation = processes.data(0).with_file_name("generation");
    fs::write(&generation, "one").expect("the folder is writable");
    processes.stop(0).await;
    let setting = format!("  vm_generation: {}\n  handshakes:", generation.display());
    processes.replace_in_config(0, "  handshakes:", &setting);
    processes.start_all().await;
    // A tool may write the same id again.
    fs::write(&generation, "one").expect("the folder is writable");
    processes.admin().assert_decrypts(0, &keys).await;
    fs::write(&generation, "two").expect("the folder is writable");
    let ended = processes.ended(0).await;
    assert_eq!(ended.code(), Some(2), "systemd must not start it again: {}", processes.log(0));
    assert!(processes.has_logged(0, &["VM generation id", "cloned"]), "{}", processes.log(0));
    processes.start_all().await;
    processes.admin().assert_decrypts(0, &keys).await;
    status::assert_equal_digests(&processes.data_folders()).await;
}
