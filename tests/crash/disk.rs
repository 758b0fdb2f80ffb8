//! Only the user of a node can read the files that it leaves on disk, and it leaves no core file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::processes::Processes;
use crate::support::status;

#[tokio::test(flavor = "multi_thread")]
async fn only_their_owner_can_read_the_files() {
    let mut processes = Processes::start().await;
    processes.admin().create_many("key", 240).await;
    for data in processes.data_folders() {
        let snapshots = data.join("snapshots");
        let found = async || fs::read_dir(&snapshots).ok()?.flatten().next().map(drop);
        status::wait_for("a snapshot", std::slice::from_ref(&data), found).await;
        let wrong: Vec<_> = all_below(&data).into_iter().filter(|path| mode(path) & 0o077 != 0).collect();
        assert!(wrong.is_empty(), "others may read {wrong:#?}");
    }
    for number in 0..3 {
        let limits = fs::read_to_string(format!("/proc/{}/limits", processes.id(number))).expect("the node runs");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit of the system");
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
        processes.stop(number).await;
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).map_or(0, |metadata| metadata.permissions().mode())
}

/// The folder itself, and everything in it.
fn all_below(path: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(path).into_iter().flatten().flatten().flat_map(|entry| all_below(&entry.path()));
    std::iter::once(path.to_owned()).chain(inside).collect()
}
