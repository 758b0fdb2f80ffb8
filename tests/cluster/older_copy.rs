//! A node on an older copy of its data folder ends, because it lacks what it acknowledged since.

use std::fs;
use std::path::Path;

use super::three_nodes;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("the folder can be read");
        let kind = entry.file_type().expect("the entry is there");
        let to = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            fs::copy(entry.path(), to).expect("the file can be copied");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_an_older_copy_of_its_folder_ends_and_names_the_start_that_it_lacks() {
    let mut cluster = three_nodes().await;
    let user = cluster.admin();
    let node = cluster.follower().await;
    cluster.stop(node).await;
    let data = cluster.data(node).to_owned();
    let (older, newest) = (data.with_extension("older"), data.with_extension("newest"));
    copy(&data, &older);
    cluster.start_nodes(&[node]).await;
    let keys = user.create_many("since", 3).await;
    cluster.stop(node).await;
    fs::rename(&data, &newest).expect("the folder is there");
    for _ in 0..2 {
        // The peers keep what they noted: the copy ends at each of its starts.
        copy(&older, &data);
        cluster.begin_nodes(&[node]).await;
        let why = cluster.ended(node).await.to_string();
        let start = " noted start 2-";
        let name = &cluster.config(node).cluster.name;
        assert!(why.contains(start) && why.contains(&format!("{name} ends: node-")), "{why}");
        fs::remove_dir_all(&data).expect("the folder is there");
    }
    let others = [(node + 1) % 3, (node + 2) % 3];
    user.assert_decrypts(others[0], &keys).await;
    fs::rename(&newest, &data).expect("the folder is there");
    cluster.start_nodes(&[node]).await;
    user.assert_decrypts(node, &keys).await;
    cluster.assert_equal_digests().await;
}
